"""From music files to training windows."""

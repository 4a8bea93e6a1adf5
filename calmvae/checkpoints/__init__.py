"""Models as files: found, opened, fetched and written."""

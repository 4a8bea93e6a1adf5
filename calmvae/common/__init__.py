"""Helpers that know no music: errors, folders, downloads, processes, threads, seeds, texts; the door to Magenta."""

"""What knows no music: errors, folders and downloads, processes and threads, seeds, words; the door to Magenta."""

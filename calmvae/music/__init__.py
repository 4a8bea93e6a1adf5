"""What notes mean: melodies and their tokens, keys, chords, calmness."""

"""Melodies and their tokens, keys, chords, calmness."""

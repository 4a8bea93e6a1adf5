"""The pieces that are made."""

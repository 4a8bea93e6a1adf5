"""How models are stored, found and opened."""

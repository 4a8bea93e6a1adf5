"""What a model is, and the numpy engine that runs it."""

"""Priors, directions and paths in a latent space, and the evaluation of models."""

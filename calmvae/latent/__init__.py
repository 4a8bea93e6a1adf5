"""What lies where in a latent space, and how well a model does."""

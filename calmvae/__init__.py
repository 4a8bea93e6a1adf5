"""calmvae: calming music from the latent space of MusicVAE."""

__version__ = "0.1.0"

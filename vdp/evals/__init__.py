"""Estimates, latent statistics and pictures of a trained model."""

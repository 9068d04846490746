"""Priors over a latent; one file each, found by its name."""

"""Models that join networks, priors and likelihoods on one bound; one file each."""

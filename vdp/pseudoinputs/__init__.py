"""Deterministic small codes u = f(x) of an image; one file each, found by its name."""

"""Decoder distributions over integer levels; one file each, found by its name."""

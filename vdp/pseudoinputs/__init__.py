"""Deterministic small codes u = f(x) of an image; one file each, found by its name.

The methods of the protocol `vdp.types.PseudoInput` mean the same by the same argument in each, and
take numpy's arrays as well as jax's:

- `params`, `stats`: of `init`.
- `rng`: a key.
- `x_shape`: shape of one image, (H, W, C).
- `data`: training images as the encoder sees them, integer levels [N, H, W, C], or None.
- `images`: in [0, 1], [B, H, W, C].
- `u`: codes, [B, size, size, C].
"""

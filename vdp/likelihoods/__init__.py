"""Decoder distributions over integer levels; one file each, found by its name.

The methods of the protocol `vdp.types.Likelihood` mean the same by the same argument in each:

- `channels`: C of the image.
- `features`: what the decoder's network gives, [B, H, W, num_features(C)].
- `params`: of `init`; what is learned here and not in the network, stored with the decoder.
- `outputs`: of `attach`, the parameters of the distribution, [B, H, W, num_outputs(C)].
- `target`: integer levels 0..levels - 1, [B, H, W, C], numpy's or jax's.
- `rng`: a key.

`log_prob` is in nats, [B]; `sample` gives uint8 levels and `mean` numbers in [0, 1], [B, H, W, C].
"""

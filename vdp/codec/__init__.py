"""Lossless compression of images by a trained model: its bound as the length of a file.

Bits-back coding (Wallace 1990; Hinton & van Camp 1993; on a stack of bits: BB-ANS, Townsend et al.
2019) spends -log2 p(x|z) - log2 p(z) + log2 q(z|x) bits for an image: a latent z is *popped* under
q(z|x) from the bits of earlier images, then x is pushed under p(x|z), and z under p(z). Their mean
is minus the reported bound in bits, up to the grid of z. Decoding undoes the steps in reverse.

- `stack`: the bits; `gaussians`, `tables`: distributions that push and pop whole arrays;
- `bits_back`: how a latent is borrowed; `pixels`: the table of every pixel's levels;
- `priors`: over a latent; `flows`, `chain`, `trajectories`: those that take steps;
- `flat`, `ladder`: the models;
- `streams`: many images; `container`: the file; `fingerprint`: who may read it.
"""

from vdp.codec.container import Damaged, count
from vdp.codec.streams import Codec, Encoded, compress, decompress

__all__ = ["Codec", "Damaged", "Encoded", "compress", "count", "decompress"]

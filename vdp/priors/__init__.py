"""Priors over a latent; one file each, found by its name.

The methods of the protocol `vdp.types.Prior` mean the same by the same argument in every prior:

- `params`, `stats`: of `init`.
- `rng`: a key; of `rate` in training it is the dropout's. None where `noise` is given and no key is
  needed.
- `num`: number of latents, B.
- `z_shape`: shape of one z, (16,) or (7, 7, 4).
- `x_shape`: shape of one image, (H, W, C); for priors whose parameters are images.
- `data`: training images as the encoder sees them, integer levels [N, H, W, C], or None; for priors
  that start from data.
- `purpose`: what noise is drawn for: "loss", "elbo", "weight" or "sample" (`vdp.types.Purpose`).
- `q`: the posterior q(z|x) of a batch, a diagonal `dists.Normal` [B, *z_shape]; of a merged
  diffusion prior its mean is a code.
- `z`: latents, [B, *z_shape].
- `encode`: images in [0, 1], [N, H, W, C], to q(z|x); for priors whose parameters are images.
- `noise`: what `draw` returned for B = len(q.mean), instead of what would be drawn with `rng`; of
  `sample`, what it returned for `num` and purpose="sample". A noise of another kind is refused.
- `train`: whether networks run in training mode.
- `temperature`: factor on the standard deviations of what is drawn; 1 draws from the prior.
"""

from vdp.priors.density import DensityPrior

__all__ = ["DensityPrior"]

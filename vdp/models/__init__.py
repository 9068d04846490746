"""Models that join networks, priors and likelihoods on one bound; one file each, found by its name.

Which methods a model has is said by the protocols of `vdp.types` that it keeps. They mean the same
by the same argument in every model:

- `params`, `stats`: of `init`, nested dicts by role (encoder, decoder, prior, ...).
- `rng`: a key, for all that `noise` does not hold.
- `x_shape`: shape of one image, (H, W, C).
- `data`: training images as the encoder sees them, integer levels [N, H, W, C], or None; for what
  starts from data.
- `batch`: B examples, a `vdp.types.Batch`.
- `images`: [B, H, W, C]; integer levels for `encode` and `reconstruct`, in [0, 1] for the others.
- `purpose`: what noise is drawn for: "loss", "elbo" or "weight" (`vdp.types.Purpose`).
- `noise`: what `draw` returned for the batch, instead of what would be drawn with `rng`; of
  `sample`, what `draw_sample` returned, where drawn pixels need a key besides.
- `step`: of training, counted from 0; weights of a loss may depend on it.
- `train`: whether networks run in training mode, with dropout and the batch's own statistics.
- `rngs`: flax's keys for that mode, {"dropout": key}; `net_kwargs` are `train` and `rngs`.
- `num`: how many are drawn.
- `z`: latents [B, *latent_shape], or what the prior is over, [B, *prior_shape].
- `mean`: whether images are the likelihood's means; if not, pixels are drawn.
- `kwargs`, `options`: of the prior's sampler, such as `temperature`; `kwargs` hold `noise` too.

Losses, terms and weights are [B], in nats unless the model's score names another unit.
"""

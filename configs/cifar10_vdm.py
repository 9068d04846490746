"""The variational diffusion model of Kingma et al. 2021 on CIFAR-10, with its hyperparameters.

Those of its public program for CIFAR-10 without augmentation. What is done otherwise: only kernels
are decayed, not scales, biases and gamma's endpoints; the average of the weights is warmed up
(`train.ema_warmup`); 1,000 training images are held out for validation; the time input is gamma
mapped to [0, 1000] by the endpoints at the start, not by those of the moment.

Variants: `light` (1.1 million parameters, 4,000 steps of 32 images, for two cores),
`schedule=NAME`, `dequantization=variational|uniform`, `smoke`.
"""

from vdp import variants

OPTIM = dict(name="adamw", schedule="constant", b2=0.99, weight_decay=0.01, warmup_steps=100)
LIGHT = dict(
    denoiser=dict(width=32, depth=1, multipliers=(1, 2, 2), attention=(8,), dropout=0.0),
    num_steps=100,
    batch_size=32,
    steps=4000,
    rate=3e-3,
    optim=OPTIM | dict(schedule="cosine"),
    judged=500,
    validations=4,
)


def get_config(arg=""):
    """Returns the config."""
    return variants.vdm(
        arg,
        data=dict(name="cifar10", num_validation=1000),
        denoiser=dict(width=128, depth=32, dropout=0.1, remat=True, **variants.VDM_BLOCKS),
        gamma=(-13.3, 5.0),
        num_steps=1000,
        batch_size=128,
        steps=10_000_000,
        rate=2e-4,
        optim=OPTIM,
        light=LIGHT,
    )

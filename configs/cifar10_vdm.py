"""The variational diffusion model of Kingma et al. 2021 on CIFAR-10, with its hyperparameters.

Those of its public program for CIFAR-10 without augmentation. What is done otherwise: only kernels
are decayed, not scales, biases and gamma's endpoints; the average of the weights is warmed up
(`train.ema_warmup`); 1,000 training images are held out for validation; the time input is gamma
mapped to [0, 1000] by the endpoints at the start, not by those of the moment.

Variants: `schedule=NAME`, `dequantization=variational|uniform`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    config = variants.vdm(
        arg,
        data=dict(name="cifar10", num_validation=1000),
        denoiser=dict(width=128, depth=32, dropout=0.1, remat=True, **variants.VDM_BLOCKS),
        gamma=(-13.3, 5.0),
        num_steps=1000,
        batch_size=128,
        steps=10_000_000,
        rate=2e-4,
    )
    config.optim.update(name="adamw", schedule="constant", b2=0.99, weight_decay=0.01)
    config.optim.warmup_steps = min(100, config.optim.warmup_steps)
    return config

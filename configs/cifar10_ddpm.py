"""The diffusion model of Ho et al. 2020 on CIFAR-10, with its hyperparameters.

What is done otherwise than in its program: the UNet has average pooling before the convolution that
lowers the resolution, no strides; the time input is gamma mapped to [0, 1000], not the number of
the step; the reverse variance is that of the posterior, of which the bound is, not beta; samples
are not clipped (`sample.clip=1` clips the denoised image at every step, as the program does); the
average of the weights is warmed up (`train.ema_warmup`); 250 training images are held out for
validation.

Variants: `weights=simple|bound`, `betas=linear|cosine`, `dequantization=variational|uniform`,
`smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.ddpm(
        arg,
        data=dict(name="cifar10", num_validation=250, augmentation="flip"),
        denoiser=dict(
            width=128,
            depth=2,
            multipliers=(1, 2, 2, 2),
            attention=(16,),
            dropout=0.1,
            **variants.VDM_BLOCKS,
        ),
        batch_size=128,
        steps=800_000,
        rate=2e-4,
        optim=dict(schedule="constant"),
    )

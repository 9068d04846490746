"""A convolutional VAE with a diffusion prior on CIFAR-10, 256 levels, trained with flips.

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    choices = variants.PRIOR_CHOICES | {"training": variants.TRAINING}
    variant = variants.parse(arg, choices=choices)
    config = variants.defaults()
    config.data.update(name="cifar10", num_validation=5000, augmentation="flip")
    small = variant.has("smoke")
    channels = (8, 8, 8) if small else (64, 128, 256)
    config.model = dict(
        name="vae",
        latent_shape=(128,),
        encoder=dict(name="ConvEncoder", channels=channels, hidden=512),
        decoder=dict(name="ConvDecoder", channels=channels[::-1], hidden=512),
        prior=variants.prior(variant, width=32 if small else 512),
        likelihood=dict(name="discretized_logistic", scale="predicted"),
        log_var_floor=-7.0,
        kl_warmup_steps=5000,
    )
    variants.set_training(config, variant["training"])
    config.optim.update(learning_rate=5e-4, warmup_steps=500, clip_norm=2000.0)
    config.train.update(steps=88_000, batch_size=128)  # 250 epochs
    config.eval.update(every=2200, batch_size=200)
    if small:
        variants.smoke(config)
    return config

"""A convolutional VAE with a diffusion prior on dynamically binarised MNIST.

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
    config.data.update(name="mnist", num_validation=5000, binarization="dynamic")
    small = variant.has("smoke")
    config.model = dict(
        name="vae",
        latent_shape=(32,),
        encoder=dict(name="ConvEncoder", channels=(8, 8) if small else (32, 64)),
        decoder=dict(name="ConvDecoder", channels=(8, 8) if small else (64, 32)),
        prior=variants.prior(variant, width=32 if small else 256),
        likelihood=dict(name="bernoulli"),
        log_var_floor=-7.0,
        kl_warmup_steps=2000,
    )
    variants.set_training(config, variant["training"])
    config.optim.update(learning_rate=1e-3, warmup_steps=200, clip_norm=200.0)
    config.train.update(steps=22_000, batch_size=250)  # 100 epochs
    config.eval.update(every=1100)
    if small:
        variants.smoke(config)
    return config

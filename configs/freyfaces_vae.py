"""A convolutional VAE with a diffusion prior on the Frey faces, 256 levels.

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
    config.data.update(name="freyfaces", num_validation=200)
    small = variant.has("smoke")
    config.model = dict(
        name="vae",
        latent_shape=(16,),
        encoder=dict(name="ConvEncoder", channels=(8, 8) if small else (32, 64)),
        decoder=dict(name="ConvDecoder", channels=(8, 8) if small else (64, 32)),
        prior=variants.prior(variant, width=32 if small else 128),
        likelihood=dict(name="discretized_logistic", scale="predicted"),
        log_var_floor=-7.0,
        kl_warmup_steps=300,
    )
    variants.set_training(config, variant["training"])
    config.optim.update(learning_rate=1e-3, warmup_steps=100, clip_norm=2000.0)
    config.train.update(steps=3000, batch_size=100, patience=10)  # 191 epochs at most
    config.eval.update(every=150)
    if small:
        variants.smoke(config)
    return config

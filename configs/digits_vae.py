"""A VAE with a diffusion prior on the 8x8 digits inside scikit-learn; minutes on two CPU cores.

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
    config.data.update(name="digits", num_validation=180)
    width = 32 if variant.has("smoke") else 256
    floor = -5.0
    config.model = dict(
        name="vae",
        latent_shape=(12,),
        encoder=dict(name="MLP", width=width, depth=2, dropout=0.4),
        decoder=dict(name="MLP", width=width, depth=2, dropout=0.4),
        prior=variants.prior(variant, width=width // 2, log_var_floor=floor),
        log_var_floor=floor,
        likelihood=dict(name="discretized_logistic", scale="predicted"),
        kl_warmup_steps=1500,
    )
    variants.set_training(config, variant["training"])
    config.optim.update(learning_rate=1e-3, weight_decay=0.2, warmup_steps=100, clip_norm=100.0)
    config.train.update(steps=2000, batch_size=128, steps_per_dispatch=20)
    config.eval.update(every=500, batch_size=360, iwae_samples=128, iwae_chunk=16)
    config.eval.estimators = ("elbo", "elbo_discrete", "iwae")
    config.log.every = 200
    if variant.has("smoke"):
        variants.smoke(config)
    return config

"""The small VAE of MNIST: three dense layers either way and a plane of latents by default.

Variants: `likelihood=bernoulli|normal` (dynamically binarised, or grey with one learned scale),
`prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow, `latent=2|8|16|32`,
`training=joint|detached|prior`, `smoke`.
"""

from vdp import variants

LIKELIHOODS = {
    "bernoulli": dict(name="bernoulli"),
    "normal": dict(name="normal", scale="learned"),
}


def get_config(arg=""):
    """Returns the config."""
    choices = {"likelihood": tuple(LIKELIHOODS), "latent": (2, 8, 16, 32)}
    choices["training"] = variants.TRAINING
    variant = variants.parse(arg, choices=variants.PRIOR_CHOICES | choices)
    config = variants.defaults()
    binary = variant["likelihood"] == "bernoulli"
    config.data.update(name="mnist", num_validation=5000)
    config.data.binarization = "dynamic" if binary else "none"
    small = variant.has("smoke")
    widths = (16, 16) if small else (512, 256)
    config.model = dict(
        name="vae",
        latent_shape=(variant["latent"],),
        encoder=dict(name="FeedForward", widths=widths),
        decoder=dict(name="FeedForward", widths=widths[::-1]),
        prior=variants.prior(variant, width=32 if small else 128),
        likelihood=LIKELIHOODS[variant["likelihood"]],
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

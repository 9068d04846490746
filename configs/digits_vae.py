"""A VAE with a diffusion prior on the 8x8 digits inside scikit-learn; minutes on two CPU cores.

Variants: `prior=vdm|normal`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    variant = variants.parse(arg, choices={"prior": variants.PRIORS})
    config = variants.defaults()
    config.data.update(name="digits", num_validation=180)
    width = 32 if variant.has("smoke") else 256
    config.model = dict(
        name="vae",
        latent_shape=(16,),
        encoder=dict(name="MLP", width=width, depth=2, dropout=0.2),
        decoder=dict(name="MLP", width=width, depth=2, dropout=0.2),
        prior=variants.prior(variant["prior"], width=width),
        likelihood=dict(name="discretized_logistic", scale="predicted"),
        kl_warmup_steps=500,
    )
    config.optim.update(learning_rate=2e-3, weight_decay=0.05, warmup_steps=100, clip_norm=100.0)
    config.train.update(steps=8000, batch_size=128, steps_per_dispatch=20)
    config.eval.update(every=1000, iwae_samples=128, iwae_chunk=16, batch_size=360)
    config.log.every = 200
    if variant.has("smoke"):
        variants.smoke(config)
    return config

"""A convolutional VAE with a diffusion prior on Caltech 101 silhouettes, black and white.

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.conv_vae(
        arg,
        data=dict(name="silhouettes", num_validation=800),
        latent_size=32,
        channels=(32, 64),
        likelihood=dict(name="bernoulli"),
        prior_width=128,
        kl_warmup_steps=500,
        optim=dict(learning_rate=1e-3, warmup_steps=100, clip_norm=200.0),
        train=dict(steps=4100, batch_size=100, patience=10),  # 100 epochs at most
        evaluation=dict(every=205),
    )

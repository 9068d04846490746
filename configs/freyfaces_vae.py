"""A convolutional VAE with a diffusion prior on the Frey faces, 256 levels.

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.conv_vae(
        arg,
        data=dict(name="freyfaces", num_validation=200),
        latent_size=16,
        channels=(32, 64),
        likelihood=dict(name="discretized_logistic", scale="predicted"),
        prior_width=128,
        kl_warmup_steps=300,
        optim=dict(learning_rate=1e-3, warmup_steps=100, clip_norm=2000.0),
        train=dict(steps=3000, batch_size=100, patience=10),  # 191 epochs at most
        evaluation=dict(every=150),
    )

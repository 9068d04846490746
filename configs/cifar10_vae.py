"""A convolutional VAE with a diffusion prior on CIFAR-10, 256 levels, trained with flips.

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.conv_vae(
        arg,
        data=dict(name="cifar10", num_validation=5000, augmentation="flip"),
        latent_size=128,
        channels=(64, 128, 256),
        hidden=512,
        likelihood=dict(name="discretized_logistic", scale="predicted"),
        prior_width=512,
        kl_warmup_steps=5000,
        optim=dict(learning_rate=5e-4, warmup_steps=500, clip_norm=2000.0),
        train=dict(steps=88_000, batch_size=128),  # 250 epochs
        evaluation=dict(every=2200, batch_size=200),
    )

"""A convolutional VAE with a diffusion prior on dynamically binarised MNIST.

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.conv_vae(
        arg,
        data=dict(name="mnist", num_validation=5000, binarization="dynamic"),
        latent_size=32,
        channels=(32, 64),
        likelihood=dict(name="bernoulli"),
        prior_width=256,
        kl_warmup_steps=2000,
        optim=dict(learning_rate=1e-3, warmup_steps=200, clip_norm=200.0),
        train=dict(steps=22_000, batch_size=250),  # 100 epochs
        evaluation=dict(every=1100),
    )

"""DCGAN VAE on grey MNIST with any prior, for small machines; masses of 256 levels.

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`latent=40|2|8|20|100|200`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.dcgan(
        arg,
        data=dict(name="mnist", num_validation=5000),
        latents=(40, 2, 8, 20, 100, 200),
        channels=(32, 64, 128),
        likelihoods=("discretized_logistic",),
        epochs=50,
        epoch_steps=430,
    )

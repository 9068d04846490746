"""DCGAN VAE on CIFAR-10 with any prior (Wehenkel & Louppe 2021): 250 epochs, one learned sigma.

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`likelihood=normal|discretized_logistic` (a density of pixels, or masses of their 256 levels),
`latent=40|8|20|100|200`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.dcgan(
        arg,
        data=dict(name="cifar10", num_validation=5000),
        latents=(40, 8, 20, 100, 200),
        channels=(64, 128, 256),
        likelihoods=("normal", "discretized_logistic"),
        epochs=250,
        epoch_steps=352,
        prior_width=512,
    )

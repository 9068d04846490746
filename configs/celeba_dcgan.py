"""DCGAN VAE on CelebA, 64x64, with any prior (Wehenkel & Louppe 2021): 250 epochs.

CelebA has no classes: a FID takes the features of a file of Inception weights
(`--config.eval.estimators=elbo,fid --config.eval.fid_features=inception:FILE`).

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`likelihood=normal|discretized_logistic` (a density of pixels, or masses of their 256 levels),
`latent=40|100|200`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    config = variants.dcgan(
        arg,
        data=dict(name="celeba", num_validation=5000),
        latents=(40, 100, 200),
        channels=(64, 128, 256, 512),
        likelihoods=("normal", "discretized_logistic"),
        epochs=250,
        epoch_steps=1233,
        prior_width=512,
    )
    config.eval.estimators = ("elbo", "elbo_discrete", "iwae")
    return config

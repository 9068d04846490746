"""DCGAN VAE on the 8x8 digits inside scikit-learn with any prior: a minute on two CPU cores.

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`latent=8|2|16|40`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    config = variants.dcgan(
        arg,
        data=dict(name="digits", num_validation=180),
        latents=(8, 2, 16, 40),
        channels=(32, 64),
        likelihoods=("discretized_logistic",),
        epochs=150,
        epoch_steps=10,
        prior_width=128,
        log_var_floor=-5.0,
    )
    config.eval.update(every=config.train.steps // 5, batch_size=360, iwae_chunk=16)
    return config

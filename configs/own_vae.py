"""A convolutional VAE for images of your own, made for what is known of them.

The images are `--config.data.name=folder:PATH`, `npz:PATH` or any other name; sizes, likelihood,
validation split, batch and epochs follow from them (vdp/variants/own.py).

Variants: `prior=vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal`, `schedule=NAME` and
`form=separate|merged` of diffusion priors, `transform=affine|spline` of flow,
`training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg="", facts=None):
    """Returns the config; without facts the fields alone by which data is named."""
    return variants.own_vae(arg, facts)

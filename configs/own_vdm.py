"""A variational diffusion model in pixel space for images of your own.

The images are `--config.data.name=folder:PATH`, `npz:PATH` or any other name; resolutions, noise,
validation split, batch and epochs follow from them (vdp/variants/own.py).

Variants: `schedule=NAME`, `dequantization=variational|uniform`, `smoke`.
"""

from vdp import variants


def get_config(arg="", facts=None):
    """Returns the config; without facts the fields alone by which data is named."""
    return variants.own_vdm(arg, facts)

"""DVP-VAE for images of your own, made for what is known of them: a ladder with pseudo-inputs.

The images are `--config.data.name=folder:PATH`, `npz:PATH` or any other name; scales, likelihood,
standardisation, validation split, batch and epochs follow from them (vdp/variants/own.py).

Variants: `reference` (its start and sampler), `ladder`, `vamp` with `components=500|750|1000`,
`pseudoinput=dct|downsample|linear|none`, `size=3..11`,
`prior=vdm|ddpm|flow|tarflow|trajectory|mixture|normal`, `aggregation=full|none|z_1`,
`posterior=free|precision`,
`form`, `schedule`, `transform`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg="", facts=None):
    """Returns the config; without facts the fields alone by which data is named."""
    return variants.own_dvp(arg, facts)

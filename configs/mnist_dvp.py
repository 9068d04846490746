"""DVP-VAE on dynamically binarised MNIST: a ladder of 8 latents under DCT pseudo-inputs.

Variants: `reference`, `ladder`, `vamp` with `components=500|750|1000`,
`pseudoinput=dct|downsample|linear|none`, `size=3..11`,
`prior=vdm|ddpm|flow|tarflow|trajectory|mixture|normal`, `aggregation=full|none|z_1`,
`posterior=free|precision`, `depth=8|4|12|16`,
`form`, `schedule`, `transform`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.dvp(
        arg,
        data=dict(name="mnist", num_validation=5000, binarization="dynamic"),
        likelihood=dict(name="bernoulli"),
        published=variants.MNIST_SHAPE,
        default=variants.MNIST_SHAPE.light(),
        depths=variants.MNIST_DEPTHS,
        train_images=55_000,
    )

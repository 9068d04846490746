"""DVP-VAE on grey Fashion-MNIST, 256 levels: a ladder of 8 latents under DCT pseudo-inputs.

Variants: `reference`, `ladder`, `vamp` with `components=500|750|1000`,
`pseudoinput=dct|downsample|linear|none`, `size=3..11`,
`prior=vdm|ddpm|flow|tarflow|trajectory|mixture|normal`, `aggregation=full|none|z_1`,
`posterior=free|precision`, `depth=8|4|12|16`,
`form`, `schedule`, `transform`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants

SHAPE = variants.MNIST_SHAPE.replace(gamma=(-8.0, 7.0), clip_norm=20.0)


def get_config(arg=""):
    """Returns the config."""
    return variants.dvp(
        arg,
        data=dict(name="fashion_mnist", num_validation=5000),
        likelihood=dict(name="logistic_mixture", num_components=5),
        published=SHAPE,
        default=SHAPE.light(),
        depths=variants.MNIST_DEPTHS,
        train_images=55_000,
    )

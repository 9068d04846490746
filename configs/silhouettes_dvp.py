"""DVP-VAE on Caltech 101 silhouettes: a ladder of 8 latents under DCT pseudo-inputs.

Variants: `reference` (the shape and the rule published for MNIST), `ladder`, `vamp` with
`components=500|750|1000`, `pseudoinput=dct|downsample|linear|none`, `size=3..11`,
`prior=vdm|ddpm|flow|tarflow|trajectory|mixture|normal`, `aggregation=full|none|z_1`,
`posterior=free|precision`, `depth=8|4|12|16`,
`form`, `schedule`, `transform`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants

SHAPE = variants.MNIST_SHAPE.replace(code_size=5, batch_size=100, epochs=100, rates=(1e-2, 1e-4))


def get_config(arg=""):
    """Returns the config."""
    config = variants.dvp(
        arg,
        data=dict(name="silhouettes", num_validation=800),
        likelihood=dict(name="bernoulli"),
        published=SHAPE,
        default=SHAPE.light(),
        depths=variants.MNIST_DEPTHS,
        train_images=4_100,
    )
    config.train.patience = 10
    return config

"""DVP-VAE on dynamically binarised OMNIGLOT: a ladder of 8 latents under DCT pseudo-inputs.

Variants: `reference`, `ladder`, `vamp` with `components=500|750|1000`,
`pseudoinput=dct|downsample|linear|none`, `size=3..11`,
`prior=vdm|ddpm|flow|tarflow|trajectory|mixture|normal`, `aggregation=full|none|z_1`,
`posterior=free|precision`, `depth=8|4|12|16`,
`form`, `schedule`, `transform`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants

PUBLISHED = variants.MNIST_SHAPE.replace(
    width=80,
    hidden=40,
    code_size=5,
    denoiser=(32, 3, 0.05),
    num_steps=50,
    epochs=500,
    rates=(1e-2, 1e-4),
    clip_norm=2.0,
)


def get_config(arg=""):
    """Returns the config."""
    return variants.dvp(
        arg,
        data=dict(name="omniglot", num_validation=1000, binarization="dynamic"),
        likelihood=dict(name="bernoulli"),
        published=PUBLISHED,
        default=PUBLISHED.light(),
        depths=variants.MNIST_DEPTHS,
        train_images=23_345,
    )

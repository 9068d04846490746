"""DVP-VAE on the 8x8 digits inside scikit-learn; minutes on two CPU cores.

Variants: `reference`, `ladder`, `vamp` with `components=500|750|1000`,
`pseudoinput=dct|downsample|linear|none`, `size=3..8`,
`prior=vdm|ddpm|flow|tarflow|trajectory|mixture|normal`, `aggregation=full|none|z_1`,
`posterior=free|precision`, `depth=6|4|8`,
`form`, `schedule`, `transform`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants

SHAPE = variants.Shape(
    scales=((4, 3, 2), (2, 3, 2)),
    width=32,
    hidden=32,
    blocks=1,
    code_size=3,
    denoiser=(16, 1, 0.0),
    gamma=(-6.0, 7.0),
    num_steps=50,
    batch_size=128,
    epochs=200,
    rates=(5e-3, 1e-5),
    warmup_epochs=10,
    clip_norm=20.0,
)
DEFAULT = SHAPE.replace(
    scales=((4, 5, 2), (2, 1, 2)),
    patch=2,
    head_blocks=1,
    batch_size=64,
    epochs=64,
    kl_warmup_epochs=21,  # without it the upper latents of 4x4 fall silent
    rates=(2e-2, 1e-5),
)


def get_config(arg=""):
    """Returns the config."""
    return variants.dvp(
        arg,
        data=dict(name="digits", num_validation=180),
        likelihood=dict(name="logistic_mixture", num_components=3),
        published=SHAPE,
        default=DEFAULT,
        depths={6: (3, 3), 4: (2, 2), 8: (4, 4)},
        train_images=1257,
        image_size=8,
        evaluation=dict(batch_size=180, iwae_samples=32),
    )

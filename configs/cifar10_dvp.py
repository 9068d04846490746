"""DVP-VAE on CIFAR-10: a ladder of 28 latents under DCT pseudo-inputs, trained with flips.

Variants: `light` (12 latents, whose features the likelihood sees, in small batches: for two cores),
`reference`, `ladder`,
`vamp` with `components=500|750|1000`,
`pseudoinput=dct|downsample|linear|none`, `size=3..11`,
`prior=vdm|ddpm|flow|tarflow|trajectory|mixture|normal`, `aggregation=full|none|z_1`,
`posterior=free|precision`, `depth=28|20|36|44|45`,
`form`, `schedule`, `transform`, `training=joint|detached|prior`, `smoke`.
"""

from vdp import variants

PUBLISHED = variants.Shape(
    scales=((32, 10, 3), (16, 8, 3), (8, 6, 3), (4, 4, 3)),
    width=128,
    hidden=96,
    blocks=4,
    code_size=7,
    denoiser=(32, 3, 0.0),
    gamma=(-10.0, 7.0),
    num_steps=25,
    batch_size=128,
    epochs=3000,
    rates=(3e-3, 1e-4),
    warmup_epochs=5,
    clip_norm=150.0,
)
LIGHT = PUBLISHED.replace(
    scales=((16, 4, 3), (8, 6, 3), (4, 2, 3)),
    width=48,
    hidden=32,
    blocks=1,
    head_blocks=1,
    output_from="features",
    patch=2,
    batch_size=16,
    epochs=10,
    rates=(1e-2, 1e-4),
    warmup_epochs=0.025,
)
DEPTHS = {
    28: (10, 8, 6, 4),
    20: (8, 6, 4, 2),
    36: (12, 10, 8, 6),
    44: (14, 12, 10, 8),
    45: (15, 12, 10, 8),
}


def get_config(arg=""):
    """Returns the config."""
    return variants.dvp(
        arg,
        data=dict(name="cifar10", num_validation=5000, augmentation="flip"),
        likelihood=dict(name="logistic_mixture", num_components=10),
        published=PUBLISHED,
        default=PUBLISHED,
        depths=DEPTHS,
        light=LIGHT,
        train_images=45_000,
        standardise=(120.63838 / 255, 64.16736 / 255),
    )

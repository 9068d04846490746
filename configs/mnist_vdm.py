"""A variational diffusion model in pixel space on grey MNIST, 256 levels.

Variants: `schedule=NAME`, `dequantization=variational|uniform`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.vdm(
        arg,
        data=dict(name="mnist", num_validation=1000),
        denoiser=dict(width=32, depth=1, multipliers=(1, 2, 2), attention=(7,), dropout=0.0),
        gamma=(-13.3, 5.0),
        num_steps=250,
        batch_size=128,
        steps=43_000,  # 100 epochs
        rate=5e-4,
        judged=1000,
    )

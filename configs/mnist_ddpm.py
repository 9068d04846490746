"""A diffusion model of 1,000 steps in pixel space on grey MNIST, 256 levels.

Variants: `weights=simple|bound`, `betas=linear|cosine`, `dequantization=variational|uniform`,
`smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.ddpm(
        arg,
        data=dict(name="mnist", num_validation=250),
        denoiser=dict(width=32, depth=1, multipliers=(1, 2, 2), attention=(7,), dropout=0.0),
        batch_size=128,
        steps=43_000,  # 100 epochs
        rate=5e-4,
        judged=1000,
    )

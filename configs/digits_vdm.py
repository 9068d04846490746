"""A variational diffusion model in pixel space on the 8x8 digits; half an hour on two CPU cores.

Nearly half of it is the FID of 10,000 samples, which
`--config.eval.estimators=elbo,elbo_discrete` spares.

Variants: `schedule=NAME`, `dequantization=variational|uniform`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.vdm(
        arg,
        data=dict(name="digits", num_validation=180),
        denoiser=dict(
            width=32, depth=2, multipliers=(1, 2), attention=(4,), dropout=0.1, fourier=(2, 3)
        ),
        gamma=(-8.0, 5.0),
        num_steps=100,
        batch_size=64,
        steps=3000,
        rate=2e-3,
    )

"""An autoencoder of the 8x8 digits inside scikit-learn: seconds on two CPU cores.

The strengths of the kinds are such that each costs about a tenth more squared error of the
validation images than `kind=plain`.

Variants: `kind=plain|denoising|robust|contractive`, `latent=8|2|4|16`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    config = variants.autoencoder(
        arg,
        data=dict(name="digits", num_validation=180),
        latents=(8, 2, 4, 16),
        widths=(256, 128),
        options=dict(
            plain=dict(),
            denoising=dict(corruption=0.2, masking=0.0),
            robust=dict(radius=0.4, ascent_steps=5),
            contractive=dict(weight=0.1, probes=0),
        ),
        epochs=150,
        epoch_steps=10,
    )
    config.eval.batch_size = 360
    return config

"""An autoencoder of grey MNIST: minutes on two CPU cores.

The strengths of the kinds are such that after five epochs each costs 7 to 9 % more squared error of
the validation images than `kind=plain` (docs/results.md).

Variants: `kind=plain|denoising|robust|contractive`, `latent=32|2|8|16|64`, `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    return variants.autoencoder(
        arg,
        data=dict(name="mnist", num_validation=5000),
        latents=(32, 2, 8, 16, 64),
        widths=(512, 256),
        options=dict(
            plain=dict(),
            denoising=dict(corruption=0.25, masking=0.0),
            robust=dict(radius=0.4, ascent_steps=5),
            contractive=dict(weight=0.1, probes=1),
        ),
        epochs=20,
        epoch_steps=430,
    )

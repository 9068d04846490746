"""A classifier of the 8x8 digits inside scikit-learn: the features that FID uses by default.

Variants: `smoke`.
"""

from vdp import variants


def get_config(arg=""):
    """Returns the config."""
    variant = variants.parse(arg)
    data = variants.defaults().data
    data.update(name="digits", num_validation=180)
    config = variants.classifier(data)
    if variant.has("smoke"):
        variants.smoke(config)
    return config

"""Variational diffusion priors: latent-variable models with learned priors, in JAX and Flax."""

import importlib

__version__ = "0.1.1"
__all__ = ["__version__", "check_likelihood", "check_network", "check_prior", "compare", "load"]
_FROM = {"load": "vdp.run", "compare": "vdp.comparison"} | dict.fromkeys(__all__[1:4], "vdp.checks")


def __getattr__(name):
    """Resolves `vdp.load` and the checks on first use: `import vdp` does not import jax."""
    if name in _FROM:
        return getattr(importlib.import_module(_FROM[name]), name)
    raise AttributeError(f"module 'vdp' has no attribute {name!r}")

"""Variational diffusion priors: latent-variable models with learned priors, in JAX and Flax."""

__version__ = "0.1.1"
__all__ = ["__version__", "load"]


def __getattr__(name):
    """Resolves `vdp.load` on first use, so that `import vdp` does not import jax."""
    if name == "load":
        from vdp.run import load

        return load
    raise AttributeError(f"module 'vdp' has no attribute {name!r}")

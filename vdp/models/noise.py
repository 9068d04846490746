"""What the models draw for an estimate or samples; every leaf has the batch's axis first.

A model of one latent draws its prior's noise alone (`vdp.priors.noise`).
"""

from vdp.noise import structure
from vdp.priors.noise import DiffusionNoise, EstimateNoise, SampleNoise
from vdp.types import Array


@structure
class NoNoise:
    """Nothing is random: of an autoencoder the clean image, and the Jacobian computed exactly.

    Drawn by `Autoencoder.draw` and `Classifier.draw`.
    """


@structure
class Corruption:
    """What corrupts the input of a denoising autoencoder.

    Drawn by `Autoencoder.draw`.

    Attributes:
      eps: [B, H, W, C], standard normal; times `corruption` it is added to the image.
      kept: [B, H, W, C], bool: False, with probability `masking`, sets the number to 0.
    """

    eps: Array
    kept: Array


@structure
class BallStart:
    """Where the search of a robust autoencoder begins.

    Drawn by `Autoencoder.draw`.

    Attributes:
      start: [B, H, W, C], uniform in the unit ball of each example.
    """

    start: Array


@structure
class JacobianProbes:
    """What estimates the squared Jacobian of a contractive autoencoder.

    Drawn by `Autoencoder.draw`.

    Attributes:
      signs: [B, probes, *latent_shape] of +-1, each with probability 1/2.
    """

    signs: Array


@structure
class LadderNoise:
    """What one pass down a hierarchy needs that has no prior of its own: for its bound, or samples.

    Drawn by `HVAE.draw`, and by `HVAE.draw_sample`.

    Attributes:
      z: standard normal, one array for every scale, coarsest first: [B, latents, h, w, channels].
    """

    z: list[Array]


@structure
class HierarchyNoise:
    """The same with a prior over u, or over z_L, for the bound.

    Drawn by `HVAE.draw`.

    Attributes:
      z: as of `LadderNoise`; `z[0][:, 0]` is not looked at where the prior is over z_L.
      prior: of `prior.draw`; its z is the draw of u, or of z_L, in the ladder and in the prior.
    """

    z: list[Array]
    prior: EstimateNoise


@structure
class HierarchySampleNoise:
    """The same for samples.

    Drawn by `HVAE.draw_sample`.

    Attributes:
      z: as of `HierarchyNoise`.
      prior: of `prior.draw` for purpose="sample"; not looked at where u is given.
    """

    z: list[Array]
    prior: SampleNoise


@structure
class BinNoise:
    """What the ODE's density of uniformly dequantised images needs.

    Drawn by `PixelDiffusion.draw`.

    Attributes:
      bins: [B, H, W, C], uniform in [-1/2, 1/2): where in the bin of its level a number lies, in
        bin widths from the middle.
      prior: of `prior.draw`; of it the probes of the divergence alone, if there are any.
    """

    bins: Array
    prior: DiffusionNoise

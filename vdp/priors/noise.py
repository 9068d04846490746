"""What the priors draw for one evaluation; the first axis of every leaf is the batch's.

`...` are the axes of one latent z (in pixel space: of one image).
"""

from jaxtyping import Float

from vdp.diffusion.noise import (
    AllSteps,
    ExactOde,
    HutchinsonOde,
    Path,
    Quantiles,
    Times,
    structure,
)
from vdp.types import Array


@structure
class PosteriorNoise:
    """What a prior with an exact density needs: a draw of z.

    Drawn by `DensityPrior.draw`, for every purpose.

    Attributes:
      z: [B, ...], standard normal: the latent is mean + std * z, moments of q(z|x).
    """

    z: Float[Array, "b *s"]


@structure
class DiffusionNoise:
    """What a diffusion prior needs: a draw of z, and what one of its estimates is made of.

    Drawn by `DiffusionPrior.draw`, which chooses the estimate by the prior's bound and the purpose.

    Attributes:
      z: [B, ...], standard normal: the latent is mean + std * z, moments of q(z|x). Not looked at
        where the diffusion draws the latent itself: merged, by a path or the ODE's end.
      diffusion: times, all steps, a path, or the ODE's end.
    """

    z: Float[Array, "b *s"]
    diffusion: Times | Quantiles | AllSteps | Path | ExactOde | HutchinsonOde

"""What the priors draw for an estimate or for samples; every leaf has the batch's axis first.

`...` are the axes of one latent z (in pixel space: of one image).
"""

from jaxtyping import Float, Int32

from vdp.diffusion.noise import (
    AllSteps,
    Descent,
    ExactOde,
    HutchinsonOde,
    Path,
    Quantiles,
    Start,
    Times,
)
from vdp.noise import structure
from vdp.types import Array


@structure
class PosteriorNoise:
    """What a prior with an exact density needs: a draw of z.

    Drawn by `DensityPrior.draw`, for every purpose but "sample".

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


@structure
class TrajectoryNoise:
    """The noise of a trajectory's estimates: of a draw of z, and of one path of T steps.

    Drawn by `TrajectoryPrior.draw`, for every purpose but "sample", which is a `Descent`.

    Attributes:
      z: [B, ...], standard normal: the latent is mean + std * z, moments of q(z|x).
      path: [B, T, ...], standard normal: that of y_1, then of the steps down to y_{1/T}.
    """

    z: Float[Array, "b *s"]
    path: Float[Array, "b t *s"]


@structure
class BaseNoise:
    """What samples are made of that are a map of Gaussian noise: of a Gaussian, or of a flow.

    Drawn by `DensityPrior.draw` for purpose="sample".

    Attributes:
      z: [B, ...], standard normal.
    """

    z: Float[Array, "b *s"]


@structure
class MixtureNoise:
    """What samples of a mixture of Gaussians are made of.

    Drawn by `MixturePrior.draw` for purpose="sample".

    Attributes:
      gumbel: [B, K], standard Gumbel: the component is the largest of logits + gumbel.
      z: [B, ...], standard normal: the latent is mean + std * z, moments of the component.
    """

    gumbel: Float[Array, "b k"]
    z: Float[Array, "b *s"]


@structure
class VampNoise:
    """What samples of a VampPrior are made of.

    Drawn by `VampPrior.draw` for purpose="sample".

    Attributes:
      component: [B], uniform in 0..K - 1: of all pseudo-inputs, whose weights are equal.
      z: [B, ...], standard normal: the latent is mean + std * z, moments of q(z|u_k).
    """

    component: Int32[Array, "b"]
    z: Float[Array, "b *s"]


@structure
class SamplerNoise:
    """What samples of a diffusion prior are made of.

    Drawn by `DiffusionPrior.draw` for purpose="sample", for one sampler and number of steps.

    Attributes:
      sampler: where the sampler begins and, where its steps are random, their noise.
      end: [B, ...], standard normal: of z given y_0. Not looked at where z is y_0/alpha_0: in the
        merged form, and with last_noise=False.
    """

    sampler: Start | Descent
    end: Float[Array, "b *s"]


EstimateNoise = PosteriorNoise | DiffusionNoise | TrajectoryNoise
SampleNoise = BaseNoise | MixtureNoise | VampNoise | SamplerNoise | Descent

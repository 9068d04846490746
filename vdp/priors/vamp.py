"""VampPrior: the mixture of the posteriors of learned pseudo-inputs (Tomczak & Welling 2018)."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vdp import draws
from vdp.dists import Normal, mixture_log_prob
from vdp.errors import UserError
from vdp.levels import to_unit
from vdp.priors.density import DensityPrior
from vdp.priors.noise import PosteriorNoise, VampNoise
from vdp.settings.rules import Checked, Size
from vdp.types import Array, Encode, Key, Levels, Noise, Params, Purpose, Shape, Stats

MARGIN = 0.02  # initial pseudo-inputs stay this far inside [0, 1], where the sigmoid still moves


@dataclasses.dataclass(frozen=True, kw_only=True)
class VampPrior(DensityPrior, Checked):
    """The mixture log p(z) = logsumexp_k log q(z|u_k) - log K of the posteriors of images u_k.

    The u_k are kept in [0, 1] by a sigmoid. `encode` normalises them by the statistics of the data,
    so BatchNorm's averages never see them.

    Attributes:
      num_components: K.
      input_levels: levels of the images the encoder sees; given by the data.
    """

    points = ("logit_inputs",)

    input_levels: int
    num_components: Size = 500

    def init(
        self, rng: Key, z_shape: Shape, *, x_shape: Shape | None = None, data: Levels | None = None
    ) -> tuple[Params, Stats]:
        """Returns {"logit_inputs": [K, H, W, C]}, starting at random images of `data`; no stats.

        Without data they start uniform in [0, 1].

        Raises:
          UserError: neither data nor the shape of an image.
        """
        choice_rng, noise_rng = jax.random.split(rng)
        if data is None:
            if x_shape is None:
                raise UserError("a VampPrior starts at images: give `data`, or their `x_shape`")
            images = jax.random.uniform(noise_rng, (self.num_components, *x_shape))
        else:
            replace = len(data) < self.num_components
            shape = (self.num_components,)
            index = jax.random.choice(choice_rng, len(data), shape, replace=replace)
            images = to_unit(data[index], self.input_levels)
        images = jnp.clip(images, MARGIN, 1 - MARGIN)
        return {"logit_inputs": jnp.log(images) - jnp.log1p(-images)}, {}

    def pseudo_inputs(self, params: Params) -> Float[Array, "k h w c"]:
        """The images u_k in [0, 1], [K, H, W, C]."""
        return jax.nn.sigmoid(params["logit_inputs"])

    def _components(self, params: Params, encode: Encode | None) -> Normal:
        """The posteriors q(z|u_k) of all pseudo-inputs, [K, *z_shape]."""
        if encode is None:
            raise UserError("a VampPrior needs `encode`, from images in [0, 1] to q(z|x)")
        return encode(self.pseudo_inputs(params))

    def log_prob(
        self,
        params: Params,
        stats: Stats,
        z: Float[Array, "b *s"],
        encode: Encode | None = None,
    ) -> Float32[Array, "b"]:
        """Log density log p(z), [B].

        Raises:
          UserError: no `encode`.
        """
        uniform = jnp.full(self.num_components, -jnp.log(self.num_components))
        return mixture_log_prob(uniform, self._components(params, encode), z)

    def draw(
        self, rng: Key, num: int, z_shape: Shape, *, purpose: Purpose
    ) -> PosteriorNoise | VampNoise:
        """The noise of one posterior draw or, for purpose="sample", a `VampNoise` of samples."""
        if purpose != "sample":
            return super().draw(rng, num, z_shape, purpose=purpose)
        choice_rng, z_rng = jax.random.split(rng)
        component = jax.random.randint(choice_rng, (num,), 0, self.num_components)
        return VampNoise(component=component, z=draws.normal(z_rng, (num, *z_shape)))

    def sample(
        self,
        params: Params,
        stats: Stats,
        rng: Key | None,
        num: int,
        *,
        z_shape: Shape,
        encode: Encode | None = None,
        temperature: float = 1.0,
        noise: Noise = None,
    ) -> Float[Array, "{num} *s"]:
        """Draws z [num, *z_shape] from q(z|u_k) of random k; `temperature` scales deviations.

        Raises:
          UserError: no `encode`, or a noise that is no `VampNoise`.
        """
        drawn = self._noise_of_sample(VampNoise, noise, rng, num, z_shape)
        components = self._components(params, encode)
        chosen = jax.tree.map(lambda leaf: leaf[drawn.component], components)
        return chosen.sample(temperature * drawn.z)


make = VampPrior

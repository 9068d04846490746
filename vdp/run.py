"""A trained run, opened from its workdir: scores, codes, reconstructions and samples."""

import dataclasses
import functools
import inspect
import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import config_dict

from vdp import build, optim, parallel, state, step
from vdp import config as configs
from vdp.checkpoint import Checkpoints, Damaged
from vdp.data import load as data_load
from vdp.dists import Normal
from vdp.errors import UserError, choose_from
from vdp.evals import likelihood
from vdp.evaluator import Evaluator
from vdp.types import Model, Params, Stats, Terms

PACKED_LEAVES = 100  # from where on the update packs them: copies for shorter compilation


def state_template(config, model: Model, x_shape, mesh):
    """(optimiser, shapes with shardings) of a run's state; needs no data and no memory."""
    key = jax.random.key(config.seed)
    params, _ = jax.eval_shape(lambda: model.init(key, x_shape))
    bits = -likelihood.bits_per_dim(1.0, x_shape)
    many = len(jax.tree.leaves(params)) >= PACKED_LEAVES
    packed = many and jax.default_backend() == "cpu" and not config.train.fsdp
    optimizer = optim.make(
        config.optim,
        config.train.steps,
        params,
        bits_per_nat=bits,
        packed=packed,
        ranges=getattr(model, "parameter_ranges", None),
    )
    shapes = jax.eval_shape(lambda: state.create(model, optimizer, key, x_shape))
    shardings = parallel.state_shardings(shapes, mesh, fsdp=config.train.fsdp)
    template = jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        shardings,
    )
    return optimizer, template


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A model with the EMA parameters of one checkpoint. Images are uint8 levels [N, H, W, C].

    Where the data is binarised, images are 0/1: `vdp.data.load.binarize` makes them so.
    """

    config: config_dict.ConfigDict = dataclasses.field(repr=False)
    model: Model
    params: Params = dataclasses.field(repr=False)
    stats: Stats = dataclasses.field(repr=False)
    step: int
    facts: data_load.Facts
    evaluator: Evaluator = dataclasses.field(repr=False)

    def _arrays(self, x):
        x = np.asarray(x)
        x = x[..., None] if x.ndim == 3 and self.facts.shape[-1] == 1 else x
        if x.dtype != np.uint8 or x.shape[1:] != self.facts.shape or len(x) == 0:
            raise UserError(
                f"images must be uint8 [N, {', '.join(map(str, self.facts.shape))}], not "
                f"{x.dtype} {list(x.shape)}"
            )
        if x.max() >= self.facts.input_levels:
            hint = " (vdp.data.load.binarize)" if self.facts.input_levels == 2 else ""
            raise UserError(
                f"this model's images have levels 0..{self.facts.input_levels - 1}{hint}"
            )
        target = x
        if self.facts.levels != self.facts.input_levels:  # the encoder sees grey, the target is 0/1
            seed = self.config.data.binarization_seed
            target = data_load.binarize(x, self.facts.input_levels, seed)
        return target, x, np.full(len(x), -1, np.int32)

    def _require(self, method: str) -> None:
        if not hasattr(self.model, method):
            raise UserError(f"model {self.config.model.name} has no {method}")

    def map(self, key, function, arrays, *, progress=lambda done: None):
        """Maps function(model, params, stats, batch, rng) over (target, input, labels)."""
        bound = functools.partial(function, self.model)
        return self.evaluator.map(key, bound, self.params, self.stats, arrays, progress=progress)

    def each(self, key, function, arrays):
        """The same batch by batch, for results too large to keep."""
        bound = functools.partial(function, self.model)
        return self.evaluator.each(key, bound, self.params, self.stats, arrays)

    def elbo(self, x) -> Terms:
        """The bound in nats with its parts, each [N]."""
        parts = self.map("elbo", step.elbo_step, self._arrays(x))
        return Terms(value=parts.pop("value"), parts=parts)

    def iwae(self, x, *, num_samples: int | None = None) -> np.ndarray:
        """The IWAE bound in nats, [N]; `num_samples` defaults to eval.iwae_samples."""
        self._require("log_weight")
        num_samples = num_samples or self.config.eval.iwae_samples
        function = iwae_function(num_samples, self.config.eval.iwae_chunk)
        return self.map(("iwae", num_samples), function, self._arrays(x))["value"]

    def encode(self, x) -> Normal:
        """q(z|x): mean and log-variance, each [N, *latent_shape]."""
        self._require("encode")
        return self.map(
            "encode", lambda model, p, s, batch, _: model.encode(p, s, batch.input), self._arrays(x)
        )

    def reconstruct(self, x) -> np.ndarray:
        """Mean images in [0, 1] of one posterior draw each, [N, H, W, C]."""
        self._require("reconstruct")
        return self.map("reconstruct", reconstruct, self._arrays(x))

    def sample(self, num: int, *, seed: int = 0, mean: bool = True, **options) -> np.ndarray:
        """[num, H, W, C] images in [0, 1].

        Args:
          num: how many.
          seed: of the draw.
          mean: the likelihood's mean; False draws pixels.
          options: of the prior's sampler: `sampler`, `sampler_steps`, `eta` for diffusion priors.
        """
        self._require("sample")
        if mean and hasattr(self.model, "sample_latents"):
            return self.decode(self.sample_latents(num, seed=seed, **options))
        shape = self.facts.shape
        draw = functools.partial(self.model.sample, x_shape=shape, mean=mean, **options)
        return self._draw(("sample", mean), draw, num, seed, options)

    def sample_latents(self, num: int, *, seed: int = 0, **options) -> np.ndarray:
        """[num, *latent_shape] draws of the prior; options as of `sample`."""
        self._require("sample_latents")
        draw = functools.partial(self.model.sample_latents, **options)
        return self._draw(("latents",), draw, num, seed, options)

    def denoising(self, num: int, *, seed: int = 0, **options) -> np.ndarray:
        """The diffusion prior's z_hat at every step of its sampler: [num, T, *prior_shape]."""
        model = self.model

        def draw(params, stats, rng, size):
            shape = model.prior_shape(self.facts.shape)
            drawn = model.prior.denoising(params["prior"], rng, size, z_shape=shape, **options)
            return jnp.swapaxes(drawn[1], 0, 1)

        return self._draw(("denoising",), draw, num, seed, options)

    def _draw(self, key, function, num: int, seed: int, options) -> np.ndarray:
        """`num` results of function(params, stats, rng, size), always in batches of one size."""
        check_sampler(self.model, options)
        size = self.evaluator.batch_size
        compiled = self.evaluator.jitted(
            (*key, *sorted(options.items())), lambda p, s, _, rng: function(p, s, rng, size)
        )
        keys = jax.random.split(jax.random.key(seed), -(-num // size))
        drawn = [np.asarray(compiled(self.params, self.stats, {}, key)) for key in keys]
        return np.concatenate(drawn)[:num]

    def decode(self, z) -> np.ndarray:
        """Mean images in [0, 1] of latents [N, *latent_shape]: [N, H, W, C]."""
        self._require("decode_mean")
        return self._images_of("decode", self.model.decode_mean, z)

    def show(self, z) -> np.ndarray:
        """What the prior's latents [N, *prior_shape] look like: [N, H, W, C] in [0, 1]."""
        return self._images_of("show", self.model.prior_images, z)

    def _images_of(self, key: str, function, z) -> np.ndarray:
        shape, size = self.facts.shape, self.evaluator.batch_size
        compiled = self.evaluator.jitted(
            key, lambda params, stats, z, _: function(params, stats, z, shape)
        )
        z, images, key = np.asarray(z, np.float32), [], jax.random.key(0)
        for start in range(0, len(z), size):
            part = z[start : start + size]
            padded = np.resize(part, (size, *z.shape[1:]))
            images.append(np.asarray(compiled(self.params, self.stats, padded, key))[: len(part)])
        return np.concatenate(images)

    def images(self, split: str = "test") -> np.ndarray:
        """The images of a split as the model is evaluated on them, uint8 [N, H, W, C]."""
        if split not in data_load.SPLITS:
            raise choose_from("split", split, data_load.SPLITS)
        dataset = data_load.load(self.config.data)
        return data_load.fixed_images(dataset.splits[split], self.facts, self.config.data)[1]


def check_sampler(model: Model, options: dict) -> None:
    """Refuses options of `Run.sample` that the model or its prior does not have; UserError."""
    prior, own = getattr(model, "prior", None), {}
    accepted = inspect.signature(prior.sample).parameters if prior else {}
    for option, value in options.items():
        if option == "z_temperature" and hasattr(model, "tempered"):
            own[option] = value
        elif option not in accepted:
            raise UserError(
                f"the prior of this run is sampled exactly: there is no option {option!r}"
            )
    try:
        if own:
            model.tempered([], own["z_temperature"])
        rest = {option: value for option, value in options.items() if option not in own}
        getattr(prior, "check_sampler", lambda **_: None)(**rest)
        if not rest.get("temperature", 1.0) >= 0:
            raise ValueError("sample.temperature must not be negative")
    except ValueError as error:
        raise UserError(str(error)) from error


def sampler_options(config) -> dict:
    """What `config.sample` asks of the prior's sampler; empty means its own."""
    fields = ("sampler", "sampler_steps", "eta", "z_temperature")
    chosen = {field: config[field] for field in fields if config.get(field)}
    if config.get("temperature", 1.0) != 1:
        chosen["temperature"] = config.temperature
    return chosen


def reconstruct(model: Model, params, stats, batch, rng):
    """For `Run.map`: mean images in [0, 1]."""
    return model.reconstruct(params, stats, batch.input, rng)


def iwae_function(num_samples: int, chunk: int) -> Callable:
    """For `Run.map`: "value", the IWAE bound, and "ess", the effective sample size, each [B]."""
    return functools.partial(_iwae, num_samples=num_samples, chunk=min(chunk, num_samples))


def _iwae(model, params, stats, batch, rng, **kwargs):
    value, ess = likelihood.iwae_with_ess(model, params, stats, batch, rng, **kwargs)
    return {"value": value, "ess": ess}


def restore(config, workdir: pathlib.Path, which: str | int) -> Run:
    """Opens one checkpoint of a run, on whatever devices there are.

    Args:
      config: the run's config.
      workdir: the run's folder.
      which: "best" (by validation bound), "latest" or a step.

    Raises:
      UserError: no such checkpoint, a damaged one, or one of another architecture.
    """
    mesh = parallel.make_mesh()
    stored = configs.read_run_file(workdir)
    same_data = stored["config"]["data"]["name"] == config.data.name and "data" in stored
    facts = data_load.recall(stored["data"], config.data) if same_data else None
    facts = facts or data_load.describe(config.data)
    model = build.model(config, facts)
    _, template = state_template(config, model, facts.shape, mesh)
    if not (pathlib.Path(workdir) / "checkpoints").is_dir():
        raise UserError(f"{workdir} holds no checkpoints: train first")
    checkpoints = Checkpoints(workdir, read_only=True)
    try:
        found = checkpoints.resolve(which)
        restored = checkpoints.restore(found, template)
    except Damaged as error:
        others = [s for s in checkpoints.steps if s != found]
        hint = f"; other checkpoints: {', '.join(map(str, others))}" if others else ""
        raise UserError(f"{error} in {checkpoints.folder}{hint}") from error
    finally:
        checkpoints.close()
    return Run(
        config=config,
        model=model,
        params=restored.ema,
        stats=restored.ema_stats,
        step=int(restored.step),
        facts=facts,
        evaluator=Evaluator(mesh, config.eval.batch_size, config.eval.seed),
    )


def load(workdir, step: str | int = "best") -> Run:
    """Opens a run for scoring and sampling in Python.

    Args:
      workdir: the folder a training run wrote.
      step: "best" (by validation bound), "latest" or a step number.
    """
    return restore(configs.read_run(workdir), pathlib.Path(workdir), step)

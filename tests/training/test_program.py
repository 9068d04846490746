"""What a run's settings make of its program: each does in a real run what its name says."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vdp import build, config
from vdp.data import datasets, feeds
from vdp.metrics import score
from vdp.metrics.batched import Batched
from vdp.runtime import parallel
from vdp.runtime.progress import Progress
from vdp.settings import Settings
from vdp.training import accumulation, fit, loop, program, state, step, validation
from vdp.types import ELBO

NORMAL = "digits_vae:prior=normal,smoke"


class Setup:
    """A run of a config, as `vdp.training.fit` puts it together; nothing is compiled."""

    def __init__(self, name, **overrides):
        self.settings = config.settings(name, list(overrides.items()))
        self.dataset, self.mesh = datasets.load(self.settings.data), parallel.make_mesh()
        self.shape = self.dataset.facts.shape
        self.model = build.model(self.settings.model, self.dataset.facts)
        made = state.template(self.settings, self.model, self.shape, self.mesh)
        self.optimizer, self.template = made

    @functools.cached_property
    def start(self):
        return fit.new_state(self.settings, self.model, self.optimizer, self.template, self.dataset)

    def chunk(self):
        levels, current = self.dataset.facts.info.levels, self.template
        of = (self.settings, self.model, self.optimizer, levels, current, self.mesh)
        return program.chunk(*of, num_steps=1)

    def feed(self):
        train, split = self.settings.train, self.dataset.splits["train"]
        how = dict(seed=0, batch_size=train.batch_size, placement="auto", mesh=self.mesh)
        return feeds.make(split, **how).feed(0, 1)


def test_the_average_is_of_the_decay_in_the_settings():
    how = {"train.ema_decay": "0.25", "train.ema_warmup": "False", "optim.warmup_steps": "0"}
    run = Setup(NORMAL, **how)
    before = jax.tree.map(np.array, run.start.params)
    after, _ = run.chunk()(jax.tree.map(jnp.copy, run.start), run.feed())
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), before, after.params)
    assert max(jax.tree.leaves(moved)) > 1e-5
    expected = jax.tree.map(lambda a, b: 0.25 * a + 0.75 * b, before, after.params)
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)
    jax.tree.map(close, after.ema, expected)


def test_a_validation_scores_the_averages():
    run = Setup(NORMAL, **{"eval.batch_size": "64"})
    poisoned = lambda tree: jax.tree.map(lambda x: jnp.full_like(x, jnp.nan), tree)
    current = run.start.replace(params=poisoned(run.start.params))
    measure = validation.Validation(run.settings, run.model, run.dataset, run.mesh, Progress("", 1))
    found = measure.measure(current, 0).metric
    images = datasets.fixed_images(
        run.dataset.splits["validation"], run.dataset.facts, run.settings.data
    )
    batched = Batched(run.mesh, 64, run.settings.eval.seed)
    arrays = (*images, run.dataset.splits["validation"].labels)
    values = batched.map(score.flat_terms, run.model, run.start.ema, run.start.ema_stats, arrays)
    np.testing.assert_allclose(found, values["value"].mean(), rtol=1e-6)


def test_microbatches_of_the_settings_are_what_is_accumulated(monkeypatch):
    counts = []

    def spy(*args, count, **kwargs):
        counts.append(count)
        return accumulated(*args, count=count, **kwargs)

    accumulated = accumulation.accumulated
    monkeypatch.setattr(step.accumulation, "accumulated", spy)
    run = Setup(NORMAL, **{"train.microbatches": "2"})
    run.chunk().lower(run.template, run.feed())
    assert counts == [2]


def update(settings, model, shape):
    """What one step adds to parameters of 0 by a gradient of ones."""
    optimizer, template = state.template(settings, model, shape, parallel.make_mesh())
    zeros, ones = (
        jax.tree.map(lambda leaf, fill=fill: jnp.full(leaf.shape, fill), template.params)
        for fill in (0.0, 1.0)
    )
    return jax.jit(lambda: optimizer.update(ones, optimizer.init(zeros), zeros)[0])()


@pytest.mark.parametrize("unit", ["nats", "bits_per_dim"])
def test_a_step_goes_down_whatever_the_unit_of_its_gradient(unit):
    """Bits per dimension have another sign than nats."""
    run = Setup(NORMAL, **{"optim.gradient_unit": unit, "optim.warmup_steps": "0"})
    updates = update(run.settings, run.model, run.shape)
    assert all(np.all(leaf < 0) for leaf in jax.tree.leaves(updates))


def test_a_gradient_in_bits_per_dimension_is_that_in_nats_over_them():
    """Seen in Adam's first moment: its steps are of one size whatever the unit."""
    moments = []
    for unit in ("nats", "bits_per_dim"):
        run = Setup(NORMAL, **{"optim.gradient_unit": unit, "optim.clip_norm": "0"})
        like = run.template.params
        zeros, ones = (jax.tree.map(lambda x, v=v: jnp.full(x.shape, v), like) for v in (0.0, 1.0))
        _, after = run.optimizer.update(ones, run.optimizer.init(zeros), zeros)
        (adam,) = (part for part in after if hasattr(part, "mu"))
        moments.append(float(jax.tree.leaves(adam.mu)[0].ravel()[0]))
    np.testing.assert_allclose(moments[0] / moments[1], 64 * np.log(2), rtol=1e-5)


def test_a_window_with_updates_that_were_skipped_has_the_mean_of_the_others():
    written = {}
    looped = types.SimpleNamespace(
        optimizer=types.SimpleNamespace(learning_rate=lambda step: 0.5), settings=Settings(),
        clock=0.0, spent=0.0, clock_step=0, bits=False, score=ELBO, progress=Progress("", 1),
        metrics=types.SimpleNamespace(write=lambda step, values: written.update(values)),
    )  # fmt: skip
    series = {"elbo": [-1.0, np.nan, -3.0], "bad_steps": [0.0, 1.0, 0.0]}
    loop.Loop._log(looped, 3, [{name: np.array(values) for name, values in series.items()}])
    assert written["train/elbo"] == -2.0
    assert written["train/bad_steps"] == 1.0


def test_a_step_ends_in_the_ranges_of_the_model():
    """A hierarchy's q(u|x) has a log-variance of -5 at most, to which 0 is brought at once."""
    spec = {
        "name": "hvae", "scales": ((2, 2, 1),), "encoder": {"name": "toys.LinearEncoder"},
        "decoder": {"name": "toys.LinearDecoder"}, "prior": {"name": "normal"},
        "likelihood": {"name": "normal", "scale": 0.5}, "log_var_u": (-12.0, -5.0),
        "pseudoinput": {"name": "downsample", "size": 2, "antialias": False},
    }  # fmt: skip
    model = build.build("model", spec, levels=256, input_levels=256)
    updates = update(config.settings(NORMAL), model, (2, 2, 1))
    np.testing.assert_array_equal(updates["decoder"]["noise"], -5.0)


@pytest.mark.parametrize("asked", [True, False])
def test_a_state_is_spread_where_the_settings_ask_for_it(asked, monkeypatch):
    monkeypatch.setattr(parallel, "FSDP_MIN_SIZE", 2)
    run = Setup(NORMAL, **{"train.fsdp": str(asked)})
    spread = [tuple(leaf.sharding.spec) != () for leaf in jax.tree.leaves(run.template.params)]
    assert any(spread) == asked


def test_an_update_that_is_not_finite_changes_nothing():
    """The loss may be finite where a gradient is not."""
    run = Setup(NORMAL, **{"optim.warmup_steps": "0"})
    before = run.start
    gradients = jax.tree.map(jnp.ones_like, before.params)
    leaves, tree = jax.tree.flatten(gradients)
    leaves[-1] = leaves[-1].at[...].set(jnp.nan)
    metrics, stats = {"loss": jnp.float32(1.0)}, jax.tree.map(lambda x: x + 1, before.stats)
    apply = functools.partial(step.apply_gradients, optimizer=run.optimizer, ema_decay=0.5)
    after, said = apply(before, metrics, stats, jax.tree.unflatten(tree, leaves))
    for name in ("params", "stats", "opt_state", "ema", "ema_stats"):
        kept = getattr(before, name), getattr(after, name)
        jax.tree.map(np.testing.assert_array_equal, *kept)
    assert (int(after.step), int(said["bad_steps"])) == (1, 1)
    after, said = apply(before, metrics, stats, gradients)
    assert int(said["bad_steps"]) == 0
    assert all(np.any(a != b) for a, b in zip(
        jax.tree.leaves(after.params), jax.tree.leaves(before.params), strict=True
    ))  # fmt: skip


def test_checkpoints_are_saved_between_validations(tmp_path, cli, monkeypatch, undrawn):
    saved = []
    save = loop.Loop._save
    monkeypatch.setattr(
        loop.Loop, "_save", lambda self, now: saved.append(int(now.step)) or save(self, now)
    )
    code, _, err = cli(
        "--config=digits_ae:smoke", f"--workdir={tmp_path / 'run'}", "--config.train.steps=5",
        "--config.checkpoint.every=2", "--config.eval.every=100",
    )  # fmt: skip
    assert code == 0, err
    assert saved == [2, 4]


def test_processes_with_other_images_or_settings_are_refused(refused, tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(parallel, "alike", lambda text: told.append(text) or False)
    refused(
        "--config=digits_ae:smoke", f"--workdir={tmp_path / 'run'}",
        says=["the processes of this run have other images or settings each"],
    )  # fmt: skip
    (text,) = told
    assert '"train"' in text
    assert "learning_rate" in text
    assert not (tmp_path / "run").exists()


def test_what_processes_have_to_have_alike(monkeypatch):
    told = []
    monkeypatch.setattr(parallel, "alike", lambda text: told.append(text) or True)
    own = config.settings("digits_ae:smoke")
    fit._check_alike(own, {})
    for changes in (
        dict(eval=dict(every=3)), dict(checkpoint=dict(every=3)), dict(sample=dict(num=3)),
        dict(data=dict(augmentation="flip")), dict(data=dict(binarization_seed=3)),
    ):  # fmt: skip
        fit._check_alike(own.replace(**changes), {})
    assert len(set(told)) == 6
    elsewhere = dict(dir="/here", name="npz:/here/mine.npz", placement="host")
    fit._check_alike(own.replace(data=elsewhere, log=dict(wandb="offline")), {})
    assert told[-1] == told[0]


def test_a_checkpoint_that_another_process_alone_sees_is_not_gone_on_from(
    refused, copied_run, monkeypatch
):
    """The writer has one more than this process, whose file system tells late."""
    monkeypatch.setattr(parallel, "of_writer", lambda number: number + 1)
    refused("--mode=eval", f"--workdir={copied_run}", says=["not all processes see checkpoint"])

"""The table that a chain is fitted to: of training images alone, kept beside the checkpoint."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vdp
from vdp.data import datasets
from vdp.diffusion import chains, reverse
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.metrics import per_batch, score
from vdp.record import read_run
from vdp.run import calibration, restore
from vdp.types import Batch


@pytest.fixture(scope="module")
def opened(smoke_run):
    run = vdp.load(smoke_run)
    return run, datasets.load(run.settings.data)


def changed(dataset, **splits):
    """A data set with some of its splits' images turned into others."""
    inverted = {
        name: dataclasses.replace(dataset.splits[name], images=16 - dataset.splits[name].images)
        for name in splits
    }
    return dataclasses.replace(dataset, splits={**dataset.splits, **inverted})


def test_training_writes_the_table_of_its_best_checkpoint(opened, smoke_run):
    run, dataset = opened
    assert run.model.prior.reverse == "calibrated"
    assert run.model.discretized().bound_model == "T=100, calibrated"
    assert not calibration.is_missing(run)
    stored = calibration.measured(run, dataset)
    with np.load(calibration.path_of(smoke_run, run.step)) as table:
        for name in ("gamma", "square", "num"):
            np.testing.assert_allclose(table[name], stored[name], rtol=1e-5)
    assert stored["square"].shape == (calibration.TIMES + 1, 12)
    assert np.all(np.diff(stored["gamma"]) > 0)


def test_no_other_image_than_those_of_training_is_looked_at(opened):
    run, dataset = opened
    table = calibration.measured(run, dataset)["square"]
    elsewhere = calibration.measured(run, changed(dataset, test=True, validation=True))["square"]
    np.testing.assert_array_equal(elsewhere, table)
    others = calibration.measured(run, changed(dataset, train=True))["square"]
    assert np.abs(others - table).max() > 1e-3


def test_a_fitted_chain_has_the_higher_bound_on_images_it_has_not_seen(opened):
    run, _ = opened
    arrays = run.arrays(run.images("test"))
    values = {}
    for kind in ("fixed", "calibrated", "optimised"):
        prior = dataclasses.replace(run.model.prior, num_steps=3).fitted(kind)
        model = dataclasses.replace(run.model, prior=prior).discretized()
        values[kind] = run.map(score.flat_terms, arrays, model=model)["value"]
    for worse, better, least in (("fixed", "calibrated", 1.0), ("calibrated", "optimised", 0.0)):
        gained = values[better] - values[worse]
        assert gained.mean() > least - 2 * gained.std() / len(gained) ** 0.5, better
    assert not np.allclose(values["calibrated"], values["optimised"], atol=1e-4), "other times"


@pytest.mark.parametrize(("steps", "times"), [(4, 64), (25, 75), (50, 50), (100, 100), (1000, 125),
                                              (997, 64)])  # fmt: skip
def test_a_denoiser_of_few_times_is_looked_at_there(opened, steps, times):
    run, _ = opened
    prior = dataclasses.replace(run.model.prior, bound="discrete")
    spec = {**run.trained.model, "prior": {**run.trained.model["prior"], "num_steps": steps}}
    trained = dataclasses.replace(
        run, model=dataclasses.replace(run.model, prior=prior),
        trained=run.trained.replace(model=spec),
    )  # fmt: skip
    assert calibration._times(trained) == times
    assert calibration._times(run) == calibration.TIMES


def test_errors_are_those_of_what_is_diffused(opened, monkeypatch):
    """The code itself in the merged form, else draws around it; of large latents their mean."""
    run, _ = opened
    params, rng = run.params["prior"], jax.random.key(0)
    q = Normal(jnp.ones((2, 12)), jnp.full((2, 12), 1.0))
    for form in ("separate", "merged"):
        prior = dataclasses.replace(run.model.prior, form=form, reverse="fixed")
        z_rng, rest = jax.random.split(rng)
        z = q.mean if form == "merged" else q.sample(jax.random.normal(z_rng, q.mean.shape))
        of = prior.eps_fn(params), prior.schedule.bind(params["schedule"])
        expected = reverse.squared_errors(*of, z, rest, 3)
        found = prior.errors(params, q, rng, 3)
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
    batch = Batch(target=run.images()[:2], input=run.images()[:2], label=np.zeros(2, np.int32))
    args = run.model, run.params, run.stats, batch, rng
    each = per_batch.errors(*args, num=3)["square"]
    monkeypatch.setattr(chains, "MOST_WIDTHS", 4)
    shared = per_batch.errors(*args, num=3)["square"]
    assert each.shape == (2, 4, 12)
    np.testing.assert_allclose(shared, each.mean(2, keepdims=True), rtol=1e-5)


def test_a_run_without_a_table_is_the_fixed_chain_and_a_damaged_one_is_named(copied_run):
    path = calibration.path_of(copied_run, vdp.load(copied_run).step)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged: remove it"):
        vdp.load(copied_run)
    path.unlink()
    run = vdp.load(copied_run)
    assert run.model.discretized().bound_model == "T=100"
    assert calibration.is_missing(run)
    assert "errors" not in run.stats["prior"]


def test_a_table_of_other_parameters_is_none(copied_run):
    """As of a step that was trained again, with another learning rate."""
    path = calibration.path_of(copied_run, vdp.load(copied_run).step)
    table = dict(np.load(path))
    for params, fitted in ((table["params"] + 1, False), (table["params"], True)):
        np.savez(path, **{**table, "params": params})
        assert ("errors" in vdp.load(copied_run).stats["prior"]) == fitted
    del table["params"]  # of version 0.1
    np.savez(path, **table)
    assert "errors" in vdp.load(copied_run).stats["prior"]


def test_what_is_asked_for_is_the_chain_and_other_images_give_none(opened, smoke_run, tmp_path):
    run, dataset = opened
    asked = run.settings.replace(eval=dict(reverse="optimised", num_steps=3))
    other = restore(asked, read_run(smoke_run), "best")
    assert other.model.discretized().bound_model == "T=3, optimised"
    elsewhere = dataclasses.replace(
        run, settings=run.settings.replace(data=dict(name="synthetic:8x8x1x17")),
        stats=calibration.as_trained(run.stats),
    )  # fmt: skip
    assert "errors" not in calibration.ensured(elsewhere, tmp_path, dataset).stats["prior"]
    assert not list(tmp_path.iterdir())

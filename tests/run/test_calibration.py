"""The table that a chain is fitted to: of training images alone, kept beside the checkpoint."""

import dataclasses

import numpy as np
import pytest

import vdp
from vdp.data import datasets
from vdp.errors import UserError
from vdp.metrics import score
from vdp.record import read_run
from vdp.run import calibration, restore


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
        values[kind] = run.map(score.flat_terms, arrays, model=model)["value"].mean()
    assert values["fixed"] + 1 < values["calibrated"] < values["optimised"] + 0.5


def test_a_run_without_a_table_is_the_fixed_chain_and_a_damaged_one_is_named(copied_run):
    path = calibration.path_of(copied_run, vdp.load(copied_run).step)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="is damaged: remove it"):
        vdp.load(copied_run)
    path.unlink()
    run = vdp.load(copied_run)
    assert run.model.discretized().bound_model == "T=100"
    assert "errors" not in run.stats["prior"]


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

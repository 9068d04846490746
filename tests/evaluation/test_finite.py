"""Evaluations whose numbers are none: eval.json, which has no word for them, is not written."""

import dataclasses

import numpy as np
import pytest

import vdp
from vdp.evaluation import estimators
from vdp.metrics import per_batch


def test_the_error_of_a_solver_is_the_mean_change_of_an_image_at_twice_the_step(
    smoke_run, monkeypatch
):
    run, asked = vdp.load(smoke_run), []
    arrays = run.arrays(run.images("test")[:4])

    def values(self, function, arrays, *, model):
        asked.append(model.prior.ode_steps)
        sign = (-1.0) ** np.arange(4)
        return {"value": 0.3 * sign if len(asked) == 2 else np.zeros(4)}

    monkeypatch.setattr(type(run), "map", values)
    of = lambda steps: dataclasses.replace(
        run.model, prior=dataclasses.replace(run.model.prior, ode_steps=steps)
    )
    assert estimators._solver_error(run, of(8), arrays) == pytest.approx(0.3)
    assert asked == [8, 4]
    assert estimators._solver_error(run, of(1), arrays) is None


def test_a_reconstruction_that_is_not_finite_is_refused(refused, copied_run, monkeypatch):
    before = (copied_run / "eval.json").read_bytes()
    reconstruct = per_batch.reconstruct
    monkeypatch.setattr(per_batch, "reconstruct", lambda *args: reconstruct(*args) * np.nan)
    says = ["the reconstruction", "is not finite for ", "the checkpoint 20 "]
    refused("--mode=eval", f"--workdir={copied_run}", says=says)
    assert (copied_run / "eval.json").read_bytes() == before

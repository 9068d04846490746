"""Evaluations whose numbers are none: eval.json, which has no word for them, is not written."""

import numpy as np

from vdp.metrics import per_batch


def test_a_reconstruction_that_is_not_finite_is_refused(refused, copied_run, monkeypatch):
    before = (copied_run / "eval.json").read_bytes()
    reconstruct = per_batch.reconstruct
    monkeypatch.setattr(per_batch, "reconstruct", lambda *args: reconstruct(*args) * np.nan)
    says = ["the reconstruction", "is not finite for ", "the checkpoint 20 "]
    refused("--mode=eval", f"--workdir={copied_run}", says=says)
    assert (copied_run / "eval.json").read_bytes() == before

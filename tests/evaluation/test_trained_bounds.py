"""Trained models on images whose probability is known: bounds below it that come close."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import vdp
from vdp.data.sources import synthetic
from vdp.metrics.likelihood import bits_per_dim


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "steps", "close"), [("digits_vae:prior=vdm", 1500, 0.1), ("digits_vdm", 1500, 0.2)]
)
def test_trained_bounds_stay_below_the_truth(tmp_path, name, steps, close):
    """Paired over 512 test images; `close` in bits per dimension. Trained by optimised code."""
    fields = {"data.name": "synthetic:8x8x1x17", "train.steps": steps, "eval.every": steps,
              "eval.estimators": "elbo,elbo_discrete", "optim.warmup_steps": 50}  # fmt: skip
    flags = [f"--config.{field}={value}" for field, value in fields.items()]
    command = [
        sys.executable,
        "-m",
        "vdp.main",
        f"--config={name}",
        f"--workdir={tmp_path}",
        *flags,
    ]
    done = subprocess.run(
        command, env=os.environ | {"XLA_FLAGS": ""}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    run = vdp.load(tmp_path)
    images = run.images("test")
    exact = synthetic.log_prob(images, levels=17)
    gap = exact - np.asarray(run.elbo(images).value, np.float64)
    error = gap.std(ddof=1) / np.sqrt(len(gap))
    assert gap.mean() > -3 * error
    assert -bits_per_dim(gap.mean(), images.shape[1:]) < close
    reported = json.loads((tmp_path / "eval.json").read_text())["estimators"]
    for estimate in (reported["elbo"], reported["elbo_discrete"]):
        assert estimate["nats"]["mean"] < exact.mean() + 3 * error

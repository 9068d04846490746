"""Estimates with a posterior of each image's own, from the command line."""

import json

import numpy as np
import pytest

from vdp.evaluation import values

FLAGS = (
    "--config.eval.estimators=elbo,elbo_refined,iwae,iwae_refined", "--config.eval.refine_steps=20",
    "--config.eval.max_examples=40", "--config.eval.iwae_samples=4",
)  # fmt: skip


def test_what_is_gained_stands_beside_them_paired_by_image(cli, copied_run):
    code, out, err = cli("--mode=eval", f"--workdir={copied_run}", *FLAGS)
    assert code == 0, err
    (path,) = copied_run.glob("eval-best-test-other-*.json")
    found, each = json.loads(path.read_text())["estimators"], values.read(path)
    for name, base in (("elbo_refined", "elbo"), ("iwae_refined", "iwae")):
        entry, gained = found[name], each[name] - each[base]
        assert entry["model"] == found[base]["model"], "parameters and chain are the same"
        assert (entry["refine_steps"], entry["refine_rate"]) == (20, 0.05)
        assert entry["gained"]["mean"] == pytest.approx(gained.mean(), abs=1e-4)
        assert entry["gained"]["se"] == pytest.approx(gained.std(ddof=1) / 40**0.5, rel=1e-3)
        assert f"test {name} (" in out
    assert "20 steps of rate 0.05" in out
    assert "over the encoder's posteriors" in out
    assert np.all(each["iwae_refined.ess"] <= 4)


def test_it_is_known_how_far_alone_too(cli, copied_run):
    alone = ("--config.eval.estimators=elbo_refined", *FLAGS[1:])
    code, _, err = cli("--mode=eval", f"--workdir={copied_run}", *alone)
    assert code == 0, err
    (path,) = copied_run.glob("eval-best-test-other-*.json")
    entry = json.loads(path.read_text())["estimators"]["elbo_refined"]
    assert "gained" not in entry
    assert {"likelihood", "diffusion"} <= set(entry["parts"])


def test_what_has_no_posterior_of_an_encoder_is_refused(refused):
    err = refused(
        "--config=digits_vdm:smoke", "--workdir=x", "--config.eval.estimators=elbo_refined"
    )
    assert "names elbo_refined, which this model does not have: there is elbo" in err


def test_no_steps_and_no_rate_are_refused(refused):
    for flag in ("refine_steps=0", "refine_rate=0"):
        err = refused("--config=digits_vae:smoke", "--workdir=x", f"--config.eval.{flag}")
        assert "config.eval.refine_" in err

"""Convergence reports: of an oracle denoiser, of a run from the command line, in words."""

import json
import types

import jax
import numpy as np
import pytest
from oracles import MEAN, STD, smoothed_log_density
from starting import started

from vdp import build
from vdp.evaluation import doublings, index
from vdp.pictures import convergence as pictures


@pytest.mark.parametrize(
    ("mean", "se", "converged"),
    [(0.3, 0.01, False), (0.01, 0.01, True), (-0.3, 0.01, False), (0.06, 0.04, None),
     (0.02, 0.04, None), (0.0, 0.0, True), (0.3, None, None)],
)  # fmt: skip
def test_what_is_left_is_judged_by_its_error(mean, se, converged):
    assert doublings.judged({"mean": mean, "se": se})[0] is converged


def test_a_number_shows_its_error():
    assert doublings.in_nats({"mean": 0.123456, "se": 0.2}) == "0.12 ± 0.20"
    assert doublings.in_nats({"mean": 0.123456, "se": 0.002}) == "0.123 ± 0.002"
    assert doublings.in_nats({"mean": 0.123456, "se": None}) == "0.12"


class OfTheOracle(doublings.Material):
    """Stands for the images: every map is of 64 draws of the oracle's data."""

    def __init__(self, model, params):
        chosen = types.SimpleNamespace(iwae_samples=8, iwae_chunk=8)
        settings = types.SimpleNamespace(eval=chosen)
        object.__setattr__(self, "run", types.SimpleNamespace(model=model, settings=settings))
        object.__setattr__(self, "params", params)

    def map(self, name, function, model, **options):
        prior, rng = model.prior, jax.random.key(3)
        z = MEAN + STD * jax.random.normal(jax.random.key(1), (64, 2))
        if options:
            return {"value": np.zeros(64), "ess": np.ones(64)}
        bound = jax.jit(prior.log_prob_bound)(self.params, {}, z, rng)
        return {"value": np.asarray(bound.value, np.float64)}


@pytest.fixture(scope="module")
def oracle():
    """A model whose prior has the exact denoiser of its Gaussian data."""
    fields = dict(denoiser={"name": "toys.GaussianDenoiser"}, parameterization="eps",
                  schedule={"name": "linear", "gamma_0": -6.0, "gamma_1": 6.0}, num_steps=8,
                  ode_steps=2)  # fmt: skip
    spec = {"name": "vae", "latent_shape": (2,), "encoder": {"name": "toys.Affine"},
            "decoder": {"name": "toys.Affine"}, "likelihood": {"name": "normal", "scale": 0.5},
            "prior": {"name": "vdm", **fields}, "log_var_floor": -4.0}  # fmt: skip
    model = build.build("model", spec, levels=4, input_levels=4)
    params, _ = started(model.prior, jax.random.key(0), (2,))
    return OfTheOracle(model, params)


def test_a_rise_is_of_more_samples_over_fewer(oracle, monkeypatch):
    """Paired by image: each of 64 rises by 1 or 3 nats at every doubling, 2 on average."""
    rises = np.tile([1.0, 3.0], 32)[:, None] * np.arange(4.0)
    given = {"value": rises - 90.0, "ess": np.ones((64, 4))}
    monkeypatch.setattr(OfTheOracle, "map", lambda self, *args, **options: given)
    entry = doublings.iwae(oracle)
    assert [row["k"] for row in entry["rows"]] == [1, 2, 4, 8]
    assert [row["nats"]["mean"] for row in entry["rows"]] == [-90.0, -88.0, -86.0, -84.0]
    first, *others = (row["rise"] for row in entry["rows"])
    assert first is None
    for rise in others:
        assert rise["mean"] == 2.0
        assert rise["se"] == pytest.approx((64 / 63) ** 0.5 / 8)
    assert "from K=4 to K=8 it rises by 2.00 ± 0.13 nats: not converged" in entry["words"]


def test_steps_rise_to_the_exact_density_of_continuous_time(oracle, monkeypatch):
    monkeypatch.setattr(doublings, "MOST_STEPS", 16)
    monkeypatch.setattr(doublings, "CHEAP_STEPS", 8)
    entry = doublings.steps(oracle)
    rows = entry["rows"]
    assert [row["steps"] for row in rows] == [2, 4, 8, 16, None]
    gaps = [row["above_limit"]["mean"] for row in rows[:-1]]
    assert gaps[0] < gaps[1] < gaps[2] < gaps[3] < 0
    assert 0.3 < gaps[3] / gaps[2] < 0.6, "about as 1/T"
    assert entry["own"] == 8
    assert entry["converged"] is False
    assert "nats below T=inf: not converged; T=16 lies" in entry["words"]
    z = MEAN + STD * jax.random.normal(jax.random.key(1), (64, 2))
    exact = smoothed_log_density(np.asarray(z, np.float64), -6.0).mean()
    assert rows[-1]["nats"]["mean"] == pytest.approx(exact, abs=0.3)
    assert [row["iwae"] is None for row in rows] == [False] * 3 + [True] * 2


@pytest.mark.slow
def test_solver_steps_are_compared_with_twice_the_runs_own(oracle):
    entry = doublings.ode(oracle)
    rows = entry["rows"]
    assert [row["steps"] for row in rows] == [1, 2, 4]
    largest = [row["largest"] for row in rows[:-1]]
    assert largest == sorted(largest, reverse=True)
    assert rows[-1]["above_finest"] is None
    assert entry["words"].startswith("2 steps, the run's own, lie ")


@pytest.mark.slow
def test_from_the_command_line(cli, copied_run, refused):
    flags = ("--mode=eval", f"--workdir={copied_run}", "--config.eval.max_examples=16")
    before = json.loads((copied_run / "eval.json").read_text())["estimators"]["iwae"]
    assert before["noisy"] in (True, False)
    more = ("--config.eval.convergence=iwae", "--config.eval.iwae_samples=4")
    code, out, err = cli(*flags, *more)
    assert code == 0, err
    (name,) = [line for line in out.splitlines() if line.endswith(".json")]
    written = copied_run / name
    found = json.loads(written.read_text())
    entry, estimate = found["convergence"]["iwae"], found["estimators"]["iwae"]
    assert entry["num_examples"] == 16
    assert [row["k"] for row in entry["rows"]] == [1, 2, 4]
    assert entry["rows"][-1]["nats"]["mean"] == pytest.approx(estimate["nats"]["mean"], rel=1e-6)
    assert f"convergence iwae, 16 images: {entry['words']}" in out
    page = (copied_run / "plots" / f"convergence-iwae{written.stem[4:]}.md").read_text()
    assert page.startswith("# IWAE over the number of weights")
    assert page.count("\n| ") == 5
    assert (copied_run / "plots" / f"convergence-iwae{written.stem[4:]}.png").exists()
    refused(*flags, "--config.eval.convergence=iwea", says=["iwae", "did you mean"])


def test_reports_of_the_same_weights_stay_in_the_file():
    entry = {"rows": [], "words": "", "num_examples": 4}
    bare = {"step": 20, "num_examples": 4, "estimators": {}, "fid": None}
    before, now = bare | {"convergence": {"iwae": entry}}, bare | {"convergence": None}
    assert index.with_earlier(now, before)["convergence"] == {"iwae": entry}
    now["convergence"] = {"ode": entry}
    assert set(index.with_earlier(now, before)["convergence"]) == {"iwae", "ode"}
    assert set(index.with_earlier(now | {"step": 40}, before)["convergence"]) == {"ode"}
    assert index.with_earlier(now, bare) == now


def test_a_limit_and_what_is_extrapolated_are_in_table_and_picture(tmp_path):
    nats = {"mean": -80.0, "se": 0.5}
    rows = [{"steps": n, "nats": nats, "above_limit": nats, "iwae": None} for n in (2, 4, None)]
    rows[0]["iwae"] = {**nats, "noisy": True}
    entry = {"rows": rows, "words": "it rises", "num_examples": 1000, "extrapolated": -79.0}
    result = {"checkpoint": "best", "step": 3, "split": "test", "convergence": {"steps": entry}}
    pictures.write(tmp_path, result, "steps", suffix="-x", formats=("png", "svg"))
    page = (tmp_path / "plots" / "convergence-steps-x.md").read_text()
    assert "\n\nIt rises.\n\n" in page
    assert "| limit | -80.00 ± 0.50 |" in page
    assert "| 2 | -80.00 ± 0.50 | -80.00 ± 0.50 | -80.00 ± 0.50 (noisy) |" in page
    assert "| extrapolated | -79 |" in page
    assert "1,000 images of the test split" in page
    drawn = (tmp_path / "plots" / "convergence-steps-x.svg").read_text()
    assert ">extrapolated<" in drawn
    assert ">limit<" in drawn

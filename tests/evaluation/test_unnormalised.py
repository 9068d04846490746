"""Estimates with a prior that is no density: which are marked, why, and where that is said."""

import json
import types
from unittest import mock

import numpy as np
import pytest
import run_folder

from launch import table
from vdp.cards import facts, html, index, markdown
from vdp.data import labels
from vdp.evaluation import index as evaluations
from vdp.evaluation import report, unnormalised
from vdp.metrics import divergence
from vdp.run import Run

RNG = np.random.default_rng(0)


def estimate(nats, **more):
    bits = {"mean": 1.5, "se": 0.1}
    return {"nats": {"mean": nats, "se": 0.5}, "bits_per_dim": bits, "model": "exact", **more}


def result(**more):
    return run_folder.result(estimators={"elbo": estimate(-80.0)}) | more


def said(**more):
    return "\n".join(report.in_words(result(**more)))


WHY = "the rate of the prior is -8.35 ± 0.2 nats"
NO_BOUND = estimate(-70.0, k=4, ess=2.0, not_a_bound=WHY)


def a_model(bound_model):
    fields = dict.fromkeys(("elbo", "init", "draw", "loss"), lambda *args, **kwargs: None)
    return types.SimpleNamespace(bound_model=bound_model, discrete=True, **fields)


def parts_of(rate):
    likelihood = RNG.normal(-80.0, 5.0, size=200)
    rates = rate + RNG.normal(size=200)
    return {"value": likelihood - rates, "likelihood": likelihood, "kl": -rates}


def marks(*, bound_model="exact", rate=3.0, **information):
    """What is written into an `elbo`, an `iwae` and one of another model."""
    entries = {"elbo": {"model": bound_model}, "iwae": {"model": bound_model}, "elbo_ode": None}
    about = {"nats": {"mean": 2.0, "se": 0.1}} | information if information else None
    given = {"estimators": entries | {"chain": {"model": "T=5"}}, "information": about}
    unnormalised.mark(a_model(bound_model), lambda: parts_of(rate), given, {})
    of_chain = given["estimators"]["chain"].get("not_a_bound")
    assert of_chain == (entries["elbo"].get("not_a_bound") if bound_model == "T=inf" else None)
    return [entries[name].get("not_a_bound", "") for name in ("elbo", "iwae")]


def test_a_negative_rate_marks_every_estimate_of_the_exact_prior():
    elbo, iwae = marks(rate=-2.0)
    assert elbo == iwae
    assert elbo.startswith("the rate of the prior is -2.0")
    assert "noise schedule" in marks(rate=-2.0, bound_model="T=inf")[0]
    assert marks(rate=-2.0, bound_model="ode") == ["", ""]


def test_no_bound_of_a_diffusion_is_computed_to_judge_it():
    """It takes many passes; one that was asked for is judged, whichever it is."""
    run = mock.create_autospec(Run, instance=True)
    run.model, seen = a_model("T=inf"), (np.zeros(2),) * 3
    assert unnormalised.parts_of(run, seen, {"iwae": np.zeros(2)}) == {}
    chain = {f"elbo_discrete{part}": np.zeros(2) for part in ("", ".likelihood", ".diffusion")}
    assert set(unnormalised.parts_of(run, seen, chain)) == {"likelihood", "diffusion"}
    run.map.assert_not_called()
    run.model, run.map.return_value = a_model("exact"), {"likelihood": np.ones(2)}
    assert unnormalised.parts_of(run, seen, {"iwae": np.zeros(2)}) is run.map.return_value


@pytest.mark.parametrize(("by", "marked"), [(10.0, True), (-1.0, False), (0.05, False)])
@pytest.mark.parametrize(("bound", "weighted"), unnormalised.PAIRS)
def test_a_bound_above_its_importance_weights_marks_both(bound, weighted, by, marked):
    """E log w <= E log 1/K sum w: for whatever model both are of."""
    iwae = RNG.normal(-80.0, 5.0, size=200)
    values = {weighted: iwae, bound: iwae + by + RNG.normal(0.0, 0.5, size=200)}
    given = {"estimators": {name: {"model": "ode"} for name in values}, "information": None}
    unnormalised.mark(a_model("ode"), dict, given, values)
    found = [entry.get("not_a_bound", "") for entry in given["estimators"].values()]
    assert [f"{bound} lies " in why for why in found] == [marked, marked]
    given["estimators"][weighted]["model"] = "T=9"  # another model, of which it says nothing
    given["estimators"][bound] = {"model": "ode"}
    unnormalised.mark(a_model("ode"), dict, given, values)
    assert "not_a_bound" not in given["estimators"][bound]


def test_a_rate_below_what_the_code_tells_marks_them_too():
    """KL(q(z) || p(z)) = rate - I(x; z), whatever the sign of the rate."""
    left = dict(aggregate_kl=-1.5, aggregate_kl_se=0.2)
    assert "leaves -1.5 ± 0.2 nats for KL(q(z) || p(z))" in marks(**left)[0]
    assert marks(aggregate_kl=-0.9, aggregate_kl_se=0.2) == ["", ""], "that may be chance"
    assert marks(aggregate_kl=-0.9, aggregate_kl_se=None) == ["", ""], "of one image"
    assert marks() == ["", ""]


def test_a_negative_divergence_is_not_called_zero():
    about = {"nats": {"mean": 5.0, "se": 0.1}, "saturated": False, "aggregate_kl": -8.35}
    line = said(information=about | {"aggregate_kl_se": 0.2}, rates=[-3.35])
    assert "at most -8.35, which is negative: p(z) is no density" in line
    assert "at most -8.35" in said(information=about, rates=[-3.35]), "of an older result"
    assert "at most 0.00" in said(
        information=about | {"aggregate_kl": -0.3, "aggregate_kl_se": 0.2}, rates=[4.7]
    )


def test_no_rounding_makes_a_rate_negative():
    assert not divergence.is_negative(-1e-6, 1e-9)
    assert divergence.is_negative(-0.1, 1e-9)


def test_images_of_a_few_of_the_classes_are_said_to_be_no_sample():
    found = result(num_examples=1000, classes={"seen": 2, "split": 10})
    (line,) = report.warnings(found)
    assert "first 1,000 images of the split (eval.max_examples) are of 2 of its 10 classes" in line
    whole = np.repeat(np.arange(5, dtype=np.int32), 4)
    assert labels.fewer(whole[:6], whole) == {"seen": 2, "split": 5}
    assert labels.fewer(whole, whole) is None
    assert labels.fewer(*(np.full(num, -1, np.int32) for num in (2, 3))) is None


def test_it_is_said_last_and_in_every_list(tmp_path):
    marked = result(estimators={"elbo": estimate(-80.0), "iwae": NO_BOUND})
    assert report.warnings(marked) == [f"warning: iwae: not a bound, for {WHY}"]
    assert report.warnings(result()) == []
    assert "-70.00 ± 0.50 nats = 1.5000 ± 0.1000 bits/dim, not a bound" in said(**marked)
    only = result(estimators={"iwae": NO_BOUND})
    (tmp_path / "eval.json").write_text(json.dumps(only))
    evaluations.write(tmp_path)
    assert "bits/dim, not a bound |" in (tmp_path / evaluations.TABLE).read_text()


def test_a_card_and_the_index_of_cards_say_so(tmp_path):
    no_bound = run_folder.estimate(-9.0, "exact", not_a_bound=WHY)
    estimators = {"elbo": no_bound, "iwae": run_folder.estimate(-20.0, "T=5")}
    folder = run_folder.write(tmp_path / "mine", evaluated=run_folder.result(estimators=estimators))
    gathered = facts.gather(folder)
    assert gathered.headline.text == "-20.00 ± 0.50", (
        "a bound stands for the run where there is one"
    )
    assert f"| **not a bound**; {WHY} |" in markdown.card(gathered)
    assert f"<b>not a bound</b><small>{WHY}</small>" in html.card(gathered)
    del estimators["iwae"]
    run_folder.write(folder, evaluated=run_folder.result(estimators=estimators))
    index.write(tmp_path)
    assert "elbo (exact): not a bound" in (tmp_path / "index.md").read_text()


def test_the_table_of_a_sweep_says_so(tmp_path):
    values = {"estimators": {"elbo": NO_BOUND, "iwae": None}, "split": "test", "num_examples": 9}
    of = lambda seed, **content: table.Result(
        {"prior": "mine"}, seed, tmp_path / "prior=mine" / f"seed-{seed}", "finished", {}, content
    )
    text = table.markdown([of(0, **values)])
    assert "-70.00 (exact, K=4, not a bound) | 1.500 (not a bound)" in text
    assert f"prior=mine/seed-0: not a bound, for {WHY}." in text
    plain = {**values, "estimators": {"elbo": estimate(-70.0)}}
    assert "not a bound" not in table.markdown([of(0, **plain)])


def test_the_rate_of_a_flow_says_nothing_of_a_chain():
    """Where the flow's alone is known, its solver may have made it too low."""
    below = {"aggregate_kl": -8.0, "aggregate_kl_se": 0.1}
    assert all(marks(bound_model="T=inf", model="T=inf", **below))
    assert not any(marks(bound_model="T=inf", model="ode", **below))
    about = {"nats": {"mean": 2.0, "se": 0.1}, "saturated": False} | below
    assert "no density" in said(information=about, rates=[4.0])
    assert "no density" not in said(information=about | {"model": "ode"}, rates=[4.0])

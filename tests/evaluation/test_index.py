"""What an evaluation says, and the list of all evaluations of a run."""

import json

import pytest

from vdp.evaluation import index, report


def estimate(nats, model="exact", *, bits=1.5, **more):
    in_bits = None if bits is None else {"mean": bits, "se": 0.1}
    return {"nats": {"mean": nats, "se": 0.5}, "bits_per_dim": in_bits, "model": model, **more}


def result(step=20, **more):
    """The entries that a result of every version has."""
    missing = dict.fromkeys(
        ("fid", "latents", "rates", "active_units", "interpolation", "accuracy", "mse")
    )
    about = {"step": step, "checkpoint": "best", "split": "test", "num_examples": 64}
    return {**missing, **about, "settings": {}, "estimators": {"elbo": estimate(-80.0)}, **more}


def said(**more):
    return "\n".join(report.in_words(result(**more)))


def test_a_density_is_called_one():
    assert "elbo (exact): -80.00 ± 0.50 nats = 1.5000" in said()
    density = said(estimators={"elbo": estimate(-80.0, bits=None)})
    assert "-80.00 ± 0.50 nats of a density, 64 images" in density


def test_other_data_are_named():
    assert "other data" not in said(settings={"eval.seed": 3})
    words = said(settings={"data.name": "npz:mine.npz", "data.resize": "8x8", "eval.seed": 3})
    assert "on other data than the run's: data.name=npz:mine.npz, data.resize=8x8\n" in words


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ": I(x; z) at least 0.01, KL(q(z) || p(z)) at most 0.30"),
        ({"saturated": True}, "no more than log 64 = 4.16 nats of I(x; z) can be seen (saturated)"),
        ({"saturated": True, "collapsed": True}, ": collapsed, the codes of all 64 images are"),
    ],
)
def test_a_collapsed_code_is_not_called_saturated(fields, words):
    nats = {"mean": 0.01, "se": None}
    about = {"nats": nats, "saturated": False, "collapsed": False, "aggregate_kl": 0.3} | fields
    line = said(information=about, rates=[0.31]).splitlines()[-1]
    assert line.startswith("rate 0.31 nats")
    assert words in line
    assert ("saturated" in line) == (fields == {"saturated": True})


def test_best_says_of_how_many_validations():
    assert said().splitlines()[0] == "checkpoint best: step 20"
    first = said(validations={"num": 4, "last_step": 40}).splitlines()[0]
    assert first == "checkpoint best: step 20, the best of 4 validations up to step 40"
    first = said(validations={"num": 4, "last_step": 40, "better": 30}).splitlines()[0]
    assert first == (
        "checkpoint best: step 20; of 4 validations up to step 40 that of step 30 was "
        "better: its checkpoint is newer or gone"
    )


def write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def test_every_evaluation_is_listed_and_damaged_ones_do_no_harm(tmp_path):
    write(tmp_path / "eval.json", result())
    other = {"data.name": "a|b", "sample": {"eta": 0.5}}
    name = "eval-latest-test-other-123456.json"
    write(tmp_path / name, result(30, checkpoint="latest", settings=other))
    for damaged, content in (("cut", '{"step"'), ("list", []), ("empty", {}), ("text", "null")):
        write(tmp_path / f"eval-{damaged}-test.json", content)
    for _ in range(2):  # the list itself is no evaluation
        index.write(tmp_path)
    entries = json.loads((tmp_path / index.LIST).read_text())
    assert len(entries) == 6
    assert entries[0] == {
        "file": "eval.json", "checkpoint": "best", "step": 20, "split": "test",
        "num_examples": 64, "settings": {},
        "headline": "elbo (exact): -80.00 ± 0.50 nats = 1.5000 ± 0.1000 bits/dim",
    }  # fmt: skip
    listed = {entry["file"]: entry for entry in entries}
    assert listed[name]["settings"] == other
    assert sum(entry.get("damaged", False) for entry in entries) == 4
    rows = (tmp_path / index.TABLE).read_text().splitlines()
    (row,) = (row for row in rows if name in row)
    assert r"| latest | 30 | test | 64 | data.name=a\|b, sample=(eta=0.5) |" in row


def test_names_that_are_not_utf_8_are_listed(tmp_path):
    write(tmp_path / "eval.json", result(settings={"data.name": "npz:f\udcfcr/old.npz"}))
    index.write(tmp_path)
    assert "data.name=npz:f?r/old.npz" in (tmp_path / index.TABLE).read_text()


def test_what_is_not_computed_again_stays_with_its_step(tmp_path):
    path = tmp_path / "eval.json"
    about = ("num_samples", "reference", "num_reference", "features", "rounding")
    distance = dict.fromkeys(about, 10) | {"value": 31.0, "real": None}
    by_hand = {"elbo": estimate(-80.0), "iwae": estimate(-79.0, k=4, ess=2.0)}
    write(path, result(20, estimators=by_hand, fid=distance))
    longer = index.with_earlier(result(40), index.read(path))
    assert longer["estimators"] == {"elbo": estimate(-80.0)}
    assert longer["earlier"] == {
        "iwae": {**by_hand["iwae"], "step": 20, "num_examples": 64},
        "fid": {**distance, "step": 20},
    }  # fmt: skip
    words = "\n".join(report.in_words(longer | {"num_examples": 128}))
    said = "iwae (exact, K=4, ESS 2.0): -79.00 ± 0.50 nats = 1.5000 ± 0.1000 bits/dim, 64 images"
    assert f"{said}: of step 20, not computed again" in words
    assert "FID 31.00: of step 20, not computed again" in words
    write(path, longer)
    again = {"elbo": estimate(-80.0), "iwae": estimate(-78.0, k=4, ess=2.0)}
    longest = index.with_earlier(result(60, estimators=again), index.read(path))
    assert longest["earlier"] == {"fid": {**distance, "step": 20}}


def test_what_is_of_other_parameters_or_components_does_not_stay(tmp_path):
    """A step that was trained again, or a component edited in between, makes other numbers."""
    by_hand = {"elbo": estimate(-80.0), "iwae": estimate(-79.0, k=4, ess=2.0)}
    before = result(20, estimators=by_hand) | {"weights": "aa", "convergence": {"ode": [1.0]}}
    now = result(20) | {"weights": "aa"}
    assert set(index.with_earlier(now, before)["earlier"]) == {"iwae"}
    before, now = before | {"components": "a"}, now | {"components": "a"}
    others = ({"weights": "bb"}, {"edited_sources": ["laplace.py"]}, {"components": "b"})
    for other in others:
        assert index.with_earlier(now | other, before) == now | other
        assert index.with_earlier(now, before | other) == now
    later = result(40) | {"weights": "bb", "components": "a"}
    longer = index.with_earlier(later, before)
    assert longer["earlier"]["iwae"] | {"weights": "aa", "step": 20} == longer["earlier"]["iwae"]
    again = result(20) | {"weights": "cc", "components": "a"}
    assert "earlier" not in index.with_earlier(again, longer), "the step was trained again since"


@pytest.mark.parametrize("content", [None, "[]", "{", '{"estimators": {"elbo": 3}}'])
def test_a_result_that_cannot_be_read_was_none(tmp_path, content):
    if content is not None:
        write(tmp_path / "eval.json", content)
    assert index.read(tmp_path / "eval.json") is None
    assert index.with_earlier(result(), None) == result()

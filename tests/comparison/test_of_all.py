"""What is said of a comparison as a whole, and what keeps a difference from naming a better one."""

import json

import pytest
from evaluated_runs import EASE, NUM, entry, make_run

import vdp
from vdp.comparison import tables
from vdp.errors import UserError
from vdp.evaluation import report
from vdp.record import read_run


def test_a_noisy_estimate_names_no_better_model(tmp_path):
    estimators = [{"iwae": entry(EASE + gain, k=4) | {"noisy": gain > 0}} for gain in (0, 5)]
    runs = [
        make_run(tmp_path / prior, prior=prior, estimators=stored, keep=False)
        for prior, stored in zip(("normal", "vdm"), estimators, strict=True)
    ]
    (difference,) = vdp.compare(runs).differences
    assert abs(difference.estimate.mean) == pytest.approx(5)
    assert difference.noisy
    assert difference.better is None
    assert tables.verdict(difference) == "one is noisy"


def test_seeds_of_one_first_run_are_no_draws_of_the_recipe(tmp_path):
    fields = {f"of_{name}": [("train.init_from", name)] for name in ("first", "second")}
    runs = [
        make_run(tmp_path / arm / f"seed-{seed}", seed=seed, gain=gain, fields=fields[arm])
        for gain, arm in enumerate(fields)
        for seed in (0, 1)
    ]
    found = vdp.compare(runs)
    assert "the 2 seeds of of_first begin from one run (train.init_from), so that their errors " \
        "leave out how first runs vary" in found.notes  # fmt: skip
    own = [
        make_run(tmp_path / "own" / f"seed-{s}", seed=s, fields=[("train.init_from", f"first-{s}")])
        for s in (0, 1)
    ]
    own = vdp.compare(["+".join(map(str, own)), runs[0]])
    assert not any("begin from" in note for note in own.notes)


def test_a_run_that_goes_on_is_not_taken_for_what_it_will_be(tmp_path):
    plain = make_run(tmp_path / "plain")
    longer = make_run(tmp_path / "longer", prior="vdm", validations={"num": 2, "last_step": 20})
    (longer / "metrics.jsonl").write_text(json.dumps({"step": 20, "eval/elbo": -30.0}) + "\n")
    notes = vdp.compare([plain, longer]).notes
    steps = read_run(longer).settings.train.steps
    assert f"longer: longer is unfinished: evaluated at step 20 of {steps:,}" in notes
    assert not any(note.startswith("plain: ") for note in notes), "nothing is known of it"


def test_a_run_that_was_extended_is_no_seed_of_one_that_was_not(tmp_path):
    runs = [make_run(tmp_path / f"run-{seed}", seed=seed) for seed in (0, 1)]
    with pytest.raises(UserError, match="seeds of one model"):
        vdp.compare(runs)
    content = json.loads((runs[1] / "config.json").read_text())
    content["extensions"] = [{"step": 10, "train.steps": 10}]
    (runs[1] / "config.json").write_text(json.dumps(content))
    assert len(vdp.compare(runs).arms) == 2


def test_what_is_against_a_result_is_said_of_its_arm(tmp_path):
    edited = {"edited_sources": ["laplace.py"]}
    runs = [make_run(tmp_path / "plain"), make_run(tmp_path / "mine", prior="vdm", **edited)]
    said = "mine: laplace.py: not as the run was trained with, see source/"
    assert said in vdp.compare(runs).notes


@pytest.mark.parametrize(
    ("split", "checkpoint", "num", "said"),
    [
        ("validation", "best", 9, True), ("test", "best", 9, False),
        ("validation", "latest", 9, False), ("validation", "best", 1, False),
    ],
)  # fmt: skip
def test_images_that_chose_the_checkpoint_do_not_judge_it(split, checkpoint, num, said):
    result = {"split": split, "checkpoint": checkpoint, "num_examples": NUM}
    doubts = report.doubts(result | {"validations": {"num": num, "last_step": 5}})
    assert any(f"chose the checkpoint among {num}" in doubt for doubt in doubts) is said
    elsewhere = result | {"settings": {"data.name": "mnist"}, "validations": {"num": num}}
    assert report.doubts(elsewhere) == [], "other images have chosen nothing"

"""Runs laid side by side: differences, what is refused, and what is noted."""

import dataclasses
import pathlib

import pytest
from evaluated_runs import EASE, NUM, entry, make_run

import vdp
from vdp import comparison
from vdp.comparison import tables
from vdp.errors import UserError
from vdp.evaluation import values
from vdp.main import run as command_line
from vdp.modes import compare


def test_images_pair_differences(pair):
    found = vdp.compare(pair)
    (difference,) = found.differences
    assert (difference.a, difference.b, difference.better) == ("plain", "better", "better")
    assert difference.estimate.mean == pytest.approx(-0.5, abs=1e-5)
    assert difference.estimate.se < 1e-5  # the images are hard and easy for both alike
    alone = found.estimates["elbo"]["plain"].estimate
    assert alone.se == pytest.approx(EASE.std(ddof=1) / NUM**0.5, rel=0.05)
    bits = found.estimates["elbo"]["plain"].bits
    assert bits.mean == pytest.approx(-alone.mean / 44.36, rel=1e-6)
    assert bits.se == pytest.approx(alone.se / 44.36, rel=1e-6)
    assert found.differs["model.prior.name"] == {"plain": "normal", "better": "vdm"}
    assert any("one seed" in note for note in found.notes)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (dict(fields=[("data.augmentation", "flip")]), "data.augmentation is 'none' of plain"),
        (dict(split="validation"), "the split is 'test' of plain and 'validation' of other"),
        (dict(fields=[("data.binarization", "dynamic")]), "data.binarization"),
    ],
)
def test_another_data_regime_is_refused(pair, tmp_path, how, words):
    other = make_run(tmp_path / "other", **how)
    with pytest.raises(UserError, match="do not answer the same question") as refused:
        vdp.compare([pair[0], other])
    assert words in str(refused.value)


def test_masses_are_not_compared_with_densities(pair, tmp_path):
    density = entry(EASE) | {"bits_per_dim": None}
    other = make_run(tmp_path / "other", prior="vdm", estimators={"elbo": density}, keep=False)
    with pytest.raises(UserError, match=r"the likelihood is 'probabilities' of plain and 'densit"):
        vdp.compare([pair[0], other])


def test_other_images_are_refused_by_number(pair):
    stored = values.read(pair[1] / "eval.json")
    stored[values.IMAGE][7] += 1
    values.write(pair[1] / "eval.json", stored, {})
    with pytest.raises(UserError, match="other images: 1 of 50 differ, the first is number 7"):
        vdp.compare(pair)


def test_images_are_checked_among_those_that_know_theirs(pair, tmp_path):
    old = make_run(tmp_path / "old", prior="flow", keep=False)
    stored = values.read(pair[1] / "eval.json")
    stored[values.IMAGE][7] += 1
    values.write(pair[1] / "eval.json", stored, {})
    with pytest.raises(UserError, match="plain and better were evaluated on other images"):
        vdp.compare([old, *pair])


def test_fewer_images_are_those_in_common(pair, tmp_path):
    found = vdp.compare([pair[0], make_run(tmp_path / "few", prior="vdm", num=20, gain=1.0)])
    assert found.num_images == 20
    assert found.differences[0].estimate.mean == pytest.approx(-1.0, abs=1e-5)
    assert found.estimates["elbo"]["plain"].estimate.mean == pytest.approx(
        float(EASE[:20].mean()), abs=0.1
    )


def test_a_run_of_an_older_version_is_not_paired(pair, tmp_path):
    old = make_run(tmp_path / "old", prior="flow", gain=0.5, keep=False)
    found = vdp.compare([pair[0], old])
    (difference,) = found.differences
    assert not difference.paired
    assert difference.better is None
    assert difference.estimate.se == pytest.approx(2**0.5 * EASE.std(ddof=1) / NUM**0.5, rel=0.05)
    assert any("old: what every image got by elbo is not kept" in note for note in found.notes)


def test_values_of_another_evaluation_are_not_used(pair):
    stored = values.read(pair[0] / "eval.json")
    values.write(pair[0] / "eval.json", stored | {"elbo": stored["elbo"] + 1}, {})
    assert not vdp.compare(pair).differences[0].paired


def test_other_numbers_of_weights_are_not_subtracted(pair, tmp_path):
    iwae = {f"k{k}": {"iwae": entry(EASE, k=k, ess=2.0, weight="exact")} for k in (4, 8)}
    runs = [
        make_run(tmp_path / name, prior=prior, estimators=estimators, keep=False)
        for (name, estimators), prior in zip(iwae.items(), ("normal", "vdm"), strict=True)
    ]
    found = vdp.compare(runs)
    assert any(note.startswith("noisy: ") for note in found.notes)  # an ESS of 2
    assert not found.differences
    assert any("iwae of k4 has K=4 and of k8 K=8" in note for note in found.notes)


def test_an_earlier_estimate_of_fewer_images_is_not_compared(pair, tmp_path):
    iwae = entry(EASE, k=4, ess=2.0, weight="exact") | {"step": 20}
    earlier = {num: {"iwae": iwae | {"num_examples": num}} for num in (NUM, 4)}
    of_all = make_run(tmp_path / "all", prior="vdm", earlier=earlier[NUM])
    of_few = make_run(tmp_path / "few", prior="flow", earlier=earlier[4])
    found = vdp.compare([of_all, of_few])
    assert set(found.estimates["elbo"]) == {"all", "few"}
    assert set(found.estimates["iwae"]) == {"all"}


def test_other_ascents_are_not_subtracted(pair, tmp_path):
    runs = []
    for steps, prior in ((20, "normal"), (100, "vdm")):
        refined = entry(EASE, refine_steps=steps, refine_rate=0.05)
        estimators = {"elbo_refined": refined}
        runs.append(make_run(tmp_path / prior, prior=prior, estimators=estimators, keep=False))
    found = vdp.compare(runs)
    assert not found.differences
    told = "elbo_refined of normal has 20 steps of rate 0.05 and of vdm 100 steps of rate 0.05"
    assert any(told in note for note in found.notes)
    same = vdp.compare([runs[0], make_run(tmp_path / "b", prior="vdm", keep=False,
                        estimators={"elbo_refined": refined | {"refine_steps": 20}})])  # fmt: skip
    assert len(same.differences) == 1


def test_what_bounds_nothing_makes_no_model_better(tmp_path):
    runs = [
        make_run(
            tmp_path / name,
            prior=name,
            estimators={"dvp_reference": entry(EASE + gain, k=4, ess=2.0, model="not a bound")},
            keep=False,
        )
        for name, gain in (("normal", 0.0), ("vdm", 50.0))
    ]
    found = vdp.compare(runs)
    (difference,) = found.differences
    assert difference.estimate.beyond
    assert difference.better is None
    assert any("not a bound, for its exponent" in note for note in found.notes)


def test_what_lies_inside_a_run_is_no_seed_of_it(pair, tmp_path):
    make_run(tmp_path / "plain" / "shared")
    found = vdp.compare([tmp_path])
    assert [(arm.label, len(arm.runs)) for arm in found.arms] == [("better", 1), ("plain", 1)]


def test_runs_that_are_linked_into_one_folder_are_found_once(pair, tmp_path):
    linked = tmp_path / "linked"
    linked.mkdir()
    for run in pair:
        (linked / run.name).symlink_to(run, target_is_directory=True)
    (linked / "again").symlink_to(pair[0], target_is_directory=True)
    (linked / "around").symlink_to(linked, target_is_directory=True)
    found = vdp.compare([linked])
    assert [len(arm.runs) for arm in found.arms] == [1, 1]


def test_wrong_names_say_what_is_wrong(pair, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert command_line(["--mode=compare", f"--runs={tmp_path / 'empty'}"]) == 2
    assert "empty is no run, and no folder of runs\n" in capsys.readouterr().err
    for runs, words in (
        ([tmp_path / "pliin", pair[1]], "pliin is no run, and no folder of runs (did you mean"),
        (
            pair[:1],
            "a comparison needs runs of two models or more: these are seeds of one model (plain)",
        ),
        ([tmp_path / "plain/config.json", pair[1]], "is no result of an evaluation"),
    ):
        assert command_line(["--mode=compare", f"--runs={','.join(map(str, runs))}"]) == 2
        assert words in capsys.readouterr().err
    (pair[0] / "eval.json").unlink()
    assert command_line(["--mode=compare", f"--runs={pair[0]},{pair[1]}"]) == 2
    assert "finish its training, or evaluate it" in capsys.readouterr().err
    assert command_line(["--mode=compare", "--runs=a,b", "--config=digits_vae"]) == 2
    assert "leave --config out" in capsys.readouterr().err
    assert command_line(["--mode=compare", "--runs=a,b", "--workdir=a"]) == 2
    assert "--mode=compare takes no --workdir" in capsys.readouterr().err
    assert command_line(["--mode=compare"]) == 2
    assert "--mode=compare needs --runs=A,B,..." in capsys.readouterr().err


def test_names_of_any_kind_are_shown_as_they_are(tmp_path, monkeypatch, capsys):
    """No markup of a terminal, no formula of a picture, and lists longer than a file's name."""
    monkeypatch.chdir(tmp_path)
    make_run(tmp_path / "exp[a]$_$")
    make_run(tmp_path / "exp[b]", prior="vdm", gain=1.0)
    long = [make_run(tmp_path / ("x" * 150 + str(i)), prior="vdm", seed=i).name for i in range(2)]
    assert command_line(["--mode=compare", f"--runs=exp[a]$_$,exp[b],{','.join(long)}"]) == 0
    shown = capsys.readouterr().out
    assert "exp[a]$_$" in shown
    assert "exp[b]" in shown
    assert (tmp_path / "comparison/comparison.png").is_file()
    run = comparison.compare(["exp[a]$_$", "exp[b]"]).arms[0].runs[0]
    places = tuple(dataclasses.replace(run, path=pathlib.Path(f"/{name}/run/x")) for name in "ab")
    arms = (dataclasses.replace(comparison.compare(long + ["exp[b]"]).arms[0], runs=places),)
    assert compare._beside(arms) == pathlib.Path("comparison"), "not in the root of all files"


def test_a_run_that_is_named_twice_is_one(pair):
    (plain, other) = map(str, pair)
    assert [len(arm.runs) for arm in vdp.compare([f"{plain}+{plain}", other]).arms] == [1, 1]
    with pytest.raises(UserError, match="names no run that was not named before"):
        vdp.compare([f"{plain}+{other}", f"{other}+{plain}"])


def test_models_without_an_estimator_in_common_are_refused(pair, tmp_path):
    score = {"name": "mse", "unit": "squared error", "better": "lower", "mean": 1.0, "se": 0.1}
    scored = make_run(
        tmp_path / "ae", prior="flow", estimators={"elbo": None}, score=score, keep=False
    )
    with pytest.raises(UserError, match="plain has elbo; ae has score"):
        vdp.compare([pair[0], scored])
    other = make_run(tmp_path / "ae2", prior="vdm", keep=False, estimators={"elbo": None},
                     score=score | {"mean": 0.5})  # fmt: skip
    assert vdp.compare([scored, other]).differences[0].better == "ae2"


def test_what_is_no_bound_is_better_than_nothing(pair, tmp_path):
    why = "the rate of the prior is -8 ± 0.2 nats"
    mine = make_run(
        tmp_path / "mine", prior="flow", estimators={"elbo": entry(EASE + 30, not_a_bound=why)},
        keep=False,
    )  # fmt: skip
    found = vdp.compare([pair[0], mine])
    assert f"elbo of mine is not a bound, for {why}" in found.notes
    (difference,) = found.differences
    assert difference.better is None
    assert tables.verdict(difference) == "one is not a bound"
    _, rows = tables.arms(found)
    assert any("(exact, not a bound)" in cell for row in rows for cell in row)


def test_runs_are_found_by_any_path_and_by_names_with_commas(tmp_path, monkeypatch, capsys):
    make_run(tmp_path / "prior=normal,latent=8")
    make_run(tmp_path / "b", prior="vdm", gain=1.0)
    monkeypatch.chdir(tmp_path / "b")
    there = f"{tmp_path}/prior=normal,latent=8"
    for runs in (f"{there}, .", f".,{there}", f"../b,../prior=normal,latent=8,{there}"):
        assert command_line(["--mode=compare", f"--runs={runs}"]) == 0, capsys.readouterr().err
        assert (tmp_path / "comparison/comparison.md").is_file()
    assert len(comparison.compare([there, "../prior=normal,latent=8", "."]).arms) == 2
    assert [len(arm.runs) for arm in comparison.compare([there, "../b", "."]).arms] == [1, 1]

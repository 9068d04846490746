"""The table of trained runs: what is kept of a run, which runs are a row, what a cell says."""

import copy
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import beside, command, latents, pages, rates, refined, results, stability
from vdp import build, config
from vdp.dists import Normal
from vdp.errors import UserError
from vdp.settings.parse import to_json


@pytest.fixture
def measured(smoke_run, tmp_path, monkeypatch):
    """The folder of kept runs, with three seeds of the smoke run; the means lie at 0, 1 and 5."""
    monkeypatch.setattr(results, "MEASURED", tmp_path)
    path = results.keep(smoke_run)
    kept = json.loads(path.read_text())
    for seed, mean in enumerate((0.0, 1.0, 5.0)):
        run = copy.deepcopy(kept)
        run["run"]["config"]["seed"] = seed
        run["result"]["estimators"]["elbo"]["nats"]["mean"] = mean
        (tmp_path / f"{seed}.json").write_text(json.dumps(run))
    path.unlink()
    return tmp_path


def test_a_seed_of_an_older_version_is_in_the_same_row(measured):
    path = measured / "1.json"
    older = json.loads(path.read_text())
    del older["run"]["config"]["train"]["microbatches"]
    path.write_text(json.dumps(older))
    runs = [json.loads(path.read_text()) for path in sorted(measured.glob("*.json"))]
    assert [len(group) for group in results.grouped(runs)] == [3]
    runs[1]["run"]["config"]["train"]["microbatches"] = 2
    assert sorted(len(group) for group in results.grouped(runs)) == [1, 2]


def test_what_is_kept_names_no_place(smoke_run, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "MEASURED", tmp_path)
    workdir = shutil.copytree(smoke_run, tmp_path / "private" / "run")
    text = results.keep(workdir).read_text()
    assert "private" not in text
    assert str(smoke_run) not in text
    kept = json.loads(text)
    assert kept["result"] == json.loads((smoke_run / "eval.json").read_text())


@pytest.mark.parametrize("config", ["digits_vae", "configs/digits_vae.py", "./digits_vae.py"])
def test_a_run_is_called_by_its_config_and_what_was_changed(config, tmp_path):
    fields = "--config.seed=1 --config.train.steps=5 --config.data.dir=/data --config.eval.every=2"
    command = f"python -m vdp.main --config={config}:prior=flow {fields}"
    found = results.started(command, tmp_path)
    assert found == ("digits_vae:prior=flow", ["train.steps=5"])
    assert results.started(None, tmp_path) == (tmp_path.name, [])


def test_seeds_are_a_row_with_their_standard_error(measured, capsys):
    results.main([])
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 3
    # s / sqrt(3) of 0, 1 and 5 is sqrt(7) / sqrt(3)
    assert "| 0, 1, 2 |" in table[2]
    assert "2.00 ± 1.53 (T=inf)" in table[2]


def test_the_best_checkpoints_of_seeds_may_be_of_other_steps(measured, capsys):
    run = json.loads((measured / "2.json").read_text())
    run["result"]["step"] = 7
    (measured / "2.json").write_text(json.dumps(run))
    run["result"]["step"] = 5  # another checkpoint of the same run
    (measured / "3.json").write_text(json.dumps(run))
    results.main([])
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4
    (seeds,) = (line for line in table if "| 0, 1, 2 |" in line)
    step = json.loads((measured / "0.json").read_text())["result"]["step"]
    low, high = sorted((step, 7))
    assert f"| {low} to {high} of 20 steps of " in seeds


def test_another_training_is_another_row(measured, capsys):
    run = json.loads((measured / "0.json").read_text())
    run["run"]["config"]["optim"]["learning_rate"] *= 2
    (measured / "0.json").write_text(json.dumps(run))
    results.main([])
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 4
    alone = next(line for line in table if "| 0 |" in line)
    error = run["result"]["estimators"]["elbo"]["nats"]["se"]
    assert f"0.00 ± {error:.2f}" in alone


def test_what_a_config_has_otherwise_today_stands_in_the_row(measured):
    run = json.loads((measured / "0.json").read_text())
    given = [(f, str(v)) for f, v in [("train.steps", 20), ("eval.every", 10)]]
    trained = to_json(config.settings("digits_vae:smoke", given))
    trained["optim"]["learning_rate"] *= 2
    trained["eval"]["every"] = 3  # which no training depends on
    named = run | {"config": "digits_vae:smoke", "changed": ["train.steps=20"]}
    named["run"] = run["run"] | {"config": trained}
    rate = trained["optim"]["learning_rate"]
    assert results.since(named) == [f"optim.learning_rate={rate}"]
    assert f"`digits_vae:smoke` `train.steps=20 optim.learning_rate={rate}`" in results.row([named])
    assert results.since(named | {"config": "a_folder"}) == []


@pytest.mark.parametrize(
    "otherwise",
    [
        lambda run: run["result"].update(split="validation"),
        lambda run: run["result"].update(checkpoint="latest"),
        lambda run: run["result"].update(num_examples=100),
        lambda run: run["run"]["config"].update(eval={"reverse": "fixed"}),
        lambda run: run["result"]["estimators"]["iwae"].update(k=1000),
    ],
)
def test_a_seed_that_was_evaluated_otherwise_is_another_row(measured, capsys, otherwise):
    for seed in range(3):
        run = json.loads((measured / f"{seed}.json").read_text())
        run["result"]["estimators"]["iwae"] = {**run["result"]["estimators"]["elbo"], "k": 8}
        if seed == 1:
            otherwise(run)
        (measured / f"{seed}.json").write_text(json.dumps(run))
    results.main([])
    table = capsys.readouterr().out.splitlines()
    assert [sum(f"| {seeds} |" in line for line in table) for seeds in ("0, 2", "1")] == [1, 1]


def test_seeds_may_differ_in_what_is_not_estimated_and_one_may_lack_an_estimate(measured, capsys):
    for seed, samples in enumerate((4, 8, 16)):
        run = json.loads((measured / f"{seed}.json").read_text())
        run["run"]["config"]["eval"] = {"iwae_samples": samples}
        run["result"]["settings"] = {"eval.max_examples": 0} if seed else {}
        run["result"]["estimators"]["iwae"] = None
        if seed:
            run["result"]["estimators"]["elbo_discrete"] = run["result"]["estimators"]["elbo"]
        else:
            run["result"]["estimators"]["elbo_discrete"] = None
        (measured / f"{seed}.json").write_text(json.dumps(run))
    results.main([])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "| 0, 1, 2 |" in line)
    assert "2.00 ± 1.53 (T=inf)" in line
    assert "3.00 ± 2.00 (T=inf; of 2 seeds)" in line


def test_evaluations_of_one_run_are_files_of_their_own(smoke_run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(results, "MEASURED", tmp_path)
    workdir = shutil.copytree(smoke_run, tmp_path / "kept" / "run")
    result = json.loads((workdir / "eval.json").read_text())
    (workdir / "eval-latest-validation.json").write_text(
        json.dumps(result | {"checkpoint": "latest", "split": "validation"})
    )
    first = results.keep(workdir)
    second = results.keep(workdir / "eval-latest-validation.json")
    assert second.name == first.name.replace(".json", "_latest_validation.json")
    results.keep(workdir)
    assert not capsys.readouterr().err
    (workdir / "eval.json").write_text(json.dumps(result | {"mse": 1.0}))
    results.keep(workdir)
    assert f"{first.name}: in place of another" in capsys.readouterr().err


def test_models_of_other_training_fields_are_kept_beside_each_other(
    smoke_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(beside, "KEPT", tmp_path / "kept")
    run = shutil.copytree(smoke_run, tmp_path / "run")
    result = json.loads((run / "eval.json").read_text())
    result["estimators"]["iwae"] = {**result["estimators"]["elbo"], "k": 8}
    (run / "eval.json").write_text(json.dumps(result))
    stored = json.loads((run / "config.json").read_text())
    for more in ("", " --config.optim.groups.prior=1"):
        command = f"python -m vdp.main --config=digits_vae --config.train.steps=5{more}"
        (run / "config.json").write_text(json.dumps(stored | {"command": command}))
        beside.keep(beside.of_run(run, "iwae"), "digits")
    shown = beside.table("digits")
    assert "| `digits_vae` |" in shown
    assert "| `digits_vae optim.groups.prior=1` |" in shown


def test_what_is_no_run_is_refused_in_one_sentence(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        command.run(lambda: results.main([f"--add={tmp_path / 'nowhere'}"]))
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {tmp_path / 'nowhere'} is not the workdir of a run")
    assert said.err.count("\n") == 1


def test_the_pages_hold_the_tables_of_what_is_kept():
    """Nobody has typed a number of them."""
    runs = [json.loads(path.read_text()) for path in sorted(results.MEASURED.glob("*.json"))]
    for kept, table in (
        (results, results.table(runs)),
        (rates, rates.table()),
        (stability, stability.table(stability.all_kept("digits_vae", []))),
    ):
        start, end = kept.MARKS
        assert kept.PAGE.read_text().split(start)[1].split(end)[0].strip() == table
    for folder in beside.KEPT.iterdir():
        start, end = pages.marks(f"beside: {folder.name}")
        shown = beside.PAGE.read_text().split(start)[1].split(end)[0].strip()
        assert shown == beside.table(folder.name)


def test_a_rate_of_one_image_has_no_error(monkeypatch, tmp_path):
    kept = json.loads(next(iter(sorted(rates.KEPT.glob("*.json")))).read_text())
    monkeypatch.setattr(rates, "KEPT", tmp_path)
    rates.keep(kept | {"bound": 2.0, "bound_se": None, "gap": 0.5, "gap_se": None})
    rates.keep(kept | {"split": "validation"})
    first, second = rates.table().splitlines()[2:]
    assert "| 2.0000 |" in first
    assert "| +50.00 % |" in first
    assert " validation, " in second


def test_without_entropy_a_prior_is_trained_on_its_rate_less_the_entropy_and_measured_with_it():
    q = Normal(jnp.ones((2, 3)), jnp.full((2, 3), -1.0))
    spec = dict(denoiser=dict(name="MLPDenoiser", width=8), schedule=dict(name="linear"))
    priors = [build.build("prior", spec | {"name": name}) for name in ("vdm", stability.REMOVED)]
    of_init = priors[0].init(jax.random.key(0), (3,))
    rate = lambda prior, train: prior.rate(*of_init, q, jax.random.key(1), train=train)[1].value
    whole, without = ({train: rate(p, train) for train in (True, False)} for p in priors)
    np.testing.assert_array_equal(whole[False], without[False])
    np.testing.assert_allclose(whole[True] - without[True], q.entropy(), rtol=1e-5)


def test_what_refined_posteriors_gain_is_a_row_of_the_seeds_that_were_evaluated_alike(
    smoke_run, tmp_path, capsys
):
    for seed, steps in ((0, 100), (1, 100), (2, 7)):
        run = shutil.copytree(smoke_run, tmp_path / str(seed))
        stored = json.loads((run / "config.json").read_text())
        stored["command"] = f"python -m vdp.main --config=digits_vae:smoke --config.seed={seed}"
        stored["config"]["seed"] = seed
        (run / "config.json").write_text(json.dumps(stored))
        result = json.loads((run / "eval.json").read_text())
        found = result["estimators"]
        how = {"refine_steps": steps, "refine_rate": 0.05}
        for name in ("elbo", "iwae"):
            more = {"gained": {"mean": 2.0 + seed, "se": 0.1}}
            found[f"{name}_refined"] = copy.deepcopy(found[name]) | how | more
        (run / "eval-latest-test.json").write_text(json.dumps(result))
    runs = [str(tmp_path / str(seed)) for seed in range(3)]
    assert refined.main([*runs[:2], "--keep"]) == 0
    shown, page = capsys.readouterr().out.splitlines(), refined.PAGE.read_text().splitlines()
    kept = [line for line in shown if line.startswith("| `digits_dvp`")]
    assert len(kept) == 1
    assert kept == [line for line in page if line in kept]
    assert refined.main(runs) == 0
    _, _, first, second = (line.split(" | ") for line in capsys.readouterr().out.splitlines())
    assert (first[1], second[1]) == ("2", "1")
    assert (first[5], second[5]) == ("2.50 ± 0.50", "4.00 ± 0.10")
    with pytest.raises(refined.UserError, match="is of seed 1, as another run"):
        refined.main([*runs, runs[1]])
    with pytest.raises(refined.UserError, match="not told apart"):
        refined.main([*runs, "--keep"])
    with pytest.raises(refined.UserError, match="has no evaluation with elbo, elbo_refined"):
        refined.main([str(smoke_run)])


def test_priors_at_a_size_differ_by_image_and_seed(smoke_run, tmp_path, capsys):
    """Copies of one run, whose images have 0.5 nats less under one prior, and 0.6 by a seed."""
    for prior, less in (("vdm", (0.0, 0.0)), ("normal", (0.5, 0.6))):
        for seed in (0, 1):
            folder = tmp_path / f"prior={prior},latent=12" / f"seed-{seed}"
            shutil.copytree(smoke_run, folder)
            point = {"prior": prior, "latent": "12"}
            record = {"point": point, "seed": seed, "exit_code": 0}
            (folder / "sweep.json").write_text(json.dumps(record))
            stored = json.loads((folder / "config.json").read_text())
            stored["config"]["seed"] = seed
            stored["config"]["model"]["log_var_floor"] = -7.0 - len(prior)
            (folder / "config.json").write_text(json.dumps(stored))
            kept = dict(np.load(folder / "eval.npz"))
            kept["elbo"] = kept["elbo"] - less[seed]
            np.savez(folder / "eval.npz", **kept)
            result = json.loads((folder / "eval.json").read_text())
            result["estimators"]["elbo"]["nats"]["mean"] -= less[seed]
            (folder / "eval.json").write_text(json.dumps(result))
    assert latents.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    normal, vdm = ([cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:])
    assert [normal[:2], vdm[:2]] == [["12", "`normal`"], ["12", "`vdm`"]]
    assert [normal[-1], vdm[-1]] == ["0.55 ± 0.05", ""]
    (tmp_path / "other" / "seed-0").mkdir(parents=True)
    (tmp_path / "other" / "seed-0" / "sweep.json").write_text(
        json.dumps({"point": {"prior": "vdm"}, "seed": 0, "exit_code": 0})
    )
    shutil.copy(smoke_run / "eval.json", tmp_path / "other" / "seed-0")
    with pytest.raises(UserError, match=r"is not prior=\.\.\. and latent="):
        latents.main([str(tmp_path)])

"""A finished run: its files, evaluation and samples later on, and its use from Python."""

import dataclasses
import json
import re
import types

import numpy as np
import pytest

import vdp
from vdp import config
from vdp.errors import UserError
from vdp.evaluation import naming, values
from vdp.metrics.likelihood import mean_and_error
from vdp.record import read_run
from vdp.runtime import metric_log, parallel, progress
from vdp.runtime.progress import Progress
from vdp.settings import compare
from vdp.settings.parse import parse

SMOKE = "--config=digits_vae:smoke"


def test_a_path_that_cannot_be_looked_at_leads_nowhere(smoke_run, tmp_path):
    """As one in somebody's private folder; here one longer than any may be."""
    content = json.loads((smoke_run / "config.json").read_text())
    content["places"] = {"name": f"folder:/{'a' * 300}"}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert read_run(tmp_path).settings.data.name == "digits"


def test_an_evaluation_may_choose_how_but_not_what_is_estimated(smoke_run):
    record = read_run(smoke_run)
    trained = record.settings

    def chosen(**fields):
        given = record.config
        config.override(given, [(k.replace("__", "."), str(v)) for k, v in fields.items()])
        return parse(given)

    assert naming.file_name(trained, chosen()) == "eval.json"
    compare.check_same_run(trained, chosen(model__prior__ode_steps=8))
    first = naming.file_name(trained, chosen(model__prior__ode_steps=8))
    assert re.fullmatch(r"eval-best-test-other-[0-9a-f]{6}\.json", first)
    other = naming.file_name(trained, chosen(model__prior__ode_steps=9))
    assert other != first, "no question overwrites another"
    assert naming.file_name(trained, chosen(model__prior__ode_steps=8)) == first
    more = chosen(eval__iwae_samples=10 * trained.eval.iwae_samples, data__dir="/elsewhere")
    assert naming.file_name(trained, more) == "eval.json", "more of the same"
    with pytest.raises(UserError, match=r"model\.prior\.num_steps"):
        compare.check_same_run(trained, chosen(model__prior__num_steps=7))


def test_images_drawn_with_other_levels_are_refused(refused, smoke_run):
    """The likelihood would be one of other levels, with parameters that were trained for these."""
    says = ["images of 2 levels", "this run's model takes 17", "--config.data.binarization=none"]
    asked = "--config.data.binarization=dynamic"
    refused("--mode=eval", f"--workdir={smoke_run}", asked, says=says)
    with pytest.raises(UserError, match="of 2 levels"):
        vdp.load(smoke_run, data=dict(binarization="dynamic"))


def test_what_a_model_does_not_have_is_refused_in_python(smoke_run):
    run = dataclasses.replace(vdp.load(smoke_run), model=types.SimpleNamespace())
    images = np.zeros((2, 8, 8, 1), np.uint8)
    for call in (run.iwae, run.encode, run.reconstruct, run.decode, run.sample, run.sample_latents):
        with pytest.raises(UserError, match="model vae has no"):
            call(images if call in (run.iwae, run.encode, run.reconstruct, run.decode) else 2)


def test_eval_file_has_every_key(smoke_run):
    result = json.loads((smoke_run / "eval.json").read_text())
    assert set(result) == {
        "step", "checkpoint", "split", "num_examples", "binarization_seed", "augmentation",
        "estimators", "active_units", "rates", "latents", "clipped", "mse", "interpolation",
        "accuracy", "fid", "sampling", "train_seconds", "train_seconds_total", "information",
        "settings", "score",
        "validations", "representation", "kid", "manifold", "ood", "convergence", "question",
        "date", "classes", "edited_sources", "weights", "components", "mse_se", "accuracy_se",
    }  # fmt: skip
    assert result["classes"] is result["edited_sources"] is None
    assert set(result["estimators"]) == {
        "elbo", "elbo_discrete", "elbo_ode", "elbo_refined", "iwae", "iwae_ode", "iwae_refined",
        "dvp_reference",
    }  # fmt: skip
    assert result["estimators"]["dvp_reference"] is None  # of hierarchies
    assert result["clipped"] is None
    assert result["fid"] is result["accuracy"] is result["score"] is None
    assert result["train_seconds"] > 0
    elbo, discrete, iwae = (result["estimators"][n] for n in ("elbo", "elbo_discrete", "iwae"))
    chain = "T=100, calibrated"
    assert (elbo["model"], discrete["model"], iwae["model"]) == ("T=inf", chain, chain)
    assert iwae["weight"] == "path"
    assert iwae["k"] == 4
    assert sum(row["active"] for row in result["latents"]) == result["active_units"]["active"]
    assert 1 <= iwae["ess"] <= 4
    for estimate in (elbo, discrete, iwae):
        nats, bits = estimate["nats"], estimate["bits_per_dim"]
        assert nats["mean"] < 0 < bits["mean"]
        assert nats["se"] > 0
        np.testing.assert_allclose(bits["mean"], -nats["mean"] / 64 / np.log(2), rtol=1e-9)
    np.testing.assert_allclose(sum(elbo["parts"].values()), elbo["nats"]["mean"], rtol=1e-5)
    rate = elbo["parts"]["likelihood"] - elbo["nats"]["mean"]
    np.testing.assert_allclose(result["rates"], [rate], atol=1e-4)
    carried = result["information"]
    assert 0 <= carried["nats"]["mean"] <= np.log(result["num_examples"])
    np.testing.assert_allclose(carried["nats"]["mean"] + carried["aggregate_kl"], rate, atol=1e-4)
    each = values.read(smoke_run / "eval.json")
    of_rate = mean_and_error(each["elbo.likelihood"] - each["elbo"])["se"]
    both = np.hypot(of_rate, carried["nats"]["se"])
    np.testing.assert_allclose(carried["aggregate_kl_se"], both, rtol=1e-4)


def test_a_run_writes_what_the_design_says(smoke_run):
    config = json.loads((smoke_run / "config.json").read_text())
    assert set(config) == {
        "config", "versions", "git_revision", "parameters", "data", "counts", "hashes", "places",
        "extensions", "command", "hardware",
    }  # fmt: skip
    assert config["parameters"]["total"] > 0
    lines = [json.loads(line) for line in (smoke_run / "metrics.jsonl").read_text().splitlines()]
    assert all(isinstance(line["step"], int) for line in lines)
    assert {key.split("/")[0] for line in lines for key in line if key != "step"} == {
        "train",
        "eval",
    }
    pictures = ("samples", "reconstructions", "interpolations", "bilinear", "latents", "denoising")
    for name in ("plots/loss.png", *(f"samples/{picture}.png" for picture in pictures)):
        from PIL import Image

        with Image.open(smoke_run / name) as picture:
            assert min(picture.size) > 200
            assert len(np.unique(np.asarray(picture))) > 1
    assert list((smoke_run / "tensorboard").glob("events*"))
    assert not list(smoke_run.rglob(".*.tmp")) + list(smoke_run.rglob(".eval*"))


@pytest.mark.slow
def test_eval_and_sample_work_anywhere_without_a_config(cli, copied_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = (copied_run / "eval.json").read_text()
    code, out, _ = cli(
        "--mode=eval",
        "--workdir=run",
        "--config.eval.checkpoint=latest",
        "--config.eval.split=validation",
        "--config.eval.estimators=elbo",
    )
    assert code == 0
    assert "validation elbo" in out
    (path,) = copied_run.glob("eval-latest-validation-other-*.json")
    result = json.loads(path.read_text())
    assert result["settings"] == {"eval.estimators": ["elbo"]}
    assert result["estimators"]["iwae"] is None
    assert result["num_examples"] == 64
    assert (copied_run / "eval.json").read_text() == before
    code, _, _ = cli("--mode=eval", f"--workdir={copied_run}")
    assert code == 0
    again = json.loads((copied_run / "eval.json").read_text())
    assert again["estimators"]["elbo"]["nats"] == json.loads(before)["estimators"]["elbo"]["nats"]
    code, _, _ = cli("--mode=eval", "--workdir=run", "--config.eval.max_examples=32")
    assert code == 0
    (path,) = copied_run.glob("eval-best-test-other-*.json")
    assert json.loads(path.read_text())["num_examples"] == 32
    assert json.loads((copied_run / "eval.json").read_text())["num_examples"] == 64
    pictures = {p: p.read_bytes() for p in (copied_run / "samples").glob("*.png")}
    code, out, _ = cli("--mode=sample", "--workdir=run", "--config.sample.num=4")
    assert code == 0
    assert "samples.png" in out
    assert {p: p.read_bytes() for p in (copied_run / "samples").glob("*.png")} == pictures
    assert all("samples/other-" in line and (tmp_path / line).exists() for line in out.split())


def test_a_run_is_shown_without_its_arrays(smoke_run):
    total = json.loads((smoke_run / "config.json").read_text())["parameters"]["total"]
    run = vdp.load(smoke_run)
    of = f"trained on digits: step {run.step}, {total:,} parameters"
    assert repr(run) == f"Run(vae with prior vdm, {of})"


def test_eval_of_an_absent_checkpoint_lists_those_there(refused, copied_run):
    refused("--mode=eval", f"--workdir={copied_run}", "--config.eval.checkpoint=7",
            says=["'7'", "best, latest", "20"])  # fmt: skip


@pytest.mark.parametrize(
    "field",
    [
        "data.split_seed=5",  # would move training images to the test split
        "data.num_validation=9",
        "model.log_var_floor=-4.0",
        "seed=3",
    ],
)
def test_evaluation_refuses_another_model_or_split(refused, smoke_run, field):
    name = field.partition("=")[0]
    says = [name.removeprefix("data."), "another config"]
    refused("--mode=eval", f"--workdir={smoke_run}", f"--config.{field}", says=says)
    refused("--mode=eval", SMOKE, f"--workdir={smoke_run}", f"--config.{field}")


def test_another_number_of_devices_takes_the_next_larger_batches(smoke_run, monkeypatch):
    assert [parallel.next_multiple(250, devices) for devices in (1, 3, 8)] == [250, 252, 256]
    monkeypatch.setattr(parallel, "next_multiple", lambda size, devices: size + devices)
    assert vdp.load(smoke_run).batched.batch_size == 33


def test_another_config_on_a_workdir_names_the_fields(refused, cli, copied_run):
    refused(SMOKE, f"--workdir={copied_run}", "--config.optim.learning_rate=0.5",
            "--config.seed=4", "--config.eval.every=7",
            says=["optim.learning_rate (was 0.001, now 0.5)", "seed", "another --workdir",
                  f"--config.train.init_from={copied_run} with --config.train.init_parts=all",
                  ])  # fmt: skip
    code, _, err = cli(SMOKE, f"--workdir={copied_run}", "--config.seed=4")
    assert (code, len(err.splitlines())) == (2, 1), "nothing of its KL warm-up before a refusal"
    refused(SMOKE, f"--workdir={copied_run}", "--config.train.steps=5", says=["train.steps"])


def test_public_use_from_python(smoke_run):
    import vdp
    from vdp.errors import UserError

    run = vdp.load(smoke_run)
    images = run.images("test")[:5]
    terms = run.elbo(images)
    assert terms.value.shape == (5,)
    np.testing.assert_allclose(terms.value, sum(terms.parts.values()), rtol=1e-5)
    np.testing.assert_array_equal(terms.value, run.elbo(images[..., 0]).value)
    assert run.iwae(images, num_samples=3).shape == (5,)
    assert run.encode(images).mean.shape == (5, 12)
    for pictures in (run.reconstruct(images), run.sample(3), run.sample(3, mean=False)):
        assert pictures.shape[1:] == (8, 8, 1)
        assert pictures.min() >= 0
        assert pictures.max() <= 1
    np.testing.assert_array_equal(run.sample(3, seed=1), run.sample(3, seed=1))
    assert not np.array_equal(run.sample(3, seed=1), run.sample(3, seed=2))
    with pytest.raises(UserError, match="one draw is the least"):
        run.sample(0)
    assert vdp.load(str(smoke_run), step="latest").step == 20
    assert vdp.load(smoke_run, step=10).step == 10
    for bad in (images.astype(np.float32), images[:, :4], np.full((1, 8, 8, 1), 200, np.uint8)):
        with pytest.raises(UserError, match="images"):
            run.elbo(bad)


def test_training_that_a_validation_cuts_short_is_shown_in_even_stretches():
    lines = [{"step": s, "train/elbo": v} for s, v in ((10, -4.0), (20, -3.0), (21, 7.0))]
    lines += [{"step": 30, "train/elbo": -2.0}, {"step": 30, "eval/elbo": -5.0}]
    joined = metric_log.series(lines, "train/elbo")
    assert joined == [(10, -4.0), (20, -3.0), (30, pytest.approx((7.0 - 9 * 2.0) / 10))]
    assert metric_log.series(lines, "eval/elbo") == [(30, -5.0)]


def test_a_log_hears_of_long_work_once_a_minute(capsys, monkeypatch):
    shown = Progress("iwae", 4)
    shown.update(1)
    monkeypatch.setattr(progress, "SILENCE", 0.0)
    shown.update(2)
    shown.update(4, "")
    Progress("iwae", 4, enabled=False).update(4, "")
    assert capsys.readouterr().err.splitlines() == ["iwae 2/4", "iwae 4/4"]

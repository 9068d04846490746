"""The command line: modes, overrides, and one clear sentence with exit code 2 for bad input."""

import dataclasses
import json
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest

import vdp
from vdp import config, evaluate, main
from vdp.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parent.parent
SMOKE = "--config=digits_vae:smoke"


def test_help_answers(cli):
    code, out, _ = cli("--help")
    assert code == 0
    for word in ("--config", "--workdir", "--mode", "describe", "exit codes"):
        assert word in out


def test_describe_needs_no_data_and_ends_in_one_json_line(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, _ = cli("--config=configs/mnist_vae.py:prior=normal", "--mode=describe")
    assert code == 0
    found = json.loads(out.splitlines()[-1])
    parameters = found["parameters"]
    assert parameters["total"] == sum(v for k, v in parameters.items() if k != "total")
    assert parameters["prior"] == 0
    assert found["flops_per_example"] > 1e6
    assert found["data"]["shape"] == [28, 28, 1]
    assert found["data"]["levels"] == 2
    assert found["config"]["model"]["prior"]["name"] == "normal"
    assert list(tmp_path.iterdir()) == []
    table = dict(line.split(maxsplit=1) for line in out.splitlines()[:-1])
    assert table["parameters"] == f"{parameters['total']:,}"
    assert "55,000 training images of 28x28x1" in table["data"]
    floats = found["state_bytes"] / 4  # parameters, their average, two moments; a few counters
    assert 4 * parameters["total"] <= floats < 4 * parameters["total"] + 20


def test_an_evaluation_may_choose_how_but_not_what_is_estimated(smoke_run):
    own, chosen = config.read_run(smoke_run), config.read_run(smoke_run)
    assert evaluate.file_name(smoke_run, chosen) == "eval.json"
    chosen.model.prior.ode_steps = 8
    config.check_same_run(own, chosen)
    assert evaluate.file_name(smoke_run, chosen) == "eval-best-test-other.json"
    chosen.model.prior.num_steps = 7
    with pytest.raises(UserError, match=r"model\.prior\.num_steps"):
        config.check_same_run(own, chosen)


def test_what_a_model_does_not_have_is_refused_in_python(smoke_run):
    run = dataclasses.replace(vdp.load(smoke_run), model=types.SimpleNamespace())
    images = np.zeros((2, 8, 8, 1), np.uint8)
    for call in (run.iwae, run.encode, run.reconstruct, run.decode, run.sample, run.sample_latents):
        with pytest.raises(UserError, match="model vae has no"):
            call(images if call in (run.iwae, run.encode, run.reconstruct, run.decode) else 2)


def test_without_arguments_every_config_is_listed_with_a_line(cli):
    code, _, err = cli()
    assert code == 2
    for name in config.config_names():
        assert re.search(rf"^{name} +\w.+\.$", err, re.M), name
    assert "--config=digits_vae" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], ["--config", "digits_vae"]),
        (["--config=nope"], ["nope", "mnist_vae"]),
        (["--config=configs/nope.py"], ["nope"]),
        (["--config=digits_vae:smok"], ["smok", "prior=vdm|ddpm"]),
        (["--config=digits_vae:prior=flwo"], ["flwo", "vamp|mixture|normal"]),
        (["--config=digits_vae:smoke,smoke"], ["twice"]),
        ([SMOKE, "--config.trian.steps=3"], ["trian.steps", "train"]),
        ([SMOKE, "--config.train.stps=3"], ["train.stps", "train.steps"]),
        ([SMOKE, "--config.train.steps=many"], ["train.steps", "int", "many"]),
        ([SMOKE, "--config.train.steps=2.5"], ["int"]),
        ([SMOKE, "--config.data.verify=maybe"], ["True or False"]),
        ([SMOKE, "--config.train=3"], ["train.steps"]),
        ([SMOKE, "--config.train.steps"], ["needs a value"]),
        ([SMOKE, "--wrokdir=x"], ["--wrokdir"]),
        ([SMOKE, "stray"], ["stray"]),
        ([SMOKE, "--mode=tarin"], ["tarin", "train"]),
        ([SMOKE, "--config.model.name=vea"], ["vea", "vae"]),
        ([SMOKE, "--config.model.prior.name=vdn"], ["vdn", "vdm"]),
        ([SMOKE, "--config.model.encoder.name=no.such.Net"], ["no.such.Net"]),
        ([SMOKE, "--config.model.latent_shape=0"], ["latent_shape"]),
        ([SMOKE, "--config.model.prior.name=normal"], ["bound", "accepted", "learned"]),
        ([SMOKE, "--config.train.steps_per_dispatch=-1"], ["steps_per_dispatch"]),
        ([SMOKE, "--config.data.binarization_seed=-1"], ["negative"]),
        ([SMOKE, "--config.model.latent_shape=1.5"], ["config.model"]),
        ([SMOKE, "--config.model.log_var_floor=-12.0"], ["gamma_0", "log_var_floor"]),
        ([SMOKE, "--config.model.prior.num_steps=0"], ["num_steps"]),
        (["--config=README.md"], ["README.md"]),
        ([SMOKE, "--config.optim.name=sgd"], ["sgd", "adamax"]),
        ([SMOKE, "--config.optim.schedule=step"], ["cosine"]),
        ([SMOKE, "--config.train.batch_size=0"], ["train.batch_size"]),
        ([SMOKE, "--config.train.ema_decay=1.5"], ["ema_decay"]),
        ([SMOKE, "--config.eval.every=0"], ["eval.every"]),
        ([SMOKE, "--config.data.name=digist"], ["digist", "digits"]),
        ([SMOKE, "--config.eval.estimators=elbow"], ["elbow", "iwae", "fid"]),
        ([SMOKE, "--config.eval.fid_samples=1"], ["fid_samples"]),
        ([SMOKE, "--config.eval.fid_reference=tset"], ["tset", "train"]),
        ([SMOKE, "--config.sample.num=0"], ["sample.num"]),
        ([SMOKE, "--config.checkpoint.every=-5"], ["checkpoint.every"]),
        (["--config=digits_dcgan:training=prior,smoke"], ["train.init_from"]),
        ([SMOKE, "--config.sample.sampler=foo"], ["foo", "dpmpp"]),
        (["--config=digits_vae:prior=normal,smoke", "--config.sample.eta=0.5"], ["exactly", "eta"]),
        (["--config=digits_vae:prior=flow,schedule=linear"], ["schedule", "vdm"]),
        ([SMOKE, "--config.model.prior.weights=simpel"], ["simpel", "simple_all"]),
        (
            [SMOKE, "--config.eval.estimators=fid", "--config.eval.fid_features=foo.bar"],
            ["foo.bar"],
        ),
        (
            [
                SMOKE,
                "--config.eval.estimators=fid",
                "--config.eval.fid_reference=validation",
                "--config.data.num_validation=0",
            ],
            ["fid_reference"],
        ),
        (["--config=digits_dcgan:latent=9"], ["latent=9", "latent=8|2|16|40"]),
        (["--config=digits_ae:kind=sparse"], ["sparse", "plain|denoising|robust|contractive"]),
        (["--config=digits_ae:kind=robust,smoke", "--config.model.radius=0"], ["radius"]),
        (["--config=digits_dcgan:prior=ddpm,smoke", "--config.model.prior.betas=cos"], ["cosine"]),
        (["--mode=eval"], ["--workdir"]),
        (["--mode=eval", "--workdir=/nonexistent"], ["/nonexistent", "config.json"]),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(refused, tmp_path, monkeypatch, argv, says):
    monkeypatch.chdir(tmp_path)
    refused(*argv, says=says)
    assert not list(tmp_path.rglob("checkpoints/*")), "nothing may have been trained"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise ValueError('deep reason')", "deep reason"),
        ("def get_config(arg=''):\n    return {}", "ConfigDict"),
        ("x = ", "SyntaxError"),
        ("y = 1", "get_config"),
    ],
)
def test_broken_config_files_are_named(refused, tmp_path, text, says):
    path = tmp_path / "mine.py"
    path.write_text(text)
    refused(f"--config={path}", says=[str(path), says])


def test_missing_data_is_one_sentence_even_in_smoke(refused, tmp_path, monkeypatch):
    monkeypatch.delenv("VDP_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    says = ["mnist", "train-images-idx3-ubyte", "data.download=True"]
    refused("--config=mnist_vae:smoke", f"--workdir={tmp_path / 'w'}", says=says)


def test_eval_file_has_every_key_and_ordered_bounds(smoke_run):
    found = json.loads((smoke_run / "eval.json").read_text())
    assert set(found) == {
        "step", "checkpoint", "split", "num_examples", "binarization_seed", "augmentation",
        "estimators", "active_units", "rates", "latents", "clipped", "mse", "interpolation",
        "accuracy", "fid", "sampling", "train_seconds",
    }  # fmt: skip
    assert set(found["estimators"]) == {
        "elbo", "elbo_discrete", "elbo_ode", "iwae", "iwae_ode", "dvp_reference",
    }  # fmt: skip
    assert found["estimators"]["dvp_reference"] is None  # of hierarchies
    assert found["clipped"] is None
    assert found["fid"] is found["accuracy"] is None
    assert found["train_seconds"] > 0
    elbo, discrete, iwae = (found["estimators"][n] for n in ("elbo", "elbo_discrete", "iwae"))
    assert (elbo["model"], discrete["model"], iwae["model"]) == ("T=inf", "T=100", "T=100")
    assert iwae["weight"] == "path"
    assert iwae["k"] == 4
    assert 1 <= iwae["ess"] <= 4
    for estimate in (elbo, discrete, iwae):
        nats, bits = estimate["nats"], estimate["bits_per_dim"]
        assert nats["mean"] < 0 < bits["mean"]
        assert nats["se"] > 0
        np.testing.assert_allclose(bits["mean"], -nats["mean"] / 64 / np.log(2), rtol=1e-9)
    np.testing.assert_allclose(sum(elbo["parts"].values()), elbo["nats"]["mean"], rtol=1e-5)
    rate = elbo["parts"]["likelihood"] - elbo["nats"]["mean"]
    np.testing.assert_allclose(found["rates"], [rate], atol=1e-4)
    assert discrete["nats"]["mean"] < elbo["nats"]["mean"]


def test_a_run_writes_what_the_design_says(smoke_run):
    config = json.loads((smoke_run / "config.json").read_text())
    assert set(config) == {"config", "versions", "git_revision", "parameters", "data"}
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
    found = json.loads((copied_run / "eval-latest-validation-other.json").read_text())
    assert found["estimators"]["iwae"] is None
    assert found["num_examples"] == 64
    assert (copied_run / "eval.json").read_text() == before
    code, _, _ = cli("--mode=eval", f"--workdir={copied_run}")
    assert code == 0
    again = json.loads((copied_run / "eval.json").read_text())
    assert again["estimators"]["elbo"]["nats"] == json.loads(before)["estimators"]["elbo"]["nats"]
    code, _, _ = cli("--mode=eval", "--workdir=run", "--config.eval.max_examples=32")
    assert code == 0
    assert json.loads((copied_run / "eval-best-test-other.json").read_text())["num_examples"] == 32
    assert json.loads((copied_run / "eval.json").read_text())["num_examples"] == 64
    code, out, _ = cli("--mode=sample", "--workdir=run", "--config.sample.num=4")
    assert code == 0
    assert "samples.png" in out


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


def test_finished_run_says_so_and_evaluates_again_if_needed(cli, copied_run):
    code, _, err = cli(SMOKE, f"--workdir={copied_run}")
    assert code == 0
    assert "already trained" in err
    assert "nothing left to do" in err
    (copied_run / "eval.json").unlink()
    code, _, _ = cli(SMOKE, f"--workdir={copied_run}")
    assert code == 0
    assert (copied_run / "eval.json").exists()


def test_another_config_on_a_workdir_names_the_fields(refused, copied_run):
    refused(SMOKE, f"--workdir={copied_run}", "--config.optim.learning_rate=0.5",
            "--config.seed=4", "--config.eval.every=7",
            says=["optim.learning_rate (was 0.001, now 0.5)", "seed", "--workdir"])  # fmt: skip
    refused(SMOKE, f"--workdir={copied_run}", "--config.train.steps=5", says=["train.steps"])


def test_every_prior_argument_trains(cli, tmp_path):
    code, _, err = cli("--config=digits_vae:prior=normal,smoke", f"--workdir={tmp_path}")
    assert code == 0, err
    found = json.loads((tmp_path / "eval.json").read_text())
    assert found["estimators"]["elbo"]["model"] == "exact"
    assert found["estimators"]["iwae"]["weight"] == "exact"


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
    assert vdp.load(str(smoke_run), step="latest").step == 20
    assert vdp.load(smoke_run, step=10).step == 10
    for bad in (images.astype(np.float32), images[:, :4], np.full((1, 8, 8, 1), 200, np.uint8)):
        with pytest.raises(UserError, match="images"):
            run.elbo(bad)


def test_exit_code_of_the_process():
    done = subprocess.run(
        [sys.executable, "-m", "vdp.main", "--mode=nope"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert main.run(["--help"]) == 0

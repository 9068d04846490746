"""The command line: modes, overrides, and one clear sentence with exit code 2 for bad input."""

import json
import os
import re
import subprocess
import sys

import pytest
from checkout import ROOT

from vdp import config, main

SMOKE = "--config=digits_vae:smoke"


def test_help_answers(cli):
    code, out, _ = cli("--help")
    assert code == 0
    for word in ("--config", "--workdir", "--mode", "describe", "exit codes"):
        assert word in out


def test_describe_reads_a_run(cli, smoke_run):
    code, out, err = cli("--mode=describe", f"--workdir={smoke_run}")
    assert code == 0, err
    stored = json.loads((smoke_run / "config.json").read_text())
    assert json.loads(out.splitlines()[-1])["parameters"] == stored["parameters"]


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


def test_without_arguments_every_config_is_listed_with_a_line(cli):
    code, out, _ = cli()
    assert code == 0
    for name in config.config_names():
        assert re.search(rf"^{name} +\w.+\.$", out, re.M), name
    assert "--config=digits_vae" in out.splitlines()[-1]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--multihost"], ["--config", "digits_vae"]),
        (["--config=nope"], ["nope", "mnist_vae"]),
        (["--config=configs/nope.py"], ["nope"]),
        (["--config=digit_vae"], ["mean digits_vae?"]),
        (["--config=digits_vae:smok"], ["mean smoke?", "prior=vdm|ddpm"]),
        (["--config=digits_vae:prior=flwo"], ["mean prior=flow?", "vamp|mixture|normal"]),
        (["--config=digits_vae:smoke,smoke"], ["twice"]),
        ([SMOKE, "--config.trian.steps=3"], ["mean train.steps?"]),
        ([SMOKE, "--config.train.learning_rate=1"], ["mean optim.learning_rate?", "train.steps"]),
        ([SMOKE, "--config.train.xyz=1"], ["'train.xyz'; accepted"]),
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
        (
            [SMOKE, "--config.model.prior.name=normal"],
            ["bound, denoiser", "alone is changed"],
        ),
        ([SMOKE, "--config.train.steps_per_dispatch=-1"], ["steps_per_dispatch"]),
        ([SMOKE, "--config.data.binarization_seed=-1"], ["at least 0"]),
        ([SMOKE, "--config.model.latent_shape=1.5"], ["config.model.latent_shape", "int"]),
        ([SMOKE, "--config.model.log_var_floor=-12.0"], ["gamma_0", "log_var_floor"]),
        ([SMOKE, "--config.model.prior.num_steps=0"], ["num_steps"]),
        (["--config=README.md"], ["README.md"]),
        ([SMOKE, "--config.optim.name=sgd"], ["sgd", "adamax"]),
        ([SMOKE, "--config.optim.schedule=step"], ["cosine"]),
        ([SMOKE, "--config.train.batch_size=0"], ["train.batch_size"]),
        ([SMOKE, "--config.eval.batch_size=1e11"], ["eval.batch_size", "at most 1048576"]),
        ([SMOKE, "--config.seed=-1"], ["config.seed", "at least 0"]),
        ([SMOKE, "--config.sample.seed=4294967296"], ["sample.seed", "at most 4294967295"]),
        ([SMOKE, "--config.train.steps=1e30"], ["train.steps", "at most"]),
        ([SMOKE, "--config.train.steps=\uff11"], ["train.steps", "int"]),
        ([SMOKE, "--config.optim.learning_rate=1e999"], ["optim.learning_rate", "finite"]),
        ([SMOKE, "--config.eval.checkpoint=\u00b2"], ["eval.checkpoint", "latest"]),
        ([SMOKE, "--config.model.prior.schedule.gamma_1=1e999"], ["gamma_1", "finite"]),
        ([SMOKE, "--config.model.log_var_floor=-1e9"], ["model.log_var_floor", "[-80, 80]"]),
        ([SMOKE, "--config.model.encoder.dropout=1.5"], ["model.encoder.dropout", "[0, 1)"]),
        ([SMOKE, "--config.model.encoder.depth=-1"], ["model.encoder.depth", "at least 0"]),
        ([SMOKE, "--config.model.prior.name=.make"], ["'.make'", "MODULE.NAME"]),
        ([SMOKE, "--config.model.prior.name=..make"], ["'..make'", "MODULE.NAME"]),
        ([SMOKE, "--config.model.prior.name=math.pi"], ["'math.pi' is a float"]),
        ([SMOKE, "--config.model.prior.name=vdp.nets"], ["'vdp.nets' is a module"]),
        ([SMOKE, "--config.eval.estimators=dvp_reference"], ["dvp_reference", "elbo_discrete"]),
        (
            ["--config=digits_vae:prior=normal,smoke", "--config.eval.estimators=elbo_ode"],
            ["elbo_ode", "there is elbo, "],
        ),
        (["--config=digits_ae:smoke", "--config.eval.estimators=iwae"], ["iwae", "none"]),
        (["--config=digits_ae:smoke", "--config.eval.convergence=steps"], ["steps", "is none"]),
        (["--config=digits_ae:smoke", "--config.sample.sampler=ddim"], ["no samples", "sampler"]),
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
        (["--config=digits_dvp:ladder,transform=spline"], ["is of prior=flow"]),
        (["--config=digits_dvp:ladder,schedule=linear"], ["schedule is of a diffusion prior"]),
        (["--config=digits_dvp:vamp,schedule=cosine"], ["schedule is of a diffusion prior"]),
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
        (
            ["--config=digits_dcgan:latent=9"],
            ["latent is one of 8, 2, 16, 40", " --config.model.latent_shape=9,"],
        ),
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
    [("def get_config(arg=''):\n    return {}", "ConfigDict"), ("y = 1", "get_config")],
)
def test_config_files_that_are_none_are_refused(refused, tmp_path, text, says):
    path = tmp_path / "mine.py"
    path.write_text(text)
    refused(f"--config={path}", says=[str(path), says])


@pytest.mark.parametrize(
    ("text", "says", "line"),
    [
        ("def get_config(arg=''):\n    raise ValueError('deep reason')", "deep reason", 2),
        ("\nx = ", "SyntaxError", 2),
        ("def get_config(arg=''):\n    return 1 / 0", "ZeroDivisionError", 2),
        ("import sys\nsys.exit()", "SystemExit", 2),
        ("def get_config(arg=''):\n    raise KeyboardInterrupt", "KeyboardInterrupt", 2),
    ],
)
def test_config_files_that_fail_keep_their_traceback(cli, tmp_path, text, says, line):
    path = tmp_path / "mine.py"
    path.write_text(text)
    code, _, err = cli(f"--config={path}")
    assert code == 1
    first, *rest = err.splitlines()
    assert first.startswith("error: ")
    assert str(path) in first
    assert says in first
    assert f'File "{path}", line {line}' in "\n".join(rest)


def test_missing_data_is_one_sentence_even_in_smoke(refused, tmp_path, monkeypatch):
    monkeypatch.delenv("VDP_DATA", raising=False)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    says = ["mnist", "train-images-idx3-ubyte", "data.download=True"]
    refused("--config=mnist_vae:smoke", f"--workdir={tmp_path / 'w'}", says=says)
    assert not (tmp_path / "w").exists(), "nothing is left of it"
    nowhere = f"--config.data.dir={tmp_path / 'nowhere'}"
    says = [str(tmp_path / "nowhere"), "which is no folder"]
    refused("--config=mnist_vae:smoke", nowhere, f"--workdir={tmp_path / 'w'}", says=says)


@pytest.mark.slow
def test_every_prior_argument_trains(cli, tmp_path):
    code, _, err = cli("--config=digits_vae:prior=normal,smoke", f"--workdir={tmp_path}")
    assert code == 0, err
    found = json.loads((tmp_path / "eval.json").read_text())
    assert found["estimators"]["elbo"]["model"] == "exact"
    assert found["estimators"]["iwae"]["weight"] == "exact"


def test_exit_code_of_the_process():
    done = subprocess.run(
        [sys.executable, "-m", "vdp.main", "--mode=nope"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert main.run(["--help"]) == 0


def test_another_python_is_told_from_a_broken_one(monkeypatch, refused):
    def missing(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(main, "_dispatch", lambda *_: missing("ml_collections"))
    refused(says=["ml_collections", sys.executable, "activate"])
    monkeypatch.setattr(main, "_dispatch", lambda *_: missing("mine"))
    with pytest.raises(ModuleNotFoundError):
        main.run([])


@pytest.mark.parametrize("value", ["None", "[1]", "3", "{1}"])
@pytest.mark.parametrize("section", ["train", "model", "optim.groups"])
def test_a_section_is_none_of_these(refused, tmp_path, section, value):
    path = tmp_path / "mine.py"
    parent, _, name = f"config.{section}".rpartition(".")
    path.write_text(
        "from vdp import variants\n"
        "def get_config(arg=''):\n"
        "    config = variants.defaults()\n"
        f"    del {parent}.{name}\n"
        f"    {parent}.{name} = {value}\n"
        "    return config\n"
    )
    refused(f"--config={path}", says=[f"config.{section}"])


def test_environments_that_ask_for_nothing_or_for_what_is_not_there(cli, refused, monkeypatch):
    describe = ("--mode=describe", SMOKE)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "")
    monkeypatch.setenv("JAX_COORDINATOR_ADDRESS", "")
    assert cli(*describe)[0] == 0
    monkeypatch.setattr("jax.devices", lambda: 1 / 0)
    refused(*describe, says=["no device", "JAX_PLATFORMS"])
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "two")
    refused(*describe, says=["SLURM_STEP_NUM_TASKS='two'"])


def test_a_terminal_without_the_characters_and_no_stdout():
    code = (
        "import sys; from vdp.modes import describe as mode; from vdp import main\n"
        "mode.main = lambda *_, **__: print('±')\n"
        "main._program(sys.argv[1:])\n"
    )
    command = [sys.executable, "-c", code, "--mode=describe", SMOKE]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (0, "?\n", "")
    for without in (["bash", "-c", f'"$@" {out}', "bash", *command] for out in (">&-", "2>&-")):
        done = subprocess.run(without, env=environment, capture_output=True, text=True, cwd=ROOT)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("asked", ["--mode=describe", "--help"])
def test_a_pipe_that_closes_early_is_no_error_of_a_file(asked):
    program = [sys.executable, "-m", "vdp.main", asked, "--config=digits_vae:smoke"]
    pipe = subprocess.PIPE
    with subprocess.Popen(program, stdout=pipe, stderr=pipe, text=True, cwd=ROOT) as started:
        started.stdout.close()
        assert started.stderr.read() == ""
    assert started.returncode == 141


def test_home_folders_that_are_not_known(refused):
    for flag in ("--config=~nosuch/x.py", f"{SMOKE} --config.data.dir=~nosuch/x",
                 f"{SMOKE} --config.data.name=folder:~nosuch/x"):  # fmt: skip
        refused(*flag.split(), says=["~nosuch", "home folder"])


def test_help_of_a_config_that_fails_is_one_sentence_first(cli, tmp_path):
    (tmp_path / "broken.py").write_text("def get_config(arg=''):\n    return 1 / 0\n")
    code, _, err = cli("--help", f"--config={tmp_path / 'broken.py'}")
    assert (code, err.startswith("error: ")) == (1, True)

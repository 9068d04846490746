"""What answers at once: the version, the programs by their names, completion in a shell."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from checkout import ROOT

import vdp
from vdp import config, config_help, main
from vdp.flags import MODES


def test_the_version_is_said(cli):
    assert cli("--version") == (0, f"vdp {vdp.__version__}\n", "")
    done = subprocess.run([sys.executable, "-m", "vdp", "--version"], cwd=ROOT,
                          capture_output=True, text=True)  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"vdp {vdp.__version__}\n")


def test_the_installed_program_is_main():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, function = project["scripts"]["vdp"].partition(":")
    assert module == main.__name__
    assert callable(getattr(main, function))


@pytest.mark.parametrize("name", ["config", "workdir", "out", "mode"])
def test_a_flag_without_its_value_is_refused(refused, name):
    """As of --workdir=$RUN where RUN is not set: the folder would be another one."""
    other = () if name == "config" else ("--config=digits_vae:smoke",)
    refused(f"--{name}=", *other, says=[f"--{name} is empty"])
    refused(f"--{name}", "", *other, says=[f"--{name} is empty"])


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["vdp", "--mo"], ["--mode="]),
        (["vdp", "--mode", "=", "ex"], ["export"]),
        (["vdp", "--mode", "="], sorted(MODES)),
        (["vdp", "--mode=ex"], ["--mode=export"]),
        (["vdp", "--config", "=", "digits_"],
         [n for n in config.config_names() if n.startswith("digits_")]),
        (["vdp", "--config", "=", "di", "--dtype", "=", "b"], ["bfloat16"]),
    ],
)  # fmt: skip
def test_bash_completes(cli, words, offered, tmp_path):
    code, script, _ = cli("--completion")
    assert code == 0
    listed = " ".join(f"'{word}'" for word in words)
    asked = f"COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _vdp"
    said = "printf '%s\\n' ${COMPREPLY[@]}"
    done = subprocess.run(["bash", "-c", f"{script}\n{asked}\n{said}"], cwd=tmp_path,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.split()) == offered, done.stderr


@pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells_complete_paths(cli, shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"there is no {shell}")
    (tmp_path / "pictures" / "of mine").mkdir(parents=True)
    (tmp_path / "pixels.py").touch()
    script = cli("--completion")[1]
    asked = 'COMPREPLY=(); _vdp_paths "--workdir=" "pi" -d; _vdp_paths "" "pi"; '
    asked += '_vdp_paths "" "pictures/o" -d; _vdp_paths "" "nothing"'
    said = "printf '%s\\n' \"${COMPREPLY[@]}\""
    before = "compinit() { :; }; bashcompinit() { :; }; complete() { :; }; autoload() { :; }"
    done = subprocess.run([shell, "-c", f"{before}\n{script}\n{asked}\n{said}"], cwd=tmp_path,
                          capture_output=True, text=True)  # fmt: skip
    found = ["--workdir=pictures/", "pictures/", "pixels.py", "pictures/of mine/"]
    assert done.stdout.splitlines() == found, done.stderr


def test_help_of_a_config_lists_what_can_be_changed(cli):
    code, text, _ = cli("--help", "--config=digits_vae:prior=flow")
    assert code == 0
    names = "vdm|ddpm|flow|tarflow|trajectory|vamp|mixture|normal"
    assert f"  prior={names}|MODULE.NAME (without it: vdm)" in text
    assert "\n  model.prior.name = flow " in text
    lines = [line for line in text.splitlines() if line.startswith("  eval.max_examples = 0")]
    assert lines == [f"{'  eval.max_examples = 0':44}  # 0: the whole split"]
    said = dict(re.findall(r"^  (model\S+) = .*?# (.*)$", text, re.M))
    assert said["model.prior.net.width"] == "of the hidden layers", "of the component's docstring"
    assert said["model.prior.name"].startswith("A normalising flow: ")
    assert said["model.kl_warmup_steps"].startswith("the weight rises linearly"), "of a base"
    known = config_help.of_components({"name": "vdm", "num_steps": 3, "bound": "ode"}, "prior")
    assert known["prior.num_steps"].startswith("T of the ancestral sampler"), "as of another class"
    assert known["prior.name"].startswith("A diffusion prior in continuous time"), "of its module"
    nowhere = {"name": "mine.Prior", "net": {"name": "MLP", "width": 3}}
    assert config_help.of_components(nowhere, "prior") == {}
    assert cli("--config", "digits_vae", "-h")[1].startswith("A VAE with a diffusion prior")
    assert cli("--help")[1].startswith("usage: ")
    assert cli("--help", "--config=digits_vea")[0] == 2


def test_every_config_says_what_follows_its_colon():
    for name in config.config_names():
        assert "smoke" in config_help.choices(name).words, name


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--mode=sample"], "--workdir is missing, the folder of a run"),
        (["--mode=describe"], "--config or --workdir is missing"),
        (["--workdir=runs/a"], "--config is missing"),
        (["--config=digits_vae", "config.seed=1"], "two dashes are missing: --config.seed=1"),
    ],
)
def test_what_is_missing_is_said_by_mode(refused, argv, says):
    refused(*argv, says=[says])


def test_the_program_finds_components_where_the_person_is(tmp_path):
    (tmp_path / "laplace_here.py").write_text(
        "def make():\n    raise RuntimeError('it was found')\n"
    )
    program = "import sys; sys.argv = ['vdp', *sys.argv[1:]]; import vdp.main; vdp.main.console()"
    flags = ["--mode=describe", "--config=digits_vae:prior=laplace_here.make"]
    command = [sys.executable, "-c", f"import sys; sys.path.pop(0); {program}", *flags]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(ROOT)})  # fmt: skip
    assert "it was found" in done.stderr

"""What answers at once: the version, the programs by their names, completion in a shell."""

import shutil
import subprocess
import sys
import tomllib

import pytest
from checkout import ROOT

import vdp
from vdp import config, main
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

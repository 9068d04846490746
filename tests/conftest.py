"""Shared set-up: CPU, no user caches or data folders, and a tiny trained run."""

import fcntl
import gc
import os
import pathlib
import shutil
import signal
import tempfile

from vdp.runtime import xla_options  # imports no jax

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("NPROC", "16")
# compilation is most of the time of these tests; the numbers differ by rounding only
QUICK = ["--xla_llvm_disable_expensive_passes=true", "--xla_cpu_parallel_codegen_split_count=1"]
os.environ.setdefault("XLA_FLAGS", " ".join(xla_options.flags({"quick_compile"}, QUICK)))
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", os.path.join(tempfile.gettempdir(), "vdp-test-compile-cache")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

# a shell's background ignores Ctrl-C, and so would the processes that tests start and stop with it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# classifiers and statistics of FID: never the user's own
os.environ["XDG_CACHE_HOME"] = os.path.join(tempfile.gettempdir(), "vdp-test-cache")

import jax
import jaxtyping
import pytest
from checkout import ROOT

# the evaluator of jaxprs calls small functions by the hundred thousand, of which none has axes
UNCHECKED = {"vdp.runtime.uncompiled", "vdp.runtime.numpy_rules"}
modules = {".".join(p.relative_to(ROOT).with_suffix("").parts) for p in ROOT.glob("vdp/**/*.py")}
own = [name for name in modules - UNCHECKED if not name.endswith("__init__")]
jaxtyping.install_import_hook(own, "typecheck.checked")

from undrawn import pictures

from vdp import main

jax.config.update("jax_numpy_rank_promotion", "raise")  # in vdp axes that meet are written out
gc.set_threshold(50_000, 20, 20)  # traces are many small objects, and few of them are garbage


@pytest.fixture(autouse=True, scope="module")
def less_to_collect():
    """Traces and programs stay in jax's caches; they are not searched for garbage again."""
    yield
    gc.freeze()


@pytest.fixture
def undrawn():
    """The runs of a test draw no pictures."""
    with pictures(drawn=False):
        yield


@pytest.fixture
def broadcasting():
    """Components from outside may leave axes to numpy's rules."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory):
    """The workdir of a finished smoke run of the main job; read it, never write into it."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # of all workers: the first to need the run trains it
    workdir = folder / "smoke"
    with open(folder / "smoke.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (workdir / "card.html").exists():
            with pictures(drawn=True):
                assert main.run(["--config=digits_vae:smoke", f"--workdir={workdir}"]) == 0
    return workdir


@pytest.fixture
def copied_run(smoke_run, tmp_path):
    return pathlib.Path(shutil.copytree(smoke_run, tmp_path / "run"))


@pytest.fixture
def cli(capsys):
    """Runs the command line in process; returns (exit code, stdout, stderr)."""

    def run(*argv):
        code = main.run([str(arg) for arg in argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def refused(cli):
    """Runs the command line, which has to refuse in one sentence that contains the words."""

    def run(*argv, says=()):
        code, _, err = cli(*argv)
        assert code == 2, err
        assert "Traceback" not in err
        errors = [line for line in err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, err
        for word in says:
            assert word in errors[0]
        return errors[0]

    return run

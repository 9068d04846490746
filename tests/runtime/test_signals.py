"""Signals at any moment: noted, never raised, and answered even where Python does not run."""

import os
import pty
import signal
import subprocess
import sys
import weakref

import pytest
from checkout import ROOT

from vdp.errors import Interrupted
from vdp.runtime import files, interruption, signals

IN_C = """
import hashlib, os, signal, sys
from vdp.runtime import signals
signals.listen(watched=True)
def wait():
    print("there", flush=True)
    hashlib.pbkdf2_hmac("sha512", b"", b"", 10**8)  # no handler of Python's runs meanwhile
"""


@pytest.fixture
def listening():
    release = signals.listen()
    yield release
    release()


@pytest.mark.parametrize(
    ("code", "numbers", "ends", "says"),
    [
        ("wait()", ["SIGINT", "SIGINT"], 130, "the same command continues"),
        ("with signals.ending_at_once(): wait()", ["SIGTERM"], 143, "stopped by SIGTERM; nothing"),
        ("with signals.ending_at_once(): wait()", ["SIGINT"], 143, "stopped by Ctrl-C; nothing"),
    ],
)
def test_what_waits_outside_of_python_is_ended(code, numbers, ends, says):
    process = subprocess.Popen(
        [sys.executable, "-c", f"{IN_C}\n{code}"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "there\n"
    for number in numbers:
        process.send_signal(getattr(signal, number))
        said = process.stderr.readline()  # so that the second does not merge with the first
    err = said + process.stderr.read()
    assert process.wait(timeout=20) == ends
    assert says in err
    assert "Traceback" not in err


def test_a_signal_from_before_a_wait_ends_it():
    """A process that is told to stop while it starts would wait for one that has obeyed."""
    code = f"{IN_C}\nsignal.raise_signal(signal.SIGTERM)\nwith signals.ending_at_once(): wait()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (143, "")
    assert done.stderr.endswith("stopped by SIGTERM; nothing had been started\n")


def test_a_closed_terminal_is_a_signal_to_stop_and_what_is_said_after_it_no_error(tmp_path):
    code = (
        "import sys, time\nfrom vdp.runtime import signals\nsignals.listen(watched=True)\n"
        "print('there', flush=True)\nwhile not signals.reason(): time.sleep(0.01)\n"
        "time.sleep(0.3)\nprint('said', flush=True)\n"
        f"open({str(tmp_path / 'saved')!r}, 'w').write(signals.reason())\n"
    )
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdin=end, stdout=end, stderr=end,
        start_new_session=True,
    )  # fmt: skip
    os.close(end)
    assert os.read(terminal, 100).startswith(b"there")
    process.send_signal(signal.SIGHUP)
    os.close(terminal)
    assert process.wait(timeout=20) == 0
    assert (tmp_path / "saved").read_text() == "SIGHUP, of a closed terminal"


def test_a_signal_where_exceptions_are_swallowed_is_not_lost(listening):
    class Thing:
        pass

    thing = Thing()
    kept = weakref.ref(thing, lambda _: os.kill(os.getpid(), signal.SIGTERM))
    assert not interruption.requested()
    del thing
    assert kept() is None
    assert interruption.requested()
    with pytest.raises(Interrupted, match="stopped by SIGTERM at step 3; saved"):
        interruption.check(" at step 3; saved")


def test_a_second_ctrl_c_is_raised_where_the_process_is_not_the_command_alone(listening, capfd):
    os.kill(os.getpid(), signal.SIGINT)
    assert signals.reason() == "Ctrl-C"
    assert "again stops at once" in capfd.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_signals_are_given_back_and_a_library_takes_none(listening):
    assert signals.listening()
    signals.listen()()  # inside a command that listens already: nothing happens
    assert signals.listening()
    listening()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert not interruption.requested()
    interruption.check()


def test_waiting_for_a_lock_ends_with_a_signal(listening, tmp_path):
    with files.lock(tmp_path):
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Interrupted, match="waiting for"), files.lock(tmp_path, wait=True):
            pass

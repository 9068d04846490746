"""Several processes on this machine that train one run.

  python -m launch.local 2 --config=digits_vae

starts 2 processes of `python -m vdp.main` with all arguments that follow the number; where there
are GPUs, process i takes the i-th. SIGTERM and Ctrl-C stop them, saved (exit code 143), as the end
of this program does, however it comes. When one dies the others are stopped too; the same command
continues from the last checkpoint.
"""

import os
import socket
import subprocess
import sys
import time

from launch.signals import exit_code, in_child, stopping
from vdp.errors import whole_number

MAIN = (sys.executable, "-m", "vdp.main")
OF_EACH = ("JAX_PROCESS_ID", "JAX_LOCAL_DEVICE_IDS")
MOST = 1024  # processes on one machine
GRACE = 15.0  # s to end after another process has failed: one that waits for it never would


class Group:
    """The processes of one run: they end together."""

    def __init__(self, command: list[str], num: int):
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            port = sock.getsockname()[1]
        shared = {"JAX_COORDINATOR_ADDRESS": f"127.0.0.1:{port}", "JAX_NUM_PROCESSES": str(num)}
        self._processes = [
            subprocess.Popen(
                command,
                env=os.environ | shared | dict.fromkeys(OF_EACH, str(index)),
                preexec_fn=in_child(),
            )
            for index in range(num)
        ]

    def stop(self) -> None:
        """Asks all of them to save and end."""
        for process in self._processes:
            process.terminate()

    def kill(self) -> None:
        """Ends all of them at once, unsaved."""
        for process in self._processes:
            process.kill()

    def wait(self) -> int:
        """Returns when all have ended: 0, or the exit code of the first that failed."""
        code, deadline = 0, None
        while running := [p for p in self._processes if p.poll() is None]:
            code = code or self._failure()
            if code and deadline is None:
                self.stop()
                deadline = time.monotonic() + GRACE
            if deadline is not None and time.monotonic() > deadline:
                for process in running:
                    process.kill()
            time.sleep(0.05)
        return code or self._failure()

    def _failure(self) -> int:
        return next((exit_code(p.returncode) for p in self._processes if p.returncode), 0)


def run(argv: list[str], command: tuple[str, ...] = MAIN) -> int:
    """Runs the command line and returns the exit code.

    Args:
      argv: the number of processes, then the arguments of each.
      command: what each process runs, in place of `python -m vdp.main`.
    """
    if argv[:1] in (["--help"], ["-h"]):
        print(__doc__)
        return 0
    try:
        number = whole_number(argv[0]) if argv else 0
    except ValueError:
        number = 0
    if not 1 <= number <= MOST:
        print(
            f"error: the number of processes, 1 to {MOST}, comes first, as in: "
            "python -m launch.local 2 --config=digits_vae",
            file=sys.stderr,
        )
        return 2
    with stopping() as stop:
        stop.child = group = Group([*command, *argv[1:]], number)
        if stop.requested:  # before there was a child to tell
            group.stop()
        return group.wait()


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

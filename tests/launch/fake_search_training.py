"""Stands in for `vdp.main` in searches: ten validations, better with a higher learning rate.

Of autoencoders lower is better.
"""

import fcntl
import json
import pathlib
import signal
import sys
import time

here = pathlib.Path(__file__).parent
flags = dict(item.split("=", 1) for item in sys.argv[1:])
folder = pathlib.Path(flags["--workdir"])
rate = float(flags["--config.optim.learning_rate"])
with open(folder / "calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\n")
if rate == 0.5:
    print("error: the rate is too large", "and so on", sep="\n")
    sys.exit(2)
lock = open(folder / ".lock", "w")  # as a training holds it, also while it saves
fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def save(*_):
    time.sleep(0.5 if (here / "slow").exists() else 0.0)
    sys.exit(143)


signal.signal(signal.SIGTERM, save)
path = folder / "metrics.jsonl"
done = path.read_text().count("\n") if path.exists() else 0
with open(path, "a") as metrics:
    for step in range(10 * done, 101, 10):
        if step == 50 and (here / "slow").exists():
            (here / "started").touch()
            time.sleep(60)
        elbo = None if rate == 0.25 else rate * step - 100 if step else 1e6
        if flags["--config"].startswith("digits_ae"):
            line = {"step": step, "eval/squared_error": elbo and -elbo}
        else:
            line = {"step": step, "eval/elbo": elbo}
        metrics.write(json.dumps(line) + "\n")
        metrics.flush()
        time.sleep(0.02)

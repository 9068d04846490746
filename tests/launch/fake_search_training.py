"""Stands in for `vdp.main` in searches: ten validations, better with a higher learning rate."""

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
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
path = folder / "metrics.jsonl"
done = path.read_text().count("\n") if path.exists() else 0
with open(path, "a") as metrics:
    for step in range(10 * done, 101, 10):
        if step == 50 and (here / "slow").exists():
            (here / "started").touch()
            time.sleep(60)
        line = {"step": step, "eval/elbo": rate * step - 100 if step else 1e6}
        metrics.write(json.dumps(line) + "\n")
        metrics.flush()
        time.sleep(0.02)

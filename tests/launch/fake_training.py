"""Stands in for `vdp.main`: writes results without training; files beside it say how it behaves."""

import json
import pathlib
import signal
import sys
import time

from vdp import config, record

here = pathlib.Path(__file__).parent
flags = dict(item.split("=", 1) for item in sys.argv[1:])
folder, seed = pathlib.Path(flags["--workdir"]), int(flags["--config.seed"])
with open(folder / "calls", "a") as calls:
    calls.write("x")
print("training", folder, file=sys.stderr, flush=True)
if (here / "fail").exists() and (here / "fail").read_text() in str(folder):
    print("Traceback", "error: the disk is full", "and so on", sep="\n", file=sys.stderr)
    sys.exit(2)
if (here / "stop-once").exists():
    (here / "stop-once").unlink()
    sys.exit(143)


def save(*_):
    time.sleep(0.2)
    (folder / "saved").touch()
    sys.exit(143)


if (here / "slow").exists():
    signal.signal(signal.SIGTERM, save)
    (here / "started").touch()
    time.sleep(60)


def bound(nats, model, **more):
    bits = {"mean": -nats / 50, "se": 0.01}
    return {"nats": {"mean": nats, "se": 0.5}, "bits_per_dim": bits, "model": model, **more}


vdm = "prior=vdm" in flags["--config"]
estimators = {
    "elbo": bound(-80.0 - seed, "T=inf" if vdm else "exact"),
    "elbo_discrete": bound(-82.0 - seed, "T=100") if vdm else None,
    "iwae": bound(-78.0 - seed, "T=100" if vdm else "exact", k=16, ess=3.5),
}
fid = {
    "value": 10.0 * (seed + 1),
    "num_samples": 5000,
    "num_reference": 1257,
    "reference": "train",
    "features": "some features",
}
result = {
    "step": 20,
    "split": "test",
    "num_examples": 1360,
    "estimators": estimators,
    "fid": fid if vdm else None,
    "train_seconds": 30.0 + seed,
    "sampling": {"num": 500, "seconds": 0.25},
    "rates": [1.5, 2.5],
}
(folder / "eval.json").write_text(json.dumps(result))
parameters = {"total": 12345, "prior": 678 if vdm else 0}
fields = [(k.removeprefix("--config."), v) for k, v in flags.items() if k.startswith("--config.")]
data = {"name": "digits", "shape": [8, 8, 1], "levels": 17, "num_classes": 10, "counts": {}}
hashes = {"train": (here / "images").read_text() if (here / "images").exists() else "these"}
settings = config.settings(flags["--config"], fields)
record.write_run(folder, settings, parameters, data, hashes=hashes)

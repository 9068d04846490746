"""What a run that is no more has left in its folder."""

import pathlib

from vdp.evaluation import index
from vdp.record import PLOTS, SAMPLES
from vdp.run import calibration
from vdp.runtime import wandb_sink
from vdp.runtime.metric_log import METRICS_FILE

PATTERNS = (
    METRICS_FILE, "eval*.json", "eval*.npz", "codes-*", wandb_sink.ID_FILE, calibration.FOLDER,
)  # fmt: skip


def of(workdir: pathlib.Path) -> list[pathlib.Path]:
    """What evaluations, encodings, pictures and logs elsewhere have left in a folder.

    Nothing of a folder in which no run has been: there, files of such names may be anybody's.

    Args:
      workdir: of a run that has no checkpoint.
    """
    found = (path for pattern in PATTERNS for path in sorted(workdir.glob(pattern)))
    left = [path for path in found if path.name != index.LIST and ".bad" not in path.suffix]
    signs = (METRICS_FILE, wandb_sink.ID_FILE)
    results = (path for path in left if path.suffix == ".json")
    if not any((workdir / name).exists() for name in signs) and not any(map(index.read, results)):
        return []
    return [*left, *(path for name in (SAMPLES, PLOTS) if (path := workdir / name).is_dir())]

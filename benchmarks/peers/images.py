"""The images of a config as an archive that programs without vdp read.

python -m benchmarks.peers.images --out=FILE --config=NAME [--config.data.dir=DIR ...]

train: as stored, uint8 [N, H, W, C]; validation and test: as `vdp` evaluates on them, binarised by
the recorded draw where the config is; levels: of what is stored.
"""

import argparse
import pathlib

import numpy as np

from benchmarks import command, common
from vdp import config
from vdp.data import datasets


def main() -> None:
    """Writes the archive."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--config", required=True)
    flags, rest = parser.parse_known_args()
    settings = config.settings(flags.config, common.overrides(rest))
    data = datasets.load(settings.data)
    of = lambda name: datasets.fixed_images(data.splits[name], data.facts, settings.data)[0]
    np.savez(
        flags.out,
        train=data.splits["train"].images,
        validation=of("validation"),
        test=of("test"),
        levels=data.facts.info.levels,
    )


if __name__ == "__main__":
    command.run(main)

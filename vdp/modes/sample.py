"""`--mode=sample`: draws pictures from one checkpoint of a run."""

import pathlib
import sys

from vdp import build
from vdp.cards import write
from vdp.data import identity
from vdp.errors import UserError
from vdp.pictures import sample
from vdp.record import ELSEWHERE, SAMPLES
from vdp.run import calibration, record_of, restore
from vdp.runtime import files, parallel
from vdp.settings import Settings


def main(settings: Settings, workdir: pathlib.Path) -> None:
    """Draws from `sample.checkpoint`, and what needs images where their data is.

    The run's own pictures come with its plots, made again in the formats that are asked for.

    Args:
      settings: the run's own, with other `data`, `eval` or `sample`.
      workdir: of the run.

    Raises:
      UserError: anything the user can mend.
    """
    record = record_of(workdir, settings)
    if parallel.is_writer():
        # before the work, whose pictures are written there
        files.prepare(record.workdir, mend=ELSEWHERE)
    run = restore(settings, record, settings.sample.checkpoint)
    build.check_sampler(run.model, settings.sample.options())
    folder = sample.folder_of(record.workdir, record.settings, settings)
    dataset, problem = None, "not all processes have them"
    try:
        dataset = identity.load(
            settings.data, run.facts, trained=record.settings.data, stored=record.hashes
        )
    except UserError as error:
        problem = str(error)
    if parallel.agreed(dataset is None) or dataset is None:  # drawn by all in the same way
        if parallel.is_writer():
            print(f"no pictures of test images: {problem}", file=sys.stderr)
        written = sample.write_from_noise(run, folder)
        otherwise = "of images alone: name their data"
    else:
        run = calibration.ensured(run, record.workdir, dataset)
        written, otherwise = sample.write_all(run, folder, dataset), "of nothing"
    if not written:
        raise UserError(f"model {settings.model['name']} draws pictures {otherwise}")
    sample.write_settings(run, folder)
    if folder == record.workdir / SAMPLES:  # its own pictures, and not of other settings
        written += sample.write_plots(run, record.workdir)
    if parallel.is_writer():
        if (record.workdir / write.CARD).exists():  # of the pictures that were there
            write.card(record.workdir)
        print("\n".join(map(str, written)))

"""`--mode=compress`: images as a file, by bits-back coding with the run's model."""

import pathlib
import time

import numpy as np

from vdp.data import gathered
from vdp.errors import Interrupted, UserError, with_flags
from vdp.run import Run, calibration, record_of, restore
from vdp.run.rates import Rate, beside_bound
from vdp.runtime import files, interruption, parallel
from vdp.runtime.numbers import with_error
from vdp.runtime.progress import Progress, duration
from vdp.settings import SPLITS, Settings
from vdp.types import Model

ENDING = ".vdp"
NOTHING_WRITTEN = "; nothing was written"


def main(settings: Settings, workdir: pathlib.Path) -> None:
    """Compresses `codec.files` into `codec.out`, and says its rate beside the model's bound.

    Args:
      settings: the run's own, with other `data` or `codec`.
      workdir: of the run.

    Raises:
      UserError: anything the user can mend.
      Interrupted: after SIGTERM; no file is there then, or all of it and no bound beside its rate.
    """
    record = record_of(workdir, settings)
    out = files.located(settings.codec.out)
    if out.suffix != ENDING:
        raise UserError(f"config.codec.out=NAME{ENDING} says where the compressed images go")
    run = restore(settings, record, settings.codec.checkpoint)
    images = _images(run)
    if parallel.is_writer():
        files.check_file(out)
    if calibration.is_missing(run):
        _say(
            f"nothing is kept to which the chain of step {run.step} is fitted: it is coded as with "
            f"{with_flags('config.eval.reverse=fixed')}; an evaluation of this checkpoint fits it"
        )
    start = time.perf_counter()
    size = float(np.prod(run.facts.shape))

    title = f"compressing into {out.name}"
    with Progress(title, len(images), enabled=parallel.is_writer()) as progress:

        def moved(done: int, bits: float) -> None:
            seconds = time.perf_counter() - start
            told = f"{bits / done / size:.3f} bits/dim, {done / seconds:.1f} images/s"
            progress.show(done, told)
            interruption.check(NOTHING_WRITTEN)

        encoded = run.encoded(images, moved=moved)
    seconds = time.perf_counter() - start
    if parallel.is_writer():
        with files.replacing(out) as temporary:
            temporary.write_bytes(encoded.content)
    length, rate = len(encoded.content), float(encoded.bits.sum()) / len(images) / size
    _say(
        f"{out}: {len(images):,} images in {length:,} bytes, "
        f"{8 * length / len(images) / size:.4f} bits/dim of the whole file; "
        f"{duration(seconds)}, {len(images) / seconds:.1f} images/s",
        f"rate {rate:.4f} bits/dim; initial bits {encoded.initial_bits} "
        f"({encoded.initial_bits / len(images) / size:.4f} bits/dim), paid once",
    )
    if not settings.codec.bound:
        return
    try:
        _say(_beside_bound(beside_bound(run, images, encoded)))
    except Interrupted:
        raise interruption.stopped(f"; {out} is whole, its bound was not computed") from None


def _say(*lines: str) -> None:
    """Lines for the person, of one process alone, as soon as they are true."""
    if parallel.is_writer():
        print(*lines, sep="\n", flush=True)


def _images(run: Run[Model]) -> np.ndarray:
    """What is compressed: levels as the model is evaluated on them, uint8 [N, H, W, C]."""
    wanted = run.settings.codec.files
    if wanted in SPLITS:
        return run.images(wanted)
    path = files.located(wanted)
    if not path.exists():
        raise UserError(
            f"config.codec.files={wanted} is neither a split ({', '.join(SPLITS)}) nor a folder of "
            "images or an .npz file that is there"
        )
    return gathered.read(path, run.facts.levels)


def _beside_bound(rate: Rate) -> str:
    """The bound of the coded model on the same images, and how far the rate is from it."""
    within = None if rate.gap_se is None else 100 * rate.gap_se
    return (
        f"bound ({rate.model}) {with_error(rate.bound, rate.bound_se, '.4f')} bits/dim over these "
        f"images; the rate differs from it by {with_error(100 * rate.gap, within, '+.2f')} %"
    )

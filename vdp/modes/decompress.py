"""`--mode=decompress`: the images of a file that `--mode=compress` has written."""

import pathlib
import time

from vdp.codec import Damaged, count
from vdp.errors import UserError
from vdp.run import record_of, restore, saved
from vdp.runtime import files, interruption, parallel
from vdp.runtime.progress import Progress, duration
from vdp.settings import Settings


def main(settings: Settings, workdir: pathlib.Path) -> None:
    """Writes the images of `codec.files` into `codec.out`, an .npz file or a folder of PNG files.

    Args:
      settings: the run's own, with other `codec`.
      workdir: of the run.

    Raises:
      UserError: anything the user can mend, damaged files included; with `codec.keep` the images
        before the damage have been written.
      Interrupted: after SIGTERM; no images are there then.
    """
    record = record_of(workdir, settings)
    source, out = files.located(settings.codec.files), files.located(settings.codec.out)
    if not settings.codec.out:
        raise UserError(
            "config.codec.out says where the images go: NAME.npz, or a folder for PNG files"
        )
    try:
        content = source.read_bytes()
    except OSError as error:
        raise UserError(
            f"config.codec.files={source} cannot be read ({error.strerror}): name a file that "
            "--mode=compress has written"
        ) from error
    run = restore(settings, record, settings.codec.checkpoint)
    if parallel.is_writer():
        saved.check(out, run.facts.shape[-1])
    total = count(content, str(source))
    progress = Progress(f"decompressing {source.name}", total, enabled=parallel.is_writer())
    start = time.perf_counter()

    def moved(done: int, bits: float) -> None:
        progress.show(done, f"{done / (time.perf_counter() - start):.1f} images/s")
        interruption.check("; no images were written")

    levels = run.facts.levels
    try:
        keep = settings.codec.keep
        images = run.decompress(content, where=str(source), keep=keep, moved=moved)
    except Damaged as damage:
        if damage.images is None or not len(damage.images):
            raise
        if parallel.is_writer():
            saved.write(out, damage.images, levels)
        raise UserError(
            f"{damage}; the first {len(damage.images):,} images are in {out}"
        ) from damage
    finally:
        progress.close()
    if parallel.is_writer():
        saved.write(out, images, levels)
        seconds = time.perf_counter() - start
        pace = len(images) / seconds
        print(f"{out}: {len(images):,} images in {duration(seconds)}, {pace:.1f} images/s")

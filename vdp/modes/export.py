"""`--mode=export`: writes one checkpoint of a run as a folder to be shared."""

import pathlib

import jax

from vdp.export import folder
from vdp.record import read_run
from vdp.run import calibration, restore
from vdp.runtime import files, parallel
from vdp.runtime.progress import in_bytes
from vdp.settings import Settings, compare
from vdp.training import fingerprint
from vdp.training.checkpoint import FOLDER


def main(settings: Settings, workdir: pathlib.Path, *, out: str, dtype: str = "float32") -> None:
    """Exports `eval.checkpoint` of the run in `workdir`, and says how large what is.

    Args:
      settings: the run's own.
      workdir: of the run.
      out: a folder, empty or not there.
      dtype: of the weights, "float32" or "bfloat16".

    Raises:
      UserError: anything the user can mend.
    """
    target = files.located(out)
    if parallel.is_writer():
        folder.check(target, dtype)
    record = read_run(workdir)
    compare.check_same_run(record.settings, settings)
    size = parallel.next_multiple(record.settings.eval.batch_size, jax.device_count())
    own = record.settings.replace(eval=dict(batch_size=size))  # of which nothing is written
    run = restore(own, record, settings.eval.checkpoint)
    chain = calibration.kept(run, record.workdir)  # for all processes to ask
    digest = fingerprint.digest(run.params)
    if not parallel.is_writer():
        return
    written = folder.write(run, record, target, dtype=dtype, chain=chain, digest=digest)
    width = max(len(str(path)) for path in written)
    for path in written:
        print(f"{path!s:{width}}  {in_bytes(path.stat().st_size)}")
    kept = (record.workdir / FOLDER / str(run.step)).rglob("*")
    whole = sum(path.stat().st_size for path in kept if path.is_file())
    of = f"; the checkpoint of step {run.step}, with the optimiser's state: {in_bytes(whole)}"
    total = sum(path.stat().st_size for path in written)
    print(f"{target}: {in_bytes(total)}{of if whole else ''}")

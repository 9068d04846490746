"""The codes of many images as a file: an .npz archive, or a table in the format Parquet.

Codes come batch by batch and lie on disk while they are gathered: a hierarchy's of a whole data set
need not fit in memory.
"""

import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int32, Num

from vdp.errors import UserError, choose_from
from vdp.run import Code
from vdp.runtime import files, npz

Rows = dict[str, Num[np.ndarray, "n ..."]]
ROW_GROUP = 2**26  # bytes, about, of rows that are written to a table at once


def rows(
    code: Code, noise: Mapping[str, np.random.Generator], *, latents: Sequence[str]
) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a code: ("z_mean", "z_log_var", "z_draw") of each latent, float32 [N, *shape].

    A draw is mean + deviation * noise of every latent by itself. Where all log-variances are minus
    infinity, as an autoencoder's, the mean is all there is.

    Args:
      code: of N images.
      noise: a generator for each latent, from which the draws of its numbers are taken in turn.
      latents: those that are wanted.
    """
    for name in latents:
        mean, log_var = (np.asarray(v, np.float32) for v in (code[name].mean, code[name].log_var))
        yield f"{name}_mean", mean
        if not np.isneginf(log_var).all():
            eps = noise[name].standard_normal(mean.shape, np.float32)
            yield f"{name}_log_var", log_var
            yield f"{name}_draw", mean + np.exp(log_var / 2) * eps


def write(
    path: pathlib.Path,
    batches: Iterable[Mapping[str, np.ndarray]],
    labels: Int32[np.ndarray, "n"],
    about: Mapping[str, int | str],
) -> None:
    """Writes arrays [N, ...] that come in batches, with `labels` and `index`, 0 to N - 1.

    The file is there when it is complete; until then as much room again is used beside it.

    Args:
      path: ends in .npz or .parquet.
      batches: of {name: [B, ...]}, with one dtype and shape a name, N rows in all.
      labels: of the images, -1 where there is none.
      about: what the codes are of, by name: each is a 0-dimensional array of the archive, or an
        entry of the table's metadata "vdp".

    Raises:
      UserError: as of `check`.
    """
    check(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".codes-") as folder:
        arrays = _gathered(batches, len(labels), pathlib.Path(folder))
        arrays = {"index": np.arange(len(labels)), "labels": labels, **arrays}
        FORMATS[path.suffix](path, arrays, about)


def _gathered(batches: Iterable[Mapping[str, np.ndarray]], num: int, folder: pathlib.Path) -> Rows:
    """All batches joined, [num, ...], as files that are mapped into memory."""
    whole: Rows = {}
    done = 0
    for batch in batches:
        for name, part in batch.items():
            if name not in whole:
                place, shape = folder / f"{name}.npy", (num, *part.shape[1:])
                whole[name] = np.lib.format.open_memmap(place, "w+", part.dtype, shape)
            whole[name][done : done + len(part)] = part
        done += len(part)
    return whole


def _write_npz(path: pathlib.Path, arrays: Rows, about: Mapping[str, int | str]) -> None:
    npz.write(path, {**arrays, **about})


def _write_parquet(path: pathlib.Path, arrays: Rows, about: Mapping[str, int | str]) -> None:
    """A row an image; the numbers of a latent are a list of fixed length, its shape metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    def field(name: str, array: np.ndarray) -> Any:
        number = pa.from_numpy_dtype(array.dtype)
        if array.ndim == 1:
            return pa.field(name, number)
        shape = array.shape[1:]
        metadata = {"shape": json.dumps(shape)}
        return pa.field(name, pa.list_(number, int(np.prod(shape))), metadata=metadata)

    def column(part: np.ndarray) -> Any:
        if part.ndim == 1:
            return pa.array(part)
        size = int(np.prod(part.shape[1:]))
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(part)), size)

    metadata = {"vdp": json.dumps(about)}
    schema = pa.schema([field(n, a) for n, a in arrays.items()], metadata=metadata)
    num = len(arrays["index"])
    width = sum(array.nbytes for array in arrays.values()) // max(num, 1)
    step = max(ROW_GROUP // max(width, 1), 1)
    with files.replacing(path) as temporary, parquet.ParquetWriter(temporary, schema) as table:
        for start in range(0, num, step):
            parts = [column(array[start : start + step]) for array in arrays.values()]
            table.write_table(pa.Table.from_arrays(parts, schema=schema))


FORMATS: dict[str, Callable[[pathlib.Path, Rows, Mapping[str, int | str]], None]] = {
    ".npz": _write_npz,
    ".parquet": _write_parquet,
}


def check(path: pathlib.Path, size: int = 0) -> None:
    """Refuses a file that could not be written.

    Args:
      path: of the file.
      size: bytes that it will have, about.

    Raises:
      UserError: no known ending, no library for it, or no room on the disk.
    """
    if path.suffix not in FORMATS:
        raise choose_from("ending of a file of codes", path.suffix, FORMATS)
    if path.suffix == ".parquet":
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError as error:
            raise UserError(
                "tables need the package pyarrow: pip install pyarrow, or ask for --format=npz"
            ) from error
    there = next(folder for folder in path.absolute().parents if folder.exists())
    if 2 * size > (free := shutil.disk_usage(there).free):
        raise UserError(
            f"{path} and what is gathered for it take {2 * size / 2**30:.3g} GiB, and {there} has "
            f"{free / 2**30:.3g} GiB left: name another --out, fewer --latents, or "
            "config.eval.max_examples=..."
        )

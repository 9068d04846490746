"""`tfds:NAME`, and the copies tensorflow-datasets has prepared of the data sets known by name.

Read through `tfds.data_source`, which needs array_record files and no TensorFlow; preparing
(`data.download=True`) needs the extra [tf].
"""

import os
import pathlib
from collections.abc import Callable

import numpy as np

from vdp.data.core import Info, Request, Split, Splits, infer_info
from vdp.data.sources import _files
from vdp.errors import UserError


def info(arg: str, request: Request | None = None) -> Info:
    """Shape, classes and counts, read from the prepared copy."""
    return load(arg, request or Request(dir=None))[0]


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Any image data set by its tensorflow-datasets name."""
    if not arg:
        raise UserError("tfds:NAME needs the name of a data set of tensorflow-datasets")
    splits = _prepared(arg, request, "a prepared copy", arg, np.asarray)
    return infer_info(arg, splits), splits


def load_prepared(
    info: Info,
    request: Request,
    *,
    wanted: str,
    builder_name: str | None = None,
    convert: Callable = np.asarray,
) -> Splits:
    """The prepared copy of a data set known by name; `wanted` names the files it stands in for."""
    splits = _prepared(builder_name or info.name, request, wanted, info.name, convert)
    if splits["train"].images.shape[1:] != info.shape:
        raise UserError(
            f"the prepared copy of {info.name} has another image size than {info.shape}"
        )
    return splits


def _data_dir(name: str, request: Request) -> pathlib.Path | None:
    """The first usual place that holds a folder of this builder, without importing anything."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    places = [request.dir, request.dir and request.dir.parent, pathlib.Path(default).expanduser()]
    prepared = lambda place: any((place / name).glob("**/dataset_info.json"))
    return next((place for place in places if place and prepared(place)), None)


def _prepared(name: str, request: Request, wanted: str, shown: str, convert) -> Splits:
    data_dir = _data_dir(name.split("/")[0], request)
    if data_dir is None and not request.download:
        raise _files.missing(shown, wanted, request)
    try:
        import tensorflow_datasets as tfds

        if request.download:
            where = data_dir or request.dir
            builder = tfds.builder(name, data_dir=where, file_format="array_record")
            builder.download_and_prepare()
        else:
            builder = tfds.builder(name, data_dir=data_dir)
        test = "test" if "test" in builder.info.splits else "validation"
        names = {"train": "train", "test": test}
        names = {k: v for k, v in names.items() if v in builder.info.splits}
        return {k: _decode(builder.as_data_source(split=v), convert) for k, v in names.items()}
    except Exception as error:  # anything from a missing TensorFlow to a damaged record
        raise UserError(
            f"tensorflow-datasets could not provide {name!r}: {type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}"
        ) from error


def _decode(source, convert: Callable) -> Split:
    """Decodes every record once into one uint8 array."""
    first = source[0]
    if "image" not in first:
        raise ValueError(f"its records have no 'image' (they have {', '.join(sorted(first))})")
    shape = np.asarray(convert(first["image"])).shape
    images = np.empty((len(source), *shape), np.uint8)
    labels = np.full(len(source), -1, np.int32)
    for index in range(len(source)):
        record = source[index]
        images[index] = np.asarray(convert(record["image"]))
        labels[index] = int(record["label"]) if "label" in record else -1
    return Split.of(images, labels)

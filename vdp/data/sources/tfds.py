"""`tfds:NAME`, and the copies tensorflow-datasets has prepared of the data sets known by name.

Read through `tfds.data_source`, which needs array_record files and no TensorFlow; preparing
(`data.download=True`) needs the extra [tf].
"""

import os
import pathlib
import re
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from vdp.data import depth, labels, resizing
from vdp.data.core import Info, Request, Split, Splits, infer_info
from vdp.data.sources import _files, _pictures
from vdp.errors import UserError
from vdp.runtime import files


def info(arg: str, request: Request | None = None) -> Info:
    """Shape, classes and counts, read from the prepared copy."""
    return load(arg, request or Request(dir=None))[0]


def load(arg: str, request: Request) -> tuple[Info, Splits]:
    """Any image data set by its tensorflow-datasets name."""
    if not arg:
        raise UserError("tfds:NAME needs the name of a data set of tensorflow-datasets")
    convert = lambda image: _opaque(image, request)
    stored, classes = _prepared(arg, request, "a prepared copy", arg, convert)
    splits, levels = _levelled(stored, arg, wanted=request.levels)
    return infer_info(arg, splits, levels=levels, class_names=classes), splits


def load_prepared(
    info: Info,
    request: Request,
    *,
    wanted: str,
    builder_name: str | None = None,
    convert: Callable = np.asarray,
) -> Splits:
    """The prepared copy of a data set known by name.

    Args:
      info: of the data set; images of another size are refused.
      request: where it is looked for.
      wanted: the files that it stands in for, in words.
      builder_name: of tensorflow-datasets; the data set's name by default.
      convert: from a stored image to an array [H, W, C].

    Raises:
      UserError: there is no such copy, or it cannot be read.
    """
    name, known = builder_name or info.name, tuple(info.counts)
    stored, _ = _prepared(name, request, wanted, info.name, convert, known)
    splits, _ = _levelled(stored, info.name, declared=info.levels)
    if splits["train"].images.shape[1:] != info.shape:
        raise UserError(
            f"the prepared copy of {info.name} has another image size than {info.shape}"
        )
    return splits


def _data_dir(name: str, request: Request) -> pathlib.Path | None:
    """The first usual place that holds a folder of this builder, without importing anything."""
    default = os.environ.get("TFDS_DATA_DIR", "~/tensorflow_datasets")
    places = [request.dir, request.dir and request.dir.parent, files.located(default)]
    prepared = lambda place: any((place / name).glob("**/dataset_info.json"))
    return next((place for place in places if place and prepared(place)), None)


Stored = tuple[np.ndarray, np.ndarray]  # images [N, H, W, C] of any type, and labels int32 [N]


def _prepared(
    name: str,
    request: Request,
    wanted: str,
    shown: str,
    convert: Callable,
    splits: Sequence[str] = ("train", "validation", "test"),
) -> tuple[dict[str, Stored], tuple[str, ...]]:
    """(the splits as they are stored, the names of the classes); arguments as of its callers."""
    data_dir = _data_dir(re.split("[/:]", name)[0], request)  # NAME/CONFIG:VERSION
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
        there = list(builder.info.splits)
        if "train" not in there:
            raise UserError(
                f"{shown} of tensorflow-datasets has no split named train to learn from, but "
                f"{', '.join(there) or 'none'}"
            )
        names = {split: split for split in splits if split in there}
        if "test" not in names and "validation" in there:
            names = {"train": "train", "test": "validation"}
        label = dict(builder.info.features).get("label")
        return {
            split: _decode(builder.as_data_source(split=name_there), convert, where=shown)
            for split, name_there in names.items()
        }, tuple(getattr(label, "names", None) or ())
    except UserError:
        raise
    except Exception as error:  # anything from a missing TensorFlow to a damaged record
        raise UserError(
            f"tensorflow-datasets could not provide {name!r}: {type(error).__name__}: "
            f"{_files.said(error)}"
        ) from error


def _decode(source, convert: Callable, *, where: str) -> Stored:
    """Decodes every record once into one array of the type that is stored."""
    first = source[0]
    if "image" not in first:
        raise ValueError(f"its records have no 'image' (they have {', '.join(sorted(first))})")
    example = np.asarray(convert(first["image"]))
    images = np.empty((len(source), *example.shape), example.dtype)
    sizes: Counter[tuple[int, int]] = Counter()
    classes = []
    for index in range(len(source)):
        record = source[index]
        image = np.asarray(convert(record["image"]))
        sizes[image.shape[:2]] += 1
        if len(sizes) == 1:
            images[index] = image
        classes.append(record.get("label", -1))
    if len(sizes) > 1:
        raise resizing.mixed(where, sizes)
    where = f"labels of {where}"
    return images, labels.whole(np.asarray(classes), len(images), where=where, unlabelled=True)


def _opaque(image: np.ndarray, request: Request) -> np.ndarray:
    """A record's image without transparency, at `data.resize`."""
    if image.dtype == np.uint8 and image.shape[-1] == 4:
        from PIL import Image

        picture = Image.fromarray(image)  # RGBA
        image = _pictures.on_background(picture, request.background, where="a record")
    return resizing.fit(image, request.size)


def _levelled(
    stored: dict[str, Stored], where: str, *, wanted: int = 0, declared: int = 0
) -> tuple[Splits, int]:
    arrays = {split: images for split, (images, _) in stored.items()}
    images, levels = depth.settle(arrays, where=where, wanted=wanted, declared=declared)
    return {
        split: Split.of(images[split], classes) for split, (_, classes) in stored.items()
    }, levels

"""What every image got: eval*.npz beside each eval*.json, so that runs compare without computing.

An array for each estimate, named as in the .json, in the order of the split:

- "image", uint64 [N]: which image it is, `image_hashes`;
- "elbo", "iwae", ..., float32 [N]: nats; "score": in its unit, with the sign that people read;
- "elbo.likelihood", ..., float32 [N]: the parts of a bound, which sum to it;
- "iwae.ess", ..., float32 [N]: effective sample sizes of importance weights.
"""

import hashlib
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt64

from vdp.runtime import npz

IMAGE = "image"
Values = dict[str, np.ndarray]


def image_hashes(images: UInt8[np.ndarray, "n *s"]) -> UInt64[np.ndarray, "n"]:
    """A number for every image that is the same for the same pixels, on every machine."""
    return np.fromiter(map(_hash, images), np.uint64, len(images))


def _hash(image: np.ndarray) -> int:
    return int.from_bytes(hashlib.blake2b(image.tobytes(), digest_size=8).digest(), "little")


def named(name: str, value: np.ndarray, parts: Mapping[str, np.ndarray]) -> Values:
    """The arrays of one estimate, by the names that they have in the file."""
    arrays = {name: value} | {f"{name}.{part}": array for part, array in parts.items()}
    return {key: np.asarray(array, np.float32) for key, array in arrays.items()}


def path_of(result: pathlib.Path) -> pathlib.Path:
    """Where the values of the result of an evaluation lie."""
    return result.with_suffix(".npz")


def of_others(result: pathlib.Path, values: Values) -> bool:
    """Whether a result is of as many images as these values are, and of others."""
    before = (npz.read(path_of(result)) or {}).get(IMAGE)
    now = values[IMAGE]
    return before is not None and before.shape == now.shape and not np.array_equal(before, now)


def write(result: pathlib.Path, values: Values, earlier: Mapping[str, Any]) -> None:
    """Writes the values of a result.

    Args:
      result: the path of the .json.
      values: of this evaluation, with "image".
      earlier: estimates of former evaluations that stay in the result; their values stay too,
        where they are of the same images.
    """
    path = path_of(result)
    before = npz.read(path) or {}
    same = np.array_equal(before.get(IMAGE, ()), values[IMAGE])
    kept = {
        name: array for name, array in before.items() if same and name.partition(".")[0] in earlier
    }
    npz.write(path, kept | values)


def read(result: pathlib.Path) -> Values | None:
    """The values of a result; None where there are none (of versions before 0.2), or damaged."""
    stored = npz.read(path_of(result))
    if not stored or IMAGE not in stored:
        return None
    shape = stored[IMAGE].shape
    kinds = {array.dtype.kind for name, array in stored.items() if name != IMAGE}
    whole = len(shape) == 1 and all(array.shape == shape for array in stored.values())
    return stored if whole and kinds <= {"f"} and stored[IMAGE].dtype == np.uint64 else None

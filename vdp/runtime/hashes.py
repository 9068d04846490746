"""Hashes of arrays and words: what names a cache, and tells whether it is of the same things."""

import hashlib

import numpy as np


def digest(*parts: np.ndarray | str) -> str:
    """The SHA-256 of arrays, with their types and shapes, and strings, in hexadecimal digits."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            state.update(part.encode())
        else:
            state.update(f"{part.dtype}{part.shape}".encode())
            # numpy's types have the buffer protocol from Python 3.12 on
            state.update(np.ascontiguousarray(part))  # type: ignore[arg-type]
    return state.hexdigest()

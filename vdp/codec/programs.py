"""Functions of a model, compiled for one number of images: the same for encoder and decoder.

The numbers of a compiled program depend on the shapes it was compiled for. So there is one for
every function, at the number of lanes; fewer images are padded, and the results of the padding are
dropped.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from vdp.types import Params, Stats


class Program:
    """A function(params, stats, *arrays), its arrays [B, ...] like its results.

    Args:
      function: traced by jax.
      params: of the model.
      stats: of the model.
      lanes: B.
    """

    def __init__(self, function: Callable, params: Params, stats: Stats, lanes: int) -> None:
        self._function = jax.jit(function)
        self._args = params, stats
        self._lanes = lanes

    def __call__(self, *arrays: Any, index: int | None = None) -> Any:
        """The results as numpy, for arrays (or trees of them) [N, ...] with N up to B.

        Args:
          arrays: of N images.
          index: a whole number that is passed before the arrays, such as that of a step.
        """
        count = len(jax.tree.leaves(arrays)[0])
        filled = jax.tree.map(self._filled, arrays)
        before = () if index is None else (np.int32(index),)
        results = self._function(*self._args, *before, *filled)
        return jax.tree.map(lambda result: np.asarray(result)[:count], results)

    def _filled(self, array: np.ndarray) -> np.ndarray:
        missing = self._lanes - len(array)
        return np.concatenate([array, np.repeat(array[:1], missing, axis=0)]) if missing else array

"""Compression of images by a run."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from vdp import codec
from vdp.errors import UserError
from vdp.run.base import Base, M
from vdp.settings.parse import to_json
from vdp.types import AnyArray, Reinterpretable

Images = UInt8[np.ndarray, "n h w c"]
Moved = Callable[[int, float], None]


class Compressing(Base[M]):
    """Images to bytes and back, without loss."""

    def encoded(self, x: AnyArray, *, moved: Moved = lambda done, bits: None) -> codec.Encoded:
        """What `compress` gives, with the bits that the images took.

        Args:
          x: uint8 levels [N, H, W, C] as the model is evaluated on them.
          moved: told how many images are done, and how many bits they took.
        """
        chosen = self.settings.codec
        lanes, images = chosen.batch_size, self.arrays(x)[0]
        return codec.compress(self._codec, images, lanes=lanes, bins=chosen.bins, moved=moved)

    def compress(self, x: AnyArray) -> bytes:
        """The contents of a file that `decompress` makes the same images of, bit for bit.

        By bits-back coding (`vdp.codec`): about as long as the model's bound (of a diffusion
        prior, the bound of its T steps). `settings.codec` says how.

        Args:
          x: uint8 levels [N, H, W, C] as the model is evaluated on them.

        Raises:
          UserError: images that the model is not made for, or a model that cannot be coded.
        """
        return self.encoded(x).content

    def decompress(
        self,
        content: bytes,
        *,
        where: str = "the file",
        keep: bool = False,
        moved: Moved = lambda done, bits: None,
    ) -> Images:
        """The images of `compress`, uint8 [N, H, W, C].

        Args:
          content: of a file, written with this run on such a machine.
          where: the file, as the subject of a sentence.
          keep: whether the images before a damage are wanted: `vdp.codec.Damaged` has them.
          moved: told how many images are done, and how many bits they took.

        Raises:
          UserError: it holds no compressed images, or those of another run, machine or version.
          Damaged: it is cut or altered.
        """
        return codec.decompress(self._codec, content, where=where, keep=keep, moved=moved)

    @property
    def _codec(self) -> codec.Codec:
        facts = self.facts
        if facts.levels != facts.input_levels:
            raise UserError(
                "the encoder of this run sees grey images, which a file of binarised ones does not "
                "hold: compress with a run of data.encoder_input=target"
            )
        about = json.dumps(to_json(self.trained)["model"], sort_keys=True)
        chain = getattr(coded_model(self.model), "bound_model", "")  # which eval.* may choose
        return codec.Codec(
            model=self.model, params=self.params, stats=self.stats, x_shape=facts.shape,
            levels=facts.levels, about=about, chain=chain,
        )  # fmt: skip


def coded_model(model: Any) -> Any:
    """The model whose bound the rate estimates: for a diffusion prior that of its T steps."""
    return model.discretized() if isinstance(model, Reinterpretable) else model

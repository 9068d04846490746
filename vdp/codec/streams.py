"""Many images to the contents of a file, and back."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, UInt8

from vdp.codec import container, fingerprint
from vdp.codec.bits_back import Coder
from vdp.codec.container import Damaged, Head
from vdp.codec.flat import Flat
from vdp.codec.ladder import Ladder
from vdp.codec.stack import Stack, Unwritten
from vdp.errors import UserError
from vdp.models.hvae import HVAE
from vdp.models.pixel import PixelDiffusion
from vdp.models.vae import VAE
from vdp.types import Model, Params, Stats

Images = UInt8[np.ndarray, "n h w c"]
Moved = Callable[[int, float], None]  # images that are done, their bits
MOST_LANES = 64
IMAGES_PER_LANE = 250  # a lane's initial bits are paid once


@runtime_checkable
class ImageCoder(Protocol):
    """A model whose images can be coded.

    Attributes:
      grid: whole numbers that its grids are made by, besides the model's own.
    """

    grid: tuple[int, ...]

    def calibrate(self, images: Images) -> None:
        """Chooses `grid` by images."""
        ...

    def images(self, count: int) -> Coder:
        """The distribution of as many images, uint8 [count, H, W, C]."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Codec:
    """A model to compress with.

    Attributes:
      model: `vdp.models.vae.VAE` or `vdp.models.pixel.PixelDiffusion`.
      params: of the model.
      stats: of the model.
      x_shape: (H, W, C).
      levels: of the pixels.
      about: the model's settings as a text, for the fingerprint.
      chain: the name of the model that is coded, of all that its parameters stand for.
    """

    model: Model
    params: Params
    stats: Stats
    x_shape: tuple[int, int, int]
    levels: int
    about: str
    chain: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoded:
    """Compressed images.

    Attributes:
      content: of a file.
      bits: of every batch, in the order of the images, [number of batches]: what its images have
        added to the stack.
      lanes: images of a batch.
      initial_bits: that the first latents were popped from.
    """

    content: bytes
    bits: Float64[np.ndarray, "b"]
    lanes: int
    initial_bits: int


def lanes_of(count: int) -> int:
    """The default number of images coded at once: small for few images, to save initial bits."""
    return max(1, min(MOST_LANES, count // IMAGES_PER_LANE))


def compress(
    codec: Codec,
    images: Images,
    *,
    lanes: int = 0,
    bins: float = 4.0,
    whitened: bool = True,
    moved: Moved = lambda done, bits: None,
) -> Encoded:
    """Compresses images without loss.

    Args:
      codec: what with.
      images: levels 0..levels - 1.
      lanes: how many are coded at once; 0: by their number.
      bins: of the grids, per standard deviation.
      whitened: False leaves out the whitening, to see what it is worth: such a file is not read.
      moved: told how many images are done, and how many bits they took.

    Raises:
      UserError: no images, others than the model's, or a model that cannot be coded.
    """
    _check(codec, images)
    lanes = lanes or lanes_of(len(images))
    coded = _open(codec, lanes=lanes, bins=bins)
    coded.calibrate(images)
    stack = Stack(whitened=whitened)
    starts = range(0, len(images), lanes)
    bits, done, total = np.zeros(len(starts)), 0, 0.0
    for batch in reversed(range(len(starts))):  # the first image lies on top
        part = images[starts[batch] :][:lanes]
        before = stack.bits
        coded.images(len(part)).push(stack, part)
        bits[batch] = stack.bits - before
        done, total = done + len(part), total + bits[batch]
        moved(done, total)
    words = stack.words
    left_out = container.untouched(words, stack.drawn)
    head = Head(
        fingerprint=_fingerprint(codec) | {"numbers": _numbers(codec, coded, lanes)},
        shape=codec.x_shape, levels=codec.levels, count=len(images), lanes=lanes, bins=bins,
        grid=coded.grid, whitenings=stack.whitenings, initial=stack.drawn, untouched=left_out,
        words=len(words) - left_out, words_crc=container.words_crc(words[left_out:]),
        images_crc=container.checksums(images, container.section_of(len(images), lanes)),
    )  # fmt: skip
    content = container.pack(head, words[left_out:])
    initial = 32 * (stack.drawn - left_out)
    return Encoded(content=content, bits=bits, lanes=lanes, initial_bits=initial)


def _open(codec: Codec, *, lanes: int, bins: float, grid: tuple[int, ...] = ()) -> ImageCoder:
    """The distribution of images under a model.

    Args:
      codec: what with.
      lanes: the most images at once.
      bins: of the grids, per standard deviation.
      grid: of a file's head.

    Raises:
      UserError: the model cannot be coded.
    """
    of = (codec.params, codec.stats, codec.x_shape)
    if isinstance(codec.model, HVAE):
        return Ladder(codec.model, *of, lanes=lanes, bins=bins, grid=grid)
    if not isinstance(codec.model, VAE | PixelDiffusion):
        raise UserError(
            f"a model of kind {type(codec.model).__name__} gives images no probability that can be "
            "coded: VAEs, hierarchies and diffusions in pixel space do"
        )
    return Flat(codec.model, *of, lanes=lanes, bins=bins)


def _numbers(codec: Codec, coded: ImageCoder, lanes: int) -> str:
    """A hash of the words that images of noise compress to, by the programs of this machine."""
    size = lanes * math.prod(codec.x_shape)
    levels = np.random.PCG64(0).random_raw(size) % np.uint64(codec.levels)
    stack = Stack()
    coded.images(lanes).push(stack, levels.astype(np.uint8).reshape(lanes, *codec.x_shape))
    return fingerprint.digest(stack.words.tobytes())


def _fingerprint(codec: Codec) -> dict[str, str]:
    weights = fingerprint.of_weights(codec.params, codec.stats, codec.about)
    return {"chain": codec.chain, "weights": weights} | fingerprint.surroundings()


def decompress(
    codec: Codec,
    content: bytes,
    *,
    where: str = "the file",
    keep: bool = False,
    moved: Moved = lambda done, bits: None,
) -> Images:
    """The images of a file's contents, bit for bit.

    Args:
      codec: what with.
      content: of `compress`.
      where: the file, as the subject of a sentence.
      keep: whether images before a damage are wanted: `Damaged` has them.
      moved: told how many images are done, and how many bits they took.

    Raises:
      UserError: no such file, of another version, run or machine.
      Damaged: it is cut or altered.
    """
    head, words, intact = container.unpack(content, where)
    if (head.shape, head.levels) != (codec.x_shape, codec.levels):
        size = lambda shape, levels: f"{'x'.join(map(str, shape))} of {levels} levels"
        raise UserError(
            f"{where} holds images {size(head.shape, head.levels)}, and this run's are "
            f"{size(codec.x_shape, codec.levels)}: decompress with the run that wrote it"
        )
    fingerprint.check(head.fingerprint, _fingerprint(codec), where)
    damage = f"{where} is cut or altered: copy it again"
    if not intact and not keep:
        raise Damaged(f"{damage}; config.codec.keep=True writes the images before the damage")
    coded = _open(codec, lanes=head.lanes, bins=head.bins, grid=head.grid)
    fingerprint.check(head.fingerprint, {"numbers": _numbers(codec, coded, head.lanes)}, where)
    images: list[Images] = []
    meaningless = (Unwritten, UserError, *(() if intact else (ValueError, IndexError)))
    try:
        stack = Stack(words, whitenings=head.whitenings)
        for part in _batches(coded, head, stack, moved):
            images.append(part)
    except meaningless as error:
        if intact:
            raise Damaged(f"{where} does not hold what its head says ({error})") from error
    if not intact:
        raise Damaged(damage, container.intact_images(images, head))
    found = np.concatenate(images)
    if container.checksums(found, head.per_section) != head.images_crc:
        raise Damaged(f"{where} does not give its images back: it was not decoded as written")
    return found


def _batches(coded: ImageCoder, head: Head, stack: Stack, moved: Moved) -> Iterator[Images]:
    """The images batch by batch, from the first."""
    total = 0.0
    for start in range(0, head.count, head.lanes):
        count, before = min(head.lanes, head.count - start), stack.bits
        yield coded.images(count).pop(stack)
        total += before - stack.bits
        moved(start + count, total)


def _check(codec: Codec, images: Any) -> None:
    """Refuses what are no images of the model; UserError."""
    if not len(images):
        raise UserError("there are no images to compress: give at least one")
    if images.dtype != np.uint8 or images.shape[1:] != tuple(codec.x_shape):
        raise UserError(
            f"images to compress must be uint8 [N, {', '.join(map(str, codec.x_shape))}], not "
            f"{images.dtype} {list(images.shape)}"
        )
    if images.max() >= codec.levels:
        raise UserError(
            f"images to compress have levels 0..{codec.levels - 1} for this run, and one of these "
            f"has {images.max()}"
        )

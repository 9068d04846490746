"""The file of compressed images: a head that says what is in it, and the words of a stack.

    b"VDPC", version (uint16), length of the head (uint32), its CRC-32 (uint32),
    the head: JSON, compressed by zlib,
    the words, uint32, the highest first.

All little-endian. The first images are on top of the stack, so that a file which was cut still has
them. Initial words that no image has touched are left out: they are known.
"""

import dataclasses
import json
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from vdp.codec.stack import Words, initial_words
from vdp.errors import UserError

MAGIC, VERSION = b"VDPC", 3
START = struct.Struct("<4sHII")
SECTIONS = 16  # of the images, each with a checksum of its own


class Damaged(UserError):
    """A file that is cut or altered.

    Attributes:
      images: those before the damage, uint8 [N, H, W, C], whose checksums hold; None where they
        were not asked for.
    """

    def __init__(self, sentence: str, images: np.ndarray | None = None):
        super().__init__(sentence)
        self.images = images


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """What stands before the words.

    Attributes:
      fingerprint: of `vdp.codec.fingerprint`, by part.
      shape: (H, W, C) of the images.
      levels: 0..levels - 1 of their pixels.
      count: of images.
      lanes: how many are coded at once.
      bins: of the grids, per standard deviation.
      grid: of a hierarchy, how fine the grid of every latent is.
      whitenings: how many the stack had undergone when all was pushed.
      initial: words that the latents were popped from at first.
      untouched: how many of these, the deepest, are left out.
      words: in the file.
      words_crc: CRC-32 of their bytes.
      images_crc: of each section of the images, of `per_section` images.
    """

    fingerprint: dict[str, str]
    shape: tuple[int, int, int]
    levels: int
    count: int
    lanes: int
    bins: float
    grid: tuple[int, ...]
    whitenings: int
    initial: int
    untouched: int
    words: int
    words_crc: int
    images_crc: tuple[int, ...]

    @property
    def per_section(self) -> int:
        """Images in a section, but for the last."""
        return section_of(self.count, self.lanes)


def section_of(count: int, lanes: int) -> int:
    """How many images have a checksum together: whole batches, at most SECTIONS of them."""
    batches = -(-count // lanes)
    return lanes * -(-batches // SECTIONS)


def checksums(images: np.ndarray, per_section: int) -> tuple[int, ...]:
    """CRC-32 of the pixels of every section, uint8 [N, H, W, C]."""
    starts = range(0, len(images), per_section)
    return tuple(zlib.crc32(images[start : start + per_section].tobytes()) for start in starts)


def untouched(words: Words, initial: int) -> int:
    """How many of the deepest words are the initial ones still."""
    known = initial_words(initial)[: len(words)]
    differs = np.flatnonzero(words[: len(known)] != known)
    return int(differs[0]) if len(differs) else len(known)


def pack(head: Head, words: Words) -> bytes:
    """The contents of a file; `words` are those in it, the deepest first."""
    packed = zlib.compress(json.dumps(dataclasses.asdict(head)).encode(), 9)
    start = START.pack(MAGIC, VERSION, len(packed), zlib.crc32(packed))
    return start + packed + _bytes(words)


def _bytes(words: Words) -> bytes:
    return words[::-1].astype("<u4").tobytes()


def words_crc(words: Words) -> int:
    """CRC-32 of the words as they stand in the file."""
    return zlib.crc32(_bytes(words))


def unpack(content: bytes, where: str) -> tuple[Head, Words, bool]:
    """(the head, all words of the stack with the deepest first, whether they are as written).

    Words that are missing are 0: what lies on top of them is still there.

    Args:
      content: of a file.
      where: the file, as the subject of a sentence.

    Raises:
      UserError: this is no such file, or of another version.
      Damaged: its head is cut or altered.
    """
    if content[:4] != MAGIC:
        raise UserError(f"{where} holds no images that vdp has compressed: name one that does")
    if len(content) < START.size:
        raise Damaged(f"{where} ends in its head: copy it again")
    _, version, length, crc = START.unpack_from(content)
    if version != VERSION:
        raise UserError(
            f"{where} is of version {version} of the format, and this is version {VERSION}: "
            "decompress it with the release of vdp that wrote it"
        )
    packed = content[START.size : START.size + length]
    if len(packed) != length or zlib.crc32(packed) != crc:
        raise Damaged(f"the head of {where} is cut or altered: copy the file again")
    head = _head(json.loads(zlib.decompress(packed)))
    found = np.frombuffer(content[START.size + length :][: 4 * head.words], "<u1")
    intact = len(content) == START.size + length + 4 * head.words
    stored = np.zeros(4 * head.words, np.uint8)
    stored[: len(found)] = found
    words = stored.view("<u4").astype(np.uint32)[::-1]
    intact = intact and words_crc(words) == head.words_crc
    return head, np.concatenate([initial_words(head.initial)[: head.untouched], words]), intact


def count(content: bytes, where: str) -> int:
    """How many images a file says that it holds; arguments and errors as of `unpack`."""
    return unpack(content, where)[0].count


def _head(fields: dict) -> Head:
    tuples = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Head(**fields | tuples)


def intact_images(images: Sequence[np.ndarray], head: Head) -> np.ndarray | None:
    """Those of the batches decoded so far whose sections' checksums hold, up to the first."""
    if not images:
        return None
    joined, kept, size = np.concatenate(images), 0, head.per_section
    for number, crc in enumerate(checksums(joined, size)):
        if crc != head.images_crc[number]:
            break
        kept = min((number + 1) * size, len(joined))
    return joined[:kept]

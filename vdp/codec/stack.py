"""A stack of bits: numbers are pushed, and popped in reverse order (ANS: Duda et al. 2015).

Popping under a distribution draws from it, as far as the bits on the stack are uniform; pushing the
same numbers under it brings the same bits back. Below everything that was pushed lie the *initial
bits*, a fixed pseudo-random sequence without end: the first latents are popped from them.

Bits that were pushed under a model that does not fit are not uniform, and latents popped from them
do not follow their distribution. They are *whitened* first: XORed with a fixed pseudo-random
sequence (with a period of MASKS words), which the decoder repeats once it has pushed them back. The
highest bits stay as they are: the logarithm of the coder's state is uniform, and were the state
itself made so, its log2 would grow by 3/2 - 1/log 2 = 0.057 bits every time.
"""

import numpy as np
from jaxtyping import Float64, Int64, UInt32

from vdp.errors import UserError

Words = UInt32[np.ndarray, "n"]
INITIAL_SEED, MASK_SEED = 0x1D1, 0x3A5  # a file's contents depend on them
MASKS = 1 << 14
KEPT = 1 << 12  # words that the coder holds; the others lie in an array of their own
WORD = 32  # bits
LEADING = (
    8  # bits after the first 1 that stay: a uniform state would be 0.057 bits longer each time
)
PER_SYMBOL = 24  # bits that one symbol takes at most: the precision of probabilities
TAIL_HALF = 1 << 16


class Unwritten(Exception):
    """Bits that no push has written: a file is cut or altered, or not what it says."""


def module():
    """The package `constriction`; UserError where it is not installed."""
    try:
        import constriction
    except ImportError as error:
        raise UserError(
            "compression needs the package constriction: pip install -e '.[codec]', or pip install "
            "constriction"
        ) from error
    return constriction


def _random_words(seed: int, count: int) -> Words:
    """The first words of a pseudo-random sequence, the same on every machine."""
    raw = np.random.PCG64(seed).random_raw(count)
    return (raw & np.uint64(0xFFFFFFFF)).astype(np.uint32)


def initial_words(count: int) -> Words:
    """The first `count` initial words, the deepest first."""
    words = _random_words(INITIAL_SEED, max(count, 1))[:count]
    if count:
        words[0] |= np.uint32(1 << (WORD - 1))  # the highest word of a stack is not 0
    return words[::-1].copy()


class Stack:
    """Bits on top of initial bits.

    Args:
      words: of a file, the deepest first; None starts with initial bits alone, as many as are asked
        for.
      whitenings: how many were done when `words` were written.
      whitened: False leaves out the whitening, to see what it is worth.
    """

    def __init__(self, words: Words | None = None, *, whitenings: int = 0, whitened: bool = True):
        self._stack = module().stream.stack
        self._endless = words is None
        self.drawn = 2 if words is None else 0
        words = initial_words(self.drawn) if words is None else words
        self._deep, self._coder = words[:0], self._stack.AnsCoder(words)
        self.whitenings = whitenings
        self.whitened = whitened
        self._start = 0.0
        self._start = self.bits
        self._masks = _random_words(MASK_SEED, MASKS)

    @property
    def words(self) -> Words:
        """All words, the deepest first."""
        return np.concatenate([self._deep, self._coder.get_compressed()])

    @property
    def bits(self) -> float:
        """Bits above those of the start; fractions are those of the coder's state."""
        top = self._coder.get_compressed()[-2:]
        state = int(top[-1]) << WORD | int(top[0]) if len(top) > 1 else int(top[-1])
        count = len(self._deep) + self._coder.num_words()
        return (
            WORD * (count - len(top))
            + float(np.log2(float(state)))
            - self._start
            - WORD * self.drawn
        )

    def _provide(self, count: int) -> None:
        """Lets the coder hold `count` words, as far as there are any."""
        missing = count - self._coder.num_words()
        if missing <= 0:
            return
        missing += KEPT // 4
        if missing > len(self._deep) and self._endless:
            more = missing - len(self._deep)
            deeper = initial_words(self.drawn + more)[:more]
            self._deep, self.drawn = np.concatenate([deeper, self._deep]), self.drawn + more
        cut = max(0, len(self._deep) - missing)
        words = np.concatenate([self._deep[cut:], self._coder.get_compressed()])
        self._deep, self._coder = self._deep[:cut], self._stack.AnsCoder(words)

    def push(self, symbols: Int64[np.ndarray, "n"], family, *parameters: np.ndarray) -> None:
        """Pushes whole numbers under a family of constriction, the last one first.

        Raises:
          Unwritten: a number lies outside the support of a posterior, where none is popped.
        """
        try:
            self._coder.encode_reverse(symbols.astype(np.int32), family, *parameters)
        except KeyError as error:
            raise Unwritten from error

    def pop(self, family, *parameters: np.ndarray) -> Int64[np.ndarray, "n"]:
        """Pops whole numbers under a family of constriction, the first one first.

        Raises:
          Unwritten: there are no more bits.
        """
        self._provide(len(parameters[0]) * PER_SYMBOL // WORD + 4)
        symbols = self._coder.decode(family, *parameters)
        if self._coder.num_words() < 2 and not len(self._deep):
            raise Unwritten
        return symbols.astype(np.int64)

    def push_uniform(self, numbers: Int64[np.ndarray, "n"], size: int) -> None:
        """Pushes whole numbers from 0 to size - 1, each as probable."""
        family = module().stream.model.Uniform()
        self.push(numbers, family, np.full(len(numbers), size, np.int32))

    def pop_uniform(self, count: int, size: int) -> Int64[np.ndarray, "n"]:
        """Pops what `push_uniform` has pushed."""
        return self.pop(module().stream.model.Uniform(), np.full(count, size, np.int32))

    def push_raw(self, numbers: Int64[np.ndarray, "n"]) -> None:
        """Pushes any whole numbers of 32 bits, at their full length."""
        raw = numbers + (1 << (WORD - 1))
        if len(raw) and not (raw.min() >= 0 and raw.max() < 1 << WORD):
            raise UserError("a latent of this model has left all bounds: the run diverged")
        both = np.stack([raw // TAIL_HALF, raw % TAIL_HALF], axis=1).ravel()
        self.push_uniform(both, TAIL_HALF)

    def pop_raw(self, count: int) -> Int64[np.ndarray, "n"]:
        """Pops what `push_raw` has pushed."""
        both = self.pop_uniform(2 * count, TAIL_HALF).reshape(-1, 2)
        return both[:, 0] * TAIL_HALF + both[:, 1] - (1 << (WORD - 1))

    def whiten(self, bits: float) -> None:
        """Whitens the highest `bits`, before they are popped."""
        self._xor(bits)
        self.whitenings += 1

    def unwhiten(self, bits: float) -> None:
        """Takes back the last `whiten`, of as many bits."""
        self.whitenings -= 1
        self._xor(bits)

    def _xor(self, bits: float) -> None:
        if not self.whitened:
            return
        count = int(bits / WORD) + 3  # the coder's state, and what refills it
        self._provide(count)
        words = self._coder.get_compressed()
        start = self.whitenings * 40503 % MASKS  # an odd factor: every start occurs
        mask = self._masks[(start + np.arange(min(count, len(words)))) % MASKS]
        lowest_kept = max(0, int(words[-1]).bit_length() - 1 - LEADING)
        mask[-1] &= np.uint32((1 << lowest_kept) - 1)
        words[len(words) - len(mask) :] ^= mask
        if len(words) > 2 * KEPT:
            self._deep = np.concatenate([self._deep, words[:-KEPT]])
            words = words[-KEPT:]
        self._coder = self._stack.AnsCoder(words)


def entropy_bits(std: Float64[np.ndarray, "*s"]) -> float:
    """Bits that a draw of Gaussians takes, for deviations in bins: what has to be whitened."""
    return float(np.log2(np.maximum(std, 0.25) * np.sqrt(2 * np.pi * np.e)).sum())

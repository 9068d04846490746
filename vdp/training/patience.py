"""Early stopping: how many validations in a row have brought nothing better."""

import math
from collections.abc import Iterable, Mapping


class Patience:
    """The scores of a run's validations, higher is better, in the order of their steps.

    Args:
      limit: so many in a row without a better one are enough; 0: never.
      after: the step from which they count. In a KL warm-up a bound can fall while all is well:
        the rate, which it has in full, is not held back yet.
    """

    def __init__(self, limit: int, after: int = 0):
        self.limit = limit
        self.after = after
        self.best_step = 0
        self._best = -math.inf
        self._since = 0  # validations after the best one, but those inside a KL warm-up
        self._is_best = True  # the last one

    @classmethod
    def from_lines(
        cls,
        limit: int,
        lines: Iterable[Mapping],
        name: str,
        sign: float,
        until: int,
        *,
        after: int = 0,
    ) -> "Patience":
        """What the validations in lines of metrics.jsonl have come to.

        Args:
          limit: as of the class.
          lines: in order; a score of None was not finite.
          name: of the score in a line.
          sign: what makes it one of which higher is better.
          until: the last step that counts; what comes later is trained anew.
          after: as of the class.
        """
        patience = cls(limit, after)
        for line in lines:
            if name in line and line["step"] <= until:
                score = math.nan if line[name] is None else sign * line[name]
                patience.add(line["step"], score)
        return patience

    def add(self, step: int, score: float) -> None:
        """Counts a validation; a score that is not a number is none that is better."""
        self._is_best = score > self._best
        if self._is_best:
            self.best_step, self._best, self._since = step, score, 0
        elif step > self.after:
            self._since += 1

    @property
    def standing(self) -> str:
        """The last validation in words: the best so far, or for how long none has been better."""
        if self._is_best:
            return "the best so far"
        if self._best == -math.inf:
            return "no number"
        counts = self.limit and self._since
        of = f", {self._since} of {self.limit} in a row (train.patience)" if counts else ""
        return f"no better than at step {self.best_step}{of}"

    @property
    def exhausted(self) -> bool:
        """Whether training ends here."""
        return 0 < self.limit <= self._since

    def in_words(self, step: int) -> str:
        """Why it ended at `step`."""
        return (
            f"stopped at step {step}: {self._since} validations since step {self.best_step} were "
            f"no better (train.patience={self.limit})"
        )

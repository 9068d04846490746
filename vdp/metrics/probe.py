"""How well labels can be read off a code: by a linear probe, and by nearest neighbours.

Both are fitted on some images and scored on others; neither sees a label of those it is scored on.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int32

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of the linear probe, inverse to its penalty
NEIGHBOURS = 5
DEFAULT = 1.0  # where there are too few images for a choice
FOLDS = 5  # of a cross-validation
ITERATIONS = 1000

Labelled = tuple[Float[np.ndarray, "_ d"], Int32[np.ndarray, "_"]]  # codes of images, labels


def linear(train: Labelled, scored: Labelled, held_out: Labelled | None = None) -> dict[str, Any]:
    """The accuracy of a logistic regression on standardised codes (Alain & Bengio 2016).

    The strength of its penalty is that of the best accuracy on held-out images, or, where there are
    none, in a cross-validation on those training images whose class has at least FOLDS of them; the
    strongest penalty wins a tie.

    Args:
      train: codes [N, D] and labels [N] of at least two classes.
      scored: other ones.
      held_out: a third set of them, which decides the penalty.

    Returns:
      {"accuracy", "se": binomial, "c": inverse penalty, "chosen_by"}.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def probe(c: float) -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=ITERATIONS))

    fitted: dict[float, Any] = {}
    classes, counts = np.unique(train[1], return_counts=True)
    frequent = classes[counts >= FOLDS]
    if held_out is not None:
        chosen_by = "validation"
        fitted = {c: probe(c).fit(*train) for c in STRENGTHS}
        reached = {c: one.score(*held_out) for c, one in fitted.items()}
    elif len(frequent) > 1:
        chosen_by, folds = "cross-validation", StratifiedKFold(FOLDS)
        among = np.isin(train[1], frequent)
        seen = [array[among] for array in train]
        reached = {c: cross_val_score(probe(c), *seen, cv=folds).mean() for c in STRENGTHS}
    else:
        chosen_by, reached = "default", {DEFAULT: 1.0}
    c = max(reached, key=lambda strength: reached[strength])
    best = fitted.get(c) or probe(c).fit(*train)
    right = best.predict(scored[0]) == scored[1]
    return {**accuracy(right), "c": c, "chosen_by": chosen_by}


def nearest(train: Labelled, scored: Labelled) -> dict[str, Any]:
    """The accuracy of the majority among the nearest codes, in the units of the code.

    Args:
      train: codes [N, D] and labels [N].
      scored: other ones.

    Returns:
      {"accuracy", "se": binomial, "k": how many neighbours}.
    """
    from sklearn.neighbors import KNeighborsClassifier

    k = min(NEIGHBOURS, len(train[1]))
    found = KNeighborsClassifier(k).fit(*train).predict(scored[0])
    return {**accuracy(found == scored[1]), "k": k}


def accuracy(right: Bool[np.ndarray, "n"]) -> dict[str, float | None]:
    """{"accuracy": share of N answers that are right, "se": its binomial standard error or None}.

    One answer has none.
    """
    share = float(np.mean(right))
    error = float(np.sqrt(share * (1 - share) / len(right))) if len(right) > 1 else None
    return {"accuracy": share, "se": error}

"""What labels can be read off a code: a linear probe, and nearest neighbours.

Both are fitted on some images and scored on others; neither sees a label of those it is scored on.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int32

STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0, 10.0)  # C of the linear probe, inverse to its penalty
NEIGHBOURS = 5
FOLDS = 5  # of a cross-validation
ITERATIONS = 1000

Codes = Float[np.ndarray, "n d"]
Labels = Int32[np.ndarray, "n"]
Labelled = tuple[Codes, Labels]


def linear(train: Labelled, scored: Labelled, held_out: Labelled | None = None) -> dict[str, Any]:
    """The accuracy of a logistic regression on standardised codes (Alain & Bengio 2016).

    The strength of its penalty is that of the best accuracy on held-out images, or, where there are
    none, in a cross-validation on the training images; the strongest penalty wins a tie.

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

    probes = {
        c: make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=ITERATIONS))
        for c in STRENGTHS
    }
    rarest = int(np.unique(train[1], return_counts=True)[1].min())
    if held_out is not None:
        chosen_by = "validation"
        reached = {c: probe.fit(*train).score(*held_out) for c, probe in probes.items()}
    elif rarest > 1:
        chosen_by = "cross-validation"
        folds = StratifiedKFold(min(FOLDS, rarest))
        reached = {
            c: cross_val_score(probe, *train, cv=folds).mean() for c, probe in probes.items()
        }
    else:
        chosen_by, reached = "default", {1.0: 1.0}
    c = max(reached, key=lambda strength: reached[strength])
    right = probes[c].fit(*train).predict(scored[0]) == scored[1]
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


def accuracy(right: Bool[np.ndarray, "n"]) -> dict[str, float]:
    """{"accuracy": share of N answers that are right, "se": its binomial standard error}."""
    share = float(np.mean(right))
    return {"accuracy": share, "se": float(np.sqrt(share * (1 - share) / len(right)))}

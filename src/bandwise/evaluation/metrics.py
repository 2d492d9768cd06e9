"""Figures of merit from probabilities and labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def confusion_matrix(labels: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Count clips by true genre (rows) and predicted genre (columns), (classes, classes)."""
    matrix = np.zeros((classes, classes), np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def figures(confusion: NDArray[np.int64]) -> dict[str, Any]:
    """Give accuracy, macro-F1 and per-genre recall of a confusion matrix.

    A genre without clips has no recall (``None``) and is left out of macro-F1, even where it was predicted.
    """
    hits = np.diag(confusion).astype(float)
    true, predicted = confusion.sum(axis=1), confusion.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * hits / (true + predicted)
        recall = hits / true
    present = true > 0
    return {
        "accuracy": float(hits.sum() / max(confusion.sum(), 1)),
        "macro_f1": float(f1[present].mean()) if present.any() else 0.0,
        "recall": [float(r) if p else None for r, p in zip(recall, present, strict=True)],
    }


def interval_over_folds(values: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Give Student's interval of the mean over folds; ``None`` for fewer than two.

    Folds share training songs, so their figures are not independent and the interval is somewhat too narrow; it says
    how far another set of folds of the same corpus might lie, not what happens on other music.
    """
    from scipy.stats import t

    n = len(values)
    if n < 2:
        return None
    half = float(t.ppf((1 + level) / 2, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    mean = float(np.mean(values))
    return max(0.0, mean - half), min(1.0, mean + half)


def wilson(hits: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Give Wilson's interval of a proportion, for one test set of independent clips."""
    from scipy.stats import norm

    if total == 0:
        return 0.0, 1.0  # nothing was seen, so nothing is ruled out
    z = float(norm.ppf((1 + level) / 2))
    p, d = hits / total, 1 + z * z / total
    centre = (p + z * z / (2 * total)) / d
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / d
    return max(0.0, centre - half), min(1.0, centre + half)

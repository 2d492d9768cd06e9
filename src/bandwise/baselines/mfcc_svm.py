"""A reference that is no network: statistics of MFCCs and a support vector machine, on the same folds and features.

Twenty mel-frequency cepstral coefficients (the DCT of the stored log-mel) and their first differences, mean and
deviation over time (80 values), standardised on the training folds; an RBF support vector machine whose C the
validation part picks.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.progress import SILENT, Progress
from bandwise.splits import Fold
from bandwise.store import FeatureStore
from bandwise.training.fold import Material, Outcome

COEFFICIENTS = 20
CHOICES = (1.0, 10.0, 100.0)  # of C


def describe(frames: NDArray[Any]) -> NDArray[np.float64]:
    """Turn log-mel frames (T, F) into the 80 values that describe a clip."""
    from scipy.fft import dct

    mfcc = dct(frames.astype(np.float64), type=2, norm="ortho", axis=1)[:, :COEFFICIENTS]
    delta = np.diff(mfcc, axis=0) if len(mfcc) > 1 else np.zeros_like(mfcc)
    return np.concatenate([part for x in (mfcc, delta) for part in (x.mean(axis=0), x.std(axis=0))])


def train_fold(material: Material, fold: Fold, directory: Path, progress: Progress = SILENT) -> Outcome:
    """Fit on the training part, choose C on the validation part, test once. Leaves figures but no model."""
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    began = time.perf_counter()
    directory.mkdir(parents=True, exist_ok=True)
    parts = {part: _describe_all(material.store, getattr(fold, part)) for part in ("train", "valid", "test")}
    labels = {part: material.labels(getattr(fold, part)) for part in parts}
    best, accuracy, chosen = None, -1.0, CHOICES[0]
    for c in CHOICES:
        machine = make_pipeline(StandardScaler(), SVC(C=c, decision_function_shape="ovr"))
        machine.fit(parts["train"], labels["train"])
        found = float(machine.score(parts["valid"], labels["valid"]))
        if found > accuracy:
            best, accuracy, chosen = machine, found, c
    classes = len(material.corpus.genres)
    scores = np.zeros((len(fold.test), classes))
    if fold.test:
        decisions = best.decision_function(parts["test"])  # type: ignore[union-attr]
        # With two classes there is one decision value; scores are turned into shares, not calibrated probabilities.
        scores = np.stack([-decisions, decisions], axis=1) if decisions.ndim == 1 else decisions
    shares = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    shares = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
    details: dict[str, Any] = {
        "history": [],
        "best_epoch": None,
        "valid_accuracy": accuracy,
        "c": chosen,
        "parameters": None,
        "train_seconds": time.perf_counter() - began,
        "device": "CPU",
    }
    return Outcome(shares, shares, labels["test"], details)


def _describe_all(store: FeatureStore, ids: tuple[str, ...]) -> NDArray[np.float64]:
    return np.array([describe(store.features(i)) for i in ids]).reshape(len(ids), 4 * COEFFICIENTS)

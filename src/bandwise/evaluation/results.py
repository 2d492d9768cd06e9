"""One ``result.json`` a run: configuration, versions, folds and figures, from which every table and plot is drawn."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.corpora.base import Corpus
from bandwise.errors import BandwiseError
from bandwise.evaluation.metrics import confusion_matrix, figures, interval_over_folds, wilson
from bandwise.files import read_json, replacing, write_json
from bandwise.models.registry import resolve_config
from bandwise.settings import Experiment, Recipe, find_row, paper_recipe
from bandwise.splits import Folds

PACKAGES = ("bandwise", "torch", "lightning", "numpy", "soundfile", "soxr", "scikit-learn")
PAPER_TRACKS = {"gtzan": 1_000, "melon": 612_774}
# Settings of the recipe that may differ beside the published figure: crops from the store are a documented departure.
TOLERATED = ("crops", "sync_batch_norm")


def save_fold(
    directory: Path,
    number: int,
    best: NDArray[np.float32],
    last: NDArray[np.float32],
    labels: NDArray[np.int64],
    details: dict[str, Any],
) -> None:
    """Keep what a fold gave: its predictions first, then ``fold.json``, whose presence says that the fold is done."""
    from safetensors.numpy import save_file

    with replacing(directory / "predictions.safetensors") as temporary:
        save_file({"best": best, "last": last, "labels": labels}, temporary)
    classes = best.shape[1]
    by_weights = {}
    for name, probabilities in (("best", best), ("last", last)):
        confusion = confusion_matrix(labels, probabilities.argmax(axis=1), classes)
        by_weights[name] = {**figures(confusion), "confusion": confusion.tolist()}
    write_json(directory / "fold.json", {"fold": number, "clips": len(labels), **by_weights, **details})


def load_predictions(directory: Path) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Read a fold's probabilities (best weights) and labels."""
    from safetensors.numpy import load_file

    arrays = load_file(directory / "predictions.safetensors")
    return arrays["best"], arrays["labels"]


def summarise(
    experiment: Experiment,
    corpus: Corpus,
    folds: Folds,
    fold_results: Sequence[dict[str, Any]],
    left_out: Sequence[Any],
) -> dict[str, Any]:
    """Turn the folds' results into the run's ``result.json``.

    Args:
        experiment: What was run.
        corpus: On what.
        folds: On which folds; some may still be missing from ``fold_results``.
        fold_results: The ``fold.json`` of every finished fold.
        left_out: ``(track id, reason)`` of tracks that could not be read.

    Raises:
        BandwiseError: No fold is finished.
    """
    if not fold_results:
        raise BandwiseError(f"none of the {len(folds)} folds is finished, so there is nothing to sum up")
    row = find_row(experiment.system, "melon" if corpus.content == "mel" else "gtzan")
    differences = protocol_differences(experiment, corpus, folds)
    if len(fold_results) < len(folds):
        differences.append(f"{len(fold_results)} of {len(folds)} folds finished")
    return {
        "format": 1,
        "experiment": experiment.model_dump(mode="json"),
        "corpus": {
            "name": corpus.name,
            "tracks": len(corpus.tracks),
            "genres": list(corpus.genres),
            "counts": corpus.counts(),
            "caveat": corpus.caveat,
            "left_out": [list(item) for item in (*corpus.skipped, *left_out)],
            "groupings": list(corpus.groupings),
        },
        "folds": {
            "count": len(folds),
            "finished": len(fold_results),
            "scheme": folds.scheme,
            "group": folds.group,
            "published": folds.published,
        },
        "figures": {name: _summary(fold_results, name) for name in ("best", "last")},
        "per_fold": list(fold_results),
        "cost": {
            "parameters": fold_results[0].get("parameters"),
            "train_seconds": sum(fold.get("train_seconds") or 0.0 for fold in fold_results),
            "device": fold_results[0].get("device"),
        },
        "paper": {
            "row": row.row,
            "system": row.system,
            "published_accuracy": row.published_accuracy,
            "comparable": not differences,
            "differences": differences,
        },
        "environment": environment(),
    }


def protocol_differences(experiment: Experiment, corpus: Corpus, folds: Folds) -> list[str]:
    """Say in which ways a run departs from the paper's protocol; the published figure stands beside it if in none."""
    kind = "melon" if corpus.content == "mel" else "gtzan"
    row = find_row(experiment.system, kind)
    differences = []
    if corpus.name != row.corpus:
        differences.append(f"the corpus is {corpus.name}, the paper's is {row.corpus}")
    elif len(corpus.genres) != row.classes:
        differences.append(f"{len(corpus.genres)} genres, the paper's {row.corpus} has {row.classes}")
    elif len(corpus.tracks) < 0.99 * PAPER_TRACKS[row.corpus]:  # a few unreadable files are no other corpus
        differences.append(f"{len(corpus.tracks):,} tracks of the corpus' {PAPER_TRACKS[row.corpus]:,}")
    if experiment.system.removesuffix("-as-published") not in (row.system, row.name):
        differences.append(f"{experiment.system} is not in the paper")
    if len(folds) != 10:
        differences.append(f"{len(folds)} folds instead of ten")
    if folds.group:
        differences.append(f"folds grouped by {folds.group}, the paper's are random by song")
    frontend = row.frontend or corpus.frontend
    if (experiment.frontend or corpus.frontend) != frontend:
        differences.append(f"front end {experiment.frontend or corpus.frontend} instead of {frontend}")
    if experiment.size != "full":
        differences.append(f"size {experiment.size}")
    # A name that occurs in both tables is the GTZAN form; #23 and #25 have another Last-Conv.
    if experiment.system == row.system and row.epochs is not None and _network(row.system) != _network(row.name):
        differences.append(f"the network is not that of {row.name}: use --system '{row.name}'")
    if experiment.overrides:
        differences.append("model settings: " + ", ".join(f"{k}={v}" for k, v in experiment.overrides.items()))
    if row.epochs is not None:
        recipe, published = experiment.recipe.model_dump(), Recipe(**paper_recipe(row)).model_dump()
        changed = {k: recipe[k] for k, v in published.items() if recipe[k] != v and k not in TOLERATED}
        if changed:
            differences.append("recipe: " + ", ".join(f"{k}={v}" for k, v in changed.items()))
    return differences


def _network(name: str) -> dict[str, Any]:
    """Describe the network behind a name, with what its configuration leaves to be derived."""
    config = resolve_config(name, num_classes=2)
    return vars(config) | {"last_conv_width": getattr(config, "aggregation_width", None)}


def environment() -> dict[str, Any]:
    """Describe versions, machine and, in a checkout, the commit."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "absent"
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "commit": _commit(),
    }


def _commit() -> str | None:
    here = Path(__file__).resolve().parent
    if not (here.parents[2] / ".git").exists():  # installed: the checkout around it, if any, is another project's
        return None
    try:
        top = subprocess.run(
            ["git", "-C", str(here), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return top.stdout.strip() or None


def _summary(fold_results: Sequence[dict[str, Any]], weights: str) -> dict[str, Any]:
    confusion = np.sum([fold[weights]["confusion"] for fold in fold_results], axis=0)
    accuracies = [fold[weights]["accuracy"] for fold in fold_results]
    pooled = figures(confusion)
    if len(accuracies) > 1:
        interval, method = interval_over_folds(accuracies), "Student's t over folds"
    else:
        hits, total = int(np.trace(confusion)), int(confusion.sum())
        interval, method = wilson(hits, total), "Wilson, one test set, clips taken as independent"
    return {
        "accuracy_mean": float(np.mean(accuracies)),
        "accuracy_sd": float(np.std(accuracies, ddof=1)) if len(accuracies) > 1 else None,
        "accuracy_interval": list(interval) if interval else None,
        "interval_method": method,
        "accuracy_pooled": pooled["accuracy"],
        "macro_f1": pooled["macro_f1"],
        "recall": pooled["recall"],
        "confusion": confusion.tolist(),
        "accuracies": accuracies,
        "clips": int(confusion.sum()),
    }


def load_result(run: Path) -> dict[str, Any]:
    """Read a run's ``result.json``.

    Raises:
        BandwiseError: The folder holds no finished run.
    """
    path = run / "result.json" if run.is_dir() else run
    if not path.exists():
        raise BandwiseError(f"{run} holds no result.json; `bandwise crossval` writes one")
    result: dict[str, Any] = read_json(path, dict)
    if result.get("format") != 1:
        raise BandwiseError(f"{path} is no result of this version of bandwise")
    return result

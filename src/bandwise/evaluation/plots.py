"""Figures drawn from a ``result.json``: confusion, learning curves, recall of genres, accuracy of folds.

Every figure carries the corpus' caveat in small print. Colours are from Okabe and Ito's set, which colour-blind
readers can tell apart. ``matplotlib.pyplot`` is not used: it keeps global state and would need a display on some
machines. Names come from data, so ``parse_math=False`` stands wherever they do: ``A$AP $wing`` is no formula.
"""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from bandwise.evaluation.phrases import folds_phrase, has_epochs, title, visible
from bandwise.files import replacing

# The report swaps these for its own colours of light and dark mode; the two of cells stay as they are.
INK, MUTED, GRID, BLUE, ORANGE = "#1b1f24", "#5b6570", "#d5dbe1", "#0072b2", "#d55e00"
RIGHT_CELL, WRONG_CELL = "#0071b2", "#d45e00"
DPI = 160
# Genre names may be in any script; the first of these that is installed supplies what DejaVu Sans lacks.
_FALLBACKS = ("Noto Sans CJK KR", "Noto Sans CJK JP", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo")


def confusion_figure(result: dict[str, Any]) -> Figure:
    """Draw the confusion matrix of the best weights: shade is the share of a row, numbers are clips.

    Hits are blue and mistakes orange; cells without clips are left empty.
    """
    names = [_shorten(name) for name in result["corpus"]["genres"]]
    counts = np.asarray(result["figures"]["best"]["confusion"])
    n = len(names)
    cell = float(np.clip(8 / n, 0.27, 0.55))  # inches
    margin = 0.09 * max(map(len, names))
    figure = _figure(result, max(cell * n + margin + 0.8, 4.6), cell * n + margin + 1.2, "Confusion matrix")
    axes = figure.add_subplot()
    _style(axes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    digits = max(len(_short_count(int(count))) for count in counts.flat)
    size = float(np.clip(cell * 72 * 0.85 / (0.7 * digits), 5, 9))
    for (i, j), count in np.ndenumerate(counts):
        if not count:
            continue
        # The square root keeps rare mistakes visible.
        alpha = float(shares[i, j] ** 0.5)
        colour = RIGHT_CELL if i == j else WRONG_CELL
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=colour, alpha=alpha, linewidth=0))
        axes.text(
            j, i, _short_count(int(count)), ha="center", va="center_baseline", fontsize=size,
            weight="bold" if i == j else "normal", color="#ffffff" if alpha > 0.85 else INK,
        )  # fmt: skip
    edges = np.arange(n + 1) - 0.5
    axes.hlines(edges, -0.5, n - 0.5, color=GRID, linewidth=0.6, zorder=0.5)
    axes.vlines(edges, -0.5, n - 0.5, color=GRID, linewidth=0.6, zorder=0.5)
    axes.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    small = 9.0 if n <= 16 else 7.5
    steep: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    if n > 12 or max(map(len, names)) < 5:
        steep = {"rotation": 90 if n > 12 else 0}
    axes.set_xticks(range(n), names, fontsize=small, parse_math=False, **steep)
    axes.set_yticks(range(n), names, fontsize=small, parse_math=False)
    axes.set_xlabel("predicted genre", color=MUTED)
    axes.set_ylabel("true genre", color=MUTED)
    axes.set_title("numbers: clips; shade: share of the row", loc="left", fontsize=8.5, color=MUTED)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return _any_script(figure)


def learning_curves_figure(result: dict[str, Any]) -> Figure | None:
    """Draw loss and accuracy over epochs, a thin line a fold and a thick one for their mean.

    Returns:
        ``None`` for systems that are not trained in epochs.
    """
    folds = [fold for fold in result["per_fold"] if fold.get("history")]
    if not folds:
        return None
    figure = _figure(result, 9, 4.1, "Learning curves")
    left, right = figure.subplots(1, 2)
    _curves(left, folds, "train_loss", BLUE, "training", 1)
    _curves(right, folds, "train_accuracy", BLUE, "training", 100)
    _curves(right, folds, "valid_accuracy", ORANGE, "validation", 100)
    kept = [(fold.get("best_epoch"), fold.get("valid_accuracy")) for fold in folds]
    dots = np.array([pair for pair in kept if None not in pair], float)
    if len(dots):
        right.plot(
            dots[:, 0], 100 * dots[:, 1], "o", color=ORANGE, ms=4, mec="#ffffff", mew=0.6, zorder=4,
            label="epoch kept, by fold",
        )  # fmt: skip
    for axes, what in ((left, "Cross-entropy on training crops"), (right, "Accuracy (%)")):
        _style(axes, "both")
        axes.set_title(what, loc="left", fontsize=10, color=INK)
        axes.set_xlabel("epoch", color=MUTED)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=9, steps=[1, 2, 5, 10], integer=True))
    low, high = left.get_ylim()
    left.set_ylim(max(0.0, min(low, 0.0)), high)
    _legend(right, loc="lower right")
    return figure


def recall_figure(result: dict[str, Any]) -> Figure:
    """Draw the recall of every genre as bars, best first, with its number of clips."""
    best = result["figures"]["best"]
    clips = np.sum(best["confusion"], axis=1)
    rows = zip(result["corpus"]["genres"], best["recall"], clips, strict=True)
    # Genres without a test clip come last.
    ordered = sorted(rows, key=lambda row: (row[1] is None, -(row[1] or 0.0), row[0]))
    figure = _figure(result, 8, 0.3 * len(ordered) + 1.6, "Recall of each genre")
    axes = figure.add_subplot()
    _style(axes, "x")
    for place, (_, recall, count) in enumerate(ordered):
        if recall is None:
            axes.text(102, place, "no test clip", va="center", fontsize=8.5, color=MUTED)
            continue
        axes.barh(place, 100 * recall, height=0.68, color=BLUE)
        axes.text(102, place, f"{100 * recall:.1f} % of {count:,}", va="center", fontsize=8.5, color=INK)
    axes.set_yticks(range(len(ordered)), [_shorten(row[0]) for row in ordered], parse_math=False)
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(0, 100), ylim=(len(ordered) - 0.4, -0.6))
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("clips of the genre that were recognised (%)", color=MUTED)
    return _any_script(figure)


def folds_figure(result: dict[str, Any]) -> Figure:
    """Draw the accuracy of every fold, with the mean and its 95 % interval."""
    count, best, last = result["folds"]["count"], result["figures"]["best"], result["figures"]["last"]
    figure = _figure(result, 8, 3.9, "Accuracy of each fold")
    axes = figure.add_subplot()
    _style(axes, "y")
    numbers = [fold["fold"] for fold in result["per_fold"]]
    one, epochs = len(numbers) == 1, has_epochs(result)
    which = ", best by validation" if epochs else ""
    if best["accuracy_interval"]:
        low, high = (100 * value for value in best["accuracy_interval"])
        label = "95 % interval" if one else "95 % interval of the mean"
        axes.axhspan(low, high, color=BLUE, alpha=0.14, linewidth=0, label=label)
    if not one:
        axes.axhline(100 * best["accuracy_mean"], color=BLUE, linewidth=1.4, label=f"mean{which}")
    if not one and epochs:
        dashes: Any = (0, (5, 3))
        mean = 100 * last["accuracy_mean"]
        axes.axhline(mean, color=ORANGE, linewidth=1.4, linestyle=dashes, label="mean, last epoch")
    axes.plot(numbers, 100 * np.array(best["accuracies"]), "o", ms=6.5, color=BLUE, label=f"fold{which}")
    if epochs:
        values = 100 * np.array(last["accuracies"])
        axes.plot(numbers, values, "D", ms=7, mfc="none", mec=ORANGE, mew=1.5, label="fold, last epoch")
    axes.set_xlim(0.4, count + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=20, min_n_ticks=1))
    axes.margins(y=0.12)
    axes.set_xlabel(
        "fold" if len(numbers) == count else f"fold ({len(numbers)} of {count} are finished)", color=MUTED
    )
    axes.set_ylabel("accuracy (%)", color=MUTED)
    _legend(axes, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def figures_of(result: dict[str, Any]) -> dict[str, Figure]:
    """Draw every figure that a result has, by name."""
    drawn = {
        "folds": folds_figure(result),
        "recall": recall_figure(result),
        "confusion": confusion_figure(result),
        "learning-curves": learning_curves_figure(result),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def write_plots(result: dict[str, Any], directory: Path) -> list[Path]:
    """Write every figure as a PNG file, such as ``confusion.png``.

    Args:
        result: What ``result.json`` holds.
        directory: Receives the files; made if absent.

    Returns:
        The files.
    """
    paths = []
    for name, figure in figures_of(result).items():
        path = directory / f"{name}.png"
        with replacing(path) as temporary, drawing():
            figure.savefig(temporary, format="png", dpi=DPI, facecolor="#ffffff")
        paths.append(path)
    return paths


@contextmanager
def drawing() -> Iterator[None]:
    """Save figures without a warning for each letter that no installed font has."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def _figure(result: dict[str, Any], width: float, height: float, name: str) -> Figure:
    """Begin a figure (sizes in inches) with its title and, where the corpus has one, the caveat as a footer."""
    figure = Figure((width, height), layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    heading = f"{name}: {title(result)}, {folds_phrase(result)}"
    lines = textwrap.wrap(visible(heading), int(width * 11))
    common: dict[str, Any] = {"x": 0.012, "ha": "left", "parse_math": False}
    figure.suptitle("\n".join(lines), fontsize=11, weight="bold", color=INK, **common)
    if result["corpus"]["caveat"]:
        note = textwrap.fill(visible(result["corpus"]["caveat"]), int(width * 15))
        figure.supxlabel(note, fontsize=7.5, color=MUTED, **common)
        height += 0.14 * (note.count("\n") + 1)
    figure.set_size_inches(width, height + 0.2 * (len(lines) - 1))
    return figure


def _style(axes: Axes, grid: str = "") -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    axes.tick_params(color=GRID, labelcolor=INK, labelsize=9)
    axes.set_axisbelow(True)
    axes.set_facecolor("none")
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.6)  # type: ignore[arg-type]
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_fontsize(9)


def _legend(axes: Axes, **place: Any) -> None:
    axes.legend(frameon=False, fontsize=8.5, labelcolor=INK, **place)


def _curves(axes: Axes, folds: list[dict[str, Any]], key: str, colour: str, label: str, factor: float) -> None:
    """Draw one quantity: folds thin, their mean thick; epochs without it (not validated) are passed over."""
    lines = [
        np.array(
            [(epoch["epoch"], factor * epoch[key]) for epoch in fold["history"] if epoch[key] is not None], float
        )
        for fold in folds
    ]
    lines = [line[np.isfinite(line).all(axis=1)] for line in lines if len(line)]
    points: NDArray[Any] = np.concatenate(lines) if lines else np.empty((0, 2))
    if not len(points):
        return
    epochs = np.unique(points[:, 0])
    mean = [points[points[:, 0] == epoch, 1].mean() for epoch in epochs]
    marker = "o" if len(epochs) == 1 else ""
    for line in lines if len(lines) > 1 else []:
        axes.plot(line[:, 0], line[:, 1], color=colour, linewidth=0.7, alpha=0.35)
    several = ", mean of folds" if len(lines) > 1 else ""
    axes.plot(epochs, mean, color=colour, linewidth=2, marker=marker, label=label + several)


def _shorten(name: str, letters: int = 26) -> str:
    name = " ".join(visible(name).split())
    return name if len(name) <= letters else name[: letters - 1] + "…"


def _short_count(count: int) -> str:
    return str(count) if count < 10_000 else f"{count / 1000:.0f}k"


def _any_script(figure: Figure) -> Figure:
    """Let letters that DejaVu Sans lacks come from another font, where one is installed."""
    if len(_families()) > 1:
        for text in figure.findobj(Text):
            text.set_fontfamily(_families())
    return figure


@cache
def _families() -> list[str]:
    installed = set(font_manager.get_font_names())
    return ["DejaVu Sans", *[name for name in _FALLBACKS if name in installed]]

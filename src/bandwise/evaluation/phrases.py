"""What is said of a result, in words: the same in the report, beside the figures and on the terminal."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np

from bandwise.paper import get_row

SMALL_CORPUS, SMALL_GENRE = 200, 20  # clips tested, below which a reader is asked for care
_FOLDS_NOTE = (
    "Folds share training songs, so their figures are not independent and the interval is somewhat too narrow. "
    "It says how far another set of folds of the same corpus might lie, not what happens on other music."
)
_LAST_NOTE = (
    "The authors' code in effect tests the weights of the last epoch, whichever was best; for rows trained with it, "
    "the last-epoch figure is the nearer match."
)


def system_name(result: dict[str, Any]) -> str:
    """Name what was run: the system, its size and its changed settings."""
    experiment = result["experiment"]
    changes = [] if experiment["size"] == "full" else [f"size {experiment['size']}"]
    changes += [f"{key}={value}" for key, value in experiment["overrides"].items()]
    return f"{experiment['system']} ({', '.join(changes)})" if changes else str(experiment["system"])


def title(result: dict[str, Any]) -> str:
    """Name the system and the corpus."""
    return f"{system_name(result)} on {result['corpus']['name']}"


def has_epochs(result: dict[str, Any]) -> bool:
    """Say whether the system is trained in epochs, so that best and last weights differ."""
    return any(fold.get("history") for fold in result["per_fold"])


def folds_phrase(result: dict[str, Any]) -> str:
    """Say how many folds the figures are over, such as ``"7 of 10 folds"``."""
    count, finished = result["folds"]["count"], result["folds"]["finished"]
    if finished < count:
        return f"{finished} of {count} folds"
    return "one split" if count == 1 else f"{count} folds"


def accuracy_phrase(summary: dict[str, Any]) -> str:
    """Write accuracy, standard deviation over folds and interval in one line."""
    spread = f" ± {100 * summary['accuracy_sd']:.1f}" if summary["accuracy_sd"] is not None else ""
    return f"{100 * summary['accuracy_mean']:.1f}{spread} %{interval_phrase(summary)}"


def interval_phrase(summary: dict[str, Any]) -> str:
    """Write the interval as an appendage, empty where there is none."""
    if summary["accuracy_interval"] is None:
        return ""
    low, high = summary["accuracy_interval"]
    return f" (95 % interval {100 * low:.1f} to {100 * high:.1f})"


def chance(result: dict[str, Any]) -> tuple[float, float]:
    """Give what guessing evenly and always guessing the largest genre would score on the tested clips."""
    clips = np.sum(result["figures"]["best"]["confusion"], axis=1)
    return 1 / len(clips), float(clips.max() / max(clips.sum(), 1))


def chance_phrase(result: dict[str, Any]) -> str:
    """Write the chance level, and the share of the largest genre where that is higher."""
    even, largest = chance(result)
    text = percent(even)
    return text if largest < even + 0.0005 else f"{text}, always the largest genre {percent(largest)}"


def paper_phrase(result: dict[str, Any]) -> str:
    """Set the result beside the paper in one line; a figure that is not comparable is not shown as if it were."""
    paper = result["paper"]
    if not paper["comparable"]:
        return f"not comparable: {'; '.join(paper['differences'])}"
    difference = 100 * result["figures"]["best"]["accuracy_mean"] - paper["published_accuracy"]
    return f"#{paper['row']} published {paper['published_accuracy']:.1f} %, this run {points(difference)}"


def paper_row(result: dict[str, Any]) -> str:
    """Name the row of the paper that a result stands beside, such as ``"row #15 (ecapa-…, gtzan)"``."""
    paper = result["paper"]
    return f"row #{paper['row']} ({paper['system']}, {get_row(paper['row']).corpus})"


def paper_note(result: dict[str, Any]) -> str:
    """Give what a reader of the published figure must know; may be empty."""
    note = get_row(result["paper"]["row"]).note
    return f"On #{result['paper']['row']}: {note}." if note else ""


def comparison_note(result: dict[str, Any]) -> str:
    """Say which of the two figures is the nearer match to the published one."""
    return _LAST_NOTE if has_epochs(result) else ""


def interval_note(result: dict[str, Any]) -> str:
    """Say how the interval was computed and what it means."""
    best, finished = result["figures"]["best"], result["folds"]["finished"]
    if finished > 1:
        return (
            f"Accuracy is the mean over {finished} folds, ± their sample standard deviation. The 95 % interval of "
            f"the mean: {best['interval_method']} ({finished - 1} degrees of freedom). {_FOLDS_NOTE}"
        )
    return (
        f"The 95 % interval: {best['interval_method']}. Clips of one artist or album resemble each other, so it is "
        "somewhat too narrow, and it says nothing of how another training would turn out."
    )


def warnings_of(result: dict[str, Any]) -> list[str]:
    """List what a reader must know before trusting the figures, a sentence each."""
    corpus, folds = result["corpus"], result["folds"]
    found = []
    if folds["finished"] < folds["count"]:
        found.append(
            f"Unfinished: {folds['finished']} of {folds['count']} folds so far. The figures are preliminary and "
            "cover part of the corpus."
        )
    known = corpus.get("groupings") or []
    if known and not folds["group"] and not folds["published"]:
        found.append(
            f"The folds are random by track although this corpus knows {' and '.join(known)}: clips of one "
            f"{known[0]} may be both trained on and tested, which flatters the figures. "
            f"`--group {known[0]}` keeps them apart."
        )
    clips = np.sum(result["figures"]["best"]["confusion"], axis=1)
    fewest = int(clips.argmin())
    if clips.sum() < SMALL_CORPUS or clips[fewest] < SMALL_GENRE:
        found.append(
            f"Small sample: {clips.sum():,} clips were tested, {clips[fewest]} of {corpus['genres'][fewest]}. "
            "Take the figures, those of single genres above all, as rough."
        )
    return found


def repeat_command(directory: Path) -> str:
    """Give the command that repeats a run; to be typed in the folder that holds the run's."""
    # The whole path would put a user's folders into a page that is meant to be passed on.
    name = directory.resolve().name or "."
    settings, again = shlex.quote(f"{name}/experiment.json"), shlex.quote(f"{name}-again")
    return f"bandwise crossval --config {settings} --out {again}"


def flatten(settings: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    """List nested settings as ``("recipe.lr", "0.001")``."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        if isinstance(value, dict) and value:
            rows += flatten(value, f"{above}{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            rows.append((above + key, "–" if value in (None, {}) else text))
    return rows


def visible(text: str) -> str:
    """Spell out what no page and no font can show: control characters, lone surrogates of odd file names."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]", lambda match: ascii(match[0])[1:-1], text)


def percent(value: float | None) -> str:
    """Write a share with one decimal; a dash for ``None``."""
    return "–" if value is None else f"{100 * value:.1f} %"


def points(difference: float) -> str:
    """Write a difference of percentages with its sign, such as ``"−0.3 points"``."""
    rounded = round(difference, 1)
    sign = "−" if rounded < 0 else "+" if rounded > 0 else "±"
    return f"{sign}{abs(rounded):.1f} points"


def duration(seconds: float | None) -> str:
    """Write a time span in the two units that matter."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"

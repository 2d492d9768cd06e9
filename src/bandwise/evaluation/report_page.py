"""The sections of ``report.html``, from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from bandwise.evaluation import phrases
from bandwise.evaluation.markup import Html, details, figure, join, page, pairs, table, tag
from bandwise.evaluation.plots import figures_of

Result = dict[str, Any]
LEFT_OUT_SHOWN = 200


def build_page(result: Result, command: str) -> str:
    """Put the page together.

    Args:
        result: What ``result.json`` holds.
        command: The command that repeats the run.
    """
    drawn = figures_of(result)
    return page(
        phrases.title(result),
        _head(result),
        _cards(result),
        tag("h2", "Beside the paper"), *_paper(result),
        tag("h2", "Folds"), _embed(drawn, "folds", "Accuracy of each fold"), _folds(result),
        tag("p", phrases.interval_note(result), class_="small"),
        tag("h2", "Genres"), _embed(drawn, "recall", "Recall of each genre"), _genres(result),
        _embed(drawn, "confusion", "Confusion matrix"),
        tag("h2", "Training"), _embed(drawn, "learning-curves", "Learning curves"), _cost(result),
        tag("h2", "How to repeat it"), *_repeat(result, command),
        tag("footer", f"bandwise {result['environment']['versions']['bandwise']}. ", result["corpus"]["caveat"]),
    )  # fmt: skip


def _head(result: Result) -> Html:
    corpus, folds = result["corpus"], result["folds"]
    facts = [
        phrases.folds_phrase(result),
        folds["scheme"],
        f"{result['figures']['best']['clips']:,} clips tested",
        f"{len(corpus['genres'])} genres",
        f"size {result['experiment']['size']}",
    ]
    parts = [tag("h1", phrases.title(result)), tag("p", " · ".join(facts), class_="muted")]
    if corpus["caveat"]:
        parts.append(_box(tag("strong", "What this corpus is. "), corpus["caveat"]))
    parts += [_box(_code_spans(warning), kind="box warn") for warning in phrases.warnings_of(result)]
    return tag("header", *parts)


def _cards(result: Result) -> Html:
    best, last = result["figures"]["best"], result["figures"]["last"]
    epochs = phrases.has_epochs(result)
    name = "Accuracy, best by validation" if epochs else "Accuracy"
    cards = [_card(name, phrases.percent(best["accuracy_mean"]), *_spread(best), kind="card first")]
    if epochs:
        cards.append(_card("Accuracy, last epoch", phrases.percent(last["accuracy_mean"]), *_spread(last)))
    cards.append(_card("Macro-F1", f"{best['macro_f1']:.3f}", "over all tested clips"))
    even, largest = phrases.chance(result)
    cards.append(_card("Chance", phrases.percent(even), f"always the largest genre: {phrases.percent(largest)}"))
    return tag("div", *cards, class_="cards")


def _spread(summary: Result) -> list[str]:
    lines = []
    if summary["accuracy_sd"] is not None:
        lines.append(f"± {100 * summary['accuracy_sd']:.1f} (SD, {len(summary['accuracies'])} folds)")
    if summary["accuracy_interval"] is not None:
        low, high = summary["accuracy_interval"]
        lines.append(f"95 % interval {100 * low:.1f}–{100 * high:.1f} %")
    return lines


def _paper(result: Result) -> list[Html]:
    paper, figures = result["paper"], result["figures"]
    published, note = paper["published_accuracy"], phrases.paper_note(result)
    row = phrases.paper_row(result)
    if not paper["comparable"]:
        return [
            _box(
                tag("p", "This figure is not comparable with the paper's:"),
                tag("ul", *[tag("li", difference) for difference in paper["differences"]]),
            ),
            tag(
                "p", f"For orientation only, not comparable: {row} is published with {published:.1f} %. ",
                note, class_="small",
            ),
        ]  # fmt: skip
    lines = []
    named = (
        [("best", "best epoch by validation"), ("last", "last epoch")]
        if phrases.has_epochs(result)
        else [("best", "")]
    )
    for weights, name in named:
        summary = figures[weights]
        low, high = summary["accuracy_interval"] or (np.nan, np.nan)
        inside = "inside" if low <= published / 100 <= high else "outside"
        lines.append(
            [
                f"this run, {name}" if name else "this run", phrases.percent(summary["accuracy_mean"]),
                phrases.points(100 * summary["accuracy_mean"] - published), f"{inside} the 95 % interval",
            ]
        )  # fmt: skip
    head = ["", "accuracy", "difference", "the published figure lies"]
    return [
        table(head, [[f"published, {row}", f"{published:.1f} %", "", ""], *lines]),
        tag("p", phrases.comparison_note(result), " ", note, class_="small"),
    ]


def _folds(result: Result) -> Html:
    epochs = phrases.has_epochs(result)

    def pick(cells: Sequence[object]) -> list[object]:
        """Leave out what only systems trained in epochs have: last epoch, epoch kept, validation."""
        return [cell for place, cell in enumerate(cells) if epochs or place not in (3, 5, 6)]

    head = ["fold", "clips", "accuracy", "accuracy, last epoch", "macro-F1", "epoch kept", "validation accuracy",
            "training"]  # fmt: skip
    rows = [
        [
            fold["fold"], f"{fold['clips']:,}", phrases.percent(fold["best"]["accuracy"]),
            phrases.percent(fold["last"]["accuracy"]), f"{fold['best']['macro_f1']:.3f}",
            f"{fold.get('best_epoch', '–')} of {len(fold.get('history') or [])}",
            phrases.percent(fold.get("valid_accuracy")), phrases.duration(fold.get("train_seconds")),
        ]
        for fold in result["per_fold"]
    ]  # fmt: skip
    foot = None
    if len(rows) > 1:
        best, last = result["figures"]["best"], result["figures"]["last"]
        mean = [f"{100 * s['accuracy_mean']:.1f} ± {100 * s['accuracy_sd']:.1f} %" for s in (best, last)]
        total = phrases.duration(result["cost"]["train_seconds"])
        f1 = f"{np.mean([fold['best']['macro_f1'] for fold in result['per_fold']]):.3f}"
        foot = pick(["mean ± SD", f"{best['clips']:,} in all", *mean, f1, "", "", f"{total} in all"])
    return table(pick(head), [pick(row) for row in rows], foot)


def _genres(result: Result) -> Html:
    names, summary = result["corpus"]["genres"], result["figures"]["best"]
    counts = np.asarray(summary["confusion"])
    rows = []
    for i, name in enumerate(names):
        clips, predicted, hits = int(counts[i].sum()), int(counts[:, i].sum()), int(counts[i, i])
        wrong = counts[i].copy()
        wrong[i] = 0
        worst = int(wrong.argmax())
        taken = f"{names[worst]} ({phrases.percent(wrong[worst] / clips)})" if wrong[worst] else "–"
        rows.append(
            [
                name, f"{clips:,}", phrases.percent(summary["recall"][i]),
                phrases.percent(hits / predicted if predicted else None),
                f"{2 * hits / (clips + predicted):.3f}" if clips else "–", taken,
            ]
        )  # fmt: skip
    return table(["genre", "clips", "recall", "precision", "F1", "most often taken for"], rows)


def _cost(result: Result) -> Html:
    cost, recipe = result["cost"], result["experiment"]["recipe"]
    parameters = "–" if cost["parameters"] is None else f"{cost['parameters']:,}"
    rows = [
        ("Time to train", f"{phrases.duration(cost['train_seconds'])} ({phrases.folds_phrase(result)})"),
        ("Device", cost["device"] or "–"),
        ("Parameters", parameters),
    ]
    if phrases.has_epochs(result):
        seen = f"{recipe['crops_per_song']} of {recipe['crop_frames']} frames per song and epoch"
        rows.append(("Crops", f"{seen}, at most {recipe['epochs']} epochs, batches of {recipe['batch']}"))
    return pairs(rows)


def _repeat(result: Result, command: str) -> list[Html]:
    environment, left_out = result["environment"], result["corpus"]["left_out"]
    versions = [
        ("Python", environment["python"]),
        ("machine", environment["system"]),
        *environment["versions"].items(),
        ("commit", environment["commit"] or "not run from a checkout"),
    ]
    parts = [
        tag("p", "In the folder that holds the run's:"),
        tag("pre", tag("code", command)),
        details("Settings", pairs(phrases.flatten(result["experiment"]))),
        details("Versions", pairs(versions)),
    ]
    if left_out:
        more = len(left_out) - LEFT_OUT_SHOWN
        rest = tag("p", f"… and {more:,} more; result.json lists all.", class_="small") if more > 0 else None
        shown = pairs((what, why) for what, why in left_out[:LEFT_OUT_SHOWN])
        parts.append(details(f"Tracks left out: {len(left_out):,}", shown, rest))
    else:
        parts.append(tag("p", "No track was left out.", class_="small"))
    return parts


def _embed(drawn: dict[str, Figure], name: str, label: str) -> Html | None:
    return figure(drawn[name], name, label) if name in drawn else None


def _box(*children: object, kind: str = "box") -> Html:
    return tag("div", *children, class_=kind)


def _card(name: str, big: str, *more: str, kind: str = "card") -> Html:
    lines = [tag("div", line, class_="more") for line in more]
    return tag("div", tag("div", name, class_="name"), tag("div", big, class_="big"), *lines, class_=kind)


def _code_spans(text: str) -> Html:
    """Set what stands between backticks as code."""
    return join(tag("code", part) if place % 2 else part for place, part in enumerate(text.split("`")))

"""The report of a cross-validation: one page of HTML that needs nothing else, and a summary for the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bandwise.evaluation import phrases
from bandwise.files import write_text


def write_report(result: dict[str, Any], directory: Path) -> Path:
    """Write ``report.html``: one page with all figures inside, for screens light and dark and for paper.

    Args:
        result: What ``result.json`` holds.
        directory: The run's folder; its name stands in the command that repeats the run.

    Returns:
        The page's path.
    """
    # matplotlib takes a while to import, and the terminal's summary does not need it.
    from bandwise.evaluation.report_page import build_page

    path = directory / "report.html"
    write_text(path, build_page(result, phrases.repeat_command(directory)))
    return path


def text_summary(result: dict[str, Any]) -> str:
    """Sum a result up in about eight lines for the terminal."""
    corpus, folds, figures = result["corpus"], result["folds"], result["figures"]
    best, last = figures["best"], figures["last"]
    lines = [
        f"{phrases.title(result)}: {phrases.folds_phrase(result)}",
        f"  accuracy     {phrases.accuracy_phrase(best)}"
        + (", best epoch by validation" if phrases.has_epochs(result) else ""),
    ]
    if phrases.has_epochs(result):
        lines.append(f"  last epoch   {phrases.accuracy_phrase(last)}")
    lines.append(f"  macro-F1     {best['macro_f1']:.3f}   (chance {phrases.chance_phrase(result)})")
    lines.append(f"  clips        {best['clips']:,} tested, {len(corpus['genres'])} genres ({folds['scheme']})")
    spent, device = phrases.duration(result["cost"]["train_seconds"]), result["cost"]["device"]
    lines.append(f"  training     {spent}" + (f" on {device}" if device else ""))
    lines.append(f"  paper        {phrases.paper_phrase(result)}")
    lines += [f"  note         {warning}" for warning in phrases.warnings_of(result)]
    if corpus["caveat"]:
        lines.append(f"  caveat       {corpus['caveat']}")
    return "\n".join(lines)

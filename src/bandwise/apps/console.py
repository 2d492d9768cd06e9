"""Bars, lines and tables on the terminal; plain lines where the output is no terminal."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.progress import TimeRemainingColumn as Remaining
from rich.table import Table

from bandwise.progress import Task

# With several processes training one model, the first speaks for all.
_QUIET = os.environ.get("LOCAL_RANK", "0") != "0"
out = Console(highlight=False, markup=False, soft_wrap=True, quiet=_QUIET)
err = Console(stderr=True, highlight=False, soft_wrap=True, quiet=_QUIET)
PLAIN_EVERY = 30.0  # seconds between two lines where nothing can be redrawn


class _BarTask:
    def __init__(self, bars: RichProgress, number: Any, name: str) -> None:
        self.bars, self.number, self.name = bars, number, name

    def advance(self, steps: int = 1) -> None:
        self.bars.advance(self.number, steps)

    def describe(self, text: str) -> None:
        self.bars.update(self.number, description=f"{self.name} [dim]{escape(text)}[/dim]")


class _LineTask:
    """Says from time to time how far it is, with an estimate of the time left."""

    def __init__(self, name: str, total: int | None, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.done, self.text, self.began = 0, "", time.monotonic()
        self.first = 0
        self.said = self.began

    def advance(self, steps: int = 1) -> None:
        now = time.monotonic()
        if self.done == 0 and steps > 1 and now - self.began < 1:
            self.first = steps  # what was done before we came does not count for the rate
        self.done += steps
        if now - self.said >= PLAIN_EVERY:
            self.said = now
            self.say()

    def describe(self, text: str) -> None:
        self.text = text

    def say(self) -> None:
        of = f" of {self.total}" if self.total else ""
        left = ""
        fresh = self.done - self.first
        if self.total and fresh > 0 and self.done < self.total:
            seconds = (time.monotonic() - self.began) / fresh * (self.total - self.done)
            left = f", about {duration(seconds)} left"
        text = f" ({self.text})" if self.text else ""
        err.print(f"{self.name}: {self.done}{of} {self.unit}{left}{text}", soft_wrap=True, markup=False)


class ConsoleProgress:
    """Draws bars on standard error; where that is no terminal, prints a line every half minute."""

    def __init__(self) -> None:
        self._bars: RichProgress | None = None
        self._open = 0

    @contextmanager
    def task(self, name: str, total: int | None, unit: str = "") -> Iterator[Task]:
        """Show a bar while the block runs."""
        if not err.is_terminal:
            line = _LineTask(name, total, unit)
            yield line
            return
        if self._bars is None:
            self._bars = RichProgress(
                SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
                TimeElapsedColumn(), TextColumn("[dim]left[/dim]"), Remaining(), console=err, transient=True,
            )  # fmt: skip
            self._bars.start()
        number = self._bars.add_task(name, total=total)
        self._open += 1
        try:
            yield _BarTask(self._bars, number, name)
        finally:
            self._open -= 1
            self._bars.remove_task(number)
            if not self._open:
                self._bars.stop()
                self._bars = None

    def note(self, text: str) -> None:
        """Print a line."""
        err.print(text, markup=False, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Print a line that asks for attention."""
        err.print(f"[yellow]warning:[/yellow] {escape(text)}", soft_wrap=True)


def duration(seconds: float) -> str:
    """Give a time as people say it.

    Example:
        >>> duration(8), duration(200), duration(9000)
        ('8 s', '3 min', '2.5 h')
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> None:
    """Print a table on standard output; columns whose name starts with ``>`` are right-aligned."""
    drawn = Table(title=title, box=None, pad_edge=False, header_style="bold", title_justify="left")
    for name in columns:
        drawn.add_column(name.removeprefix(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*(escape(str(cell)) for cell in row))
    if out.is_terminal:
        out.print(drawn)
    else:  # a pipe gets whole lines, however long
        wide = Console(highlight=False, width=10_000, file=out.file)
        lines = wide.render_lines(drawn, wide.options)
        out.print("\n".join("".join(segment.text for segment in line).rstrip() for line in lines))


def print_json(value: Any) -> None:
    """Print a JSON document on standard output."""
    if _QUIET:
        return
    sys.stdout.write(json_text(value, indent=1) + "\n")


def json_text(value: Any, indent: int | None = None) -> str:
    """Give JSON that standard output can carry: escaped where its encoding is not UTF-8, or a name is not."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(value, indent=indent)
    return text


def percent(value: float | None) -> str:
    """Give a share in percent with one decimal.

    Example:
        >>> percent(0.9113), percent(None)
        ('91.1', '–')
    """
    return "–" if value is None else f"{100 * value:.1f}"

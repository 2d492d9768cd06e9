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
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress
from rich.progress import Task as RichTask
from rich.table import Table
from rich.text import Text

from bandwise.progress import Task

# With several processes training one model, the first speaks for all.
_QUIET = os.environ.get("LOCAL_RANK", "0") != "0"
out = Console(highlight=False, markup=False, soft_wrap=True, quiet=_QUIET)
err = Console(stderr=True, highlight=False, soft_wrap=True, quiet=_QUIET)
PLAIN_EVERY = 30.0  # seconds between two lines where nothing can be redrawn


class _Clock:
    """Counts, and estimates the time left from all that was done since it was started."""

    def __init__(self, total: int | None) -> None:
        self.total, self.done, self.skipped = total, 0, 0
        self.began = self.last = time.monotonic()

    def advance(self, steps: int) -> None:
        self.last = time.monotonic()
        if self.done == 0 and self.last - self.began < 1:
            self.skipped = steps if steps > 1 else 0  # what an earlier run had done does not count for the rate
        self.done += steps

    def left(self) -> float | None:
        """Seconds, or ``None`` where nothing can be said yet."""
        fresh = self.done - self.skipped
        if not self.total or fresh < 1 or self.done >= self.total:
            return None
        left = (self.last - self.began) / fresh * (self.total - self.done)
        return max(0.0, left - (time.monotonic() - self.last))


class _BarTask:
    def __init__(self, bars: RichProgress, number: Any, name: str, clock: _Clock) -> None:
        self.bars, self.number, self.name, self.clock = bars, number, name, clock

    def advance(self, steps: int = 1) -> None:
        self.clock.advance(steps)
        self.bars.advance(self.number, steps)

    def describe(self, text: str) -> None:
        self.bars.update(self.number, description=f"{self.name} [dim]{escape(text)}[/dim]")


class _Left(ProgressColumn):
    """The time left; rich's own forgets everything older than half a minute, and a fold takes longer."""

    def render(self, task: RichTask) -> Text:
        left = task.fields["clock"].left()
        return Text("" if left is None else f"{duration(left)} left", style="cyan")


class _LineTask:
    """Says from time to time how far it is."""

    def __init__(self, name: str, total: int | None, unit: str) -> None:
        self.name, self.total, self.unit = name, total, unit
        self.clock, self.text = _Clock(total), ""
        self.said = self.clock.began

    def advance(self, steps: int = 1) -> None:
        self.clock.advance(steps)
        if time.monotonic() - self.said >= PLAIN_EVERY:
            self.said = time.monotonic()
            self.say()

    def describe(self, text: str) -> None:
        self.text = text

    def say(self) -> None:
        of = f" of {self.total}" if self.total else ""
        seconds = self.clock.left()
        left = "" if seconds is None else f", about {duration(seconds)} left"
        text = f" ({self.text})" if self.text else ""
        err.print(f"{self.name}: {self.clock.done}{of} {self.unit}{left}{text}", soft_wrap=True, markup=False)


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
                TimeElapsedColumn(), _Left(), console=err, transient=True,
            )  # fmt: skip
            self._bars.start()
        clock = _Clock(total)
        number = self._bars.add_task(name, total=total, clock=clock)
        self._open += 1
        try:
            yield _BarTask(self._bars, number, name, clock)
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

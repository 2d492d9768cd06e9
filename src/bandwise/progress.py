"""How long work reports where it is, without the library ever printing: the command line draws the bars."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Task(Protocol):
    """One bar."""

    def advance(self, steps: int = 1) -> None:
        """Count ``steps`` more units as done."""

    def describe(self, text: str) -> None:
        """Replace the words shown beside the bar (a loss, the fold's number)."""


class Progress(Protocol):
    """Somewhere that bars and lines of text can be shown."""

    def task(self, name: str, total: int | None, unit: str = "") -> AbstractContextManager[Task]:
        """Open a bar as a context manager; ``total=None`` when the amount is unknown."""

    def note(self, text: str) -> None:
        """Show a line that stays on the screen."""

    def warn(self, text: str) -> None:
        """Show a line that asks for attention."""


class _SilentTask:
    def advance(self, steps: int = 1) -> None:
        pass

    def describe(self, text: str) -> None:
        pass


class Silent:
    """A ``Progress`` that shows nothing: the default of every library call."""

    @contextmanager
    def task(self, name: str, total: int | None, unit: str = "") -> Iterator[Task]:
        """Open a bar that is not drawn."""
        yield _SilentTask()

    def note(self, text: str) -> None:
        """Drop the line."""

    def warn(self, text: str) -> None:
        """Drop the line."""


SILENT: Progress = Silent()

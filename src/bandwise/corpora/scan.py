"""What several loaders need when they look through folders: quick listings, safe names, short reports."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

Skip = tuple[str, str]


def is_hidden(name: str) -> bool:
    """Whether a file or folder is one to pass over: dot files, and the ``._x`` twins that macOS writes."""
    return name.startswith(".") or name == "__MACOSX"


def printable(text: str | Path) -> str:
    """A file name that can be printed and written as UTF-8, whatever bytes it is made of."""
    return str(text).encode(errors="replace").decode()


def expanded(text: str) -> Path:
    """A path a person wrote, with ``~/`` meaning home; ``~x.wav`` is a file name like any other."""
    return Path(text).expanduser() if text == "~" or text.startswith("~/") else Path(text)


def folders(root: Path) -> list[Path]:
    """The visible folders directly in ``root``, by name."""
    return sorted(path for path in root.iterdir() if not is_hidden(path.name) and path.is_dir())


def numbered_files(base: Path, suffix: str, per_folder: int | None) -> Iterator[tuple[int, str]]:
    """Yield ``(number, path)`` of each ``base/<digits>/<number>.<suffix>``.

    One listing a folder instead of one question a file: a set of 600,000 files on a network disk answers in
    seconds, not hours.

    Args:
        base: The folder of the numbered folders; it need not exist.
        suffix: Without the dot.
        per_folder: Where given, only files that lie in folder ``number // per_folder`` count.
    """
    if not base.is_dir():
        return
    for folder in folders(base):
        if not folder.name.isdecimal():
            continue
        with os.scandir(folder) as entries:
            for entry in entries:
                stem, _, ending = entry.name.rpartition(".")
                if ending != suffix or not (stem.isascii() and stem.isdecimal()):
                    continue
                if per_folder is None or int(stem) // per_folder == int(folder.name):
                    yield int(stem), entry.path


def capped(skips: Sequence[Skip], limit: int = 1000) -> list[Skip]:
    """Keep the first ``limit`` entries and sum the rest up in one, so that a report stays readable."""
    if len(skips) <= limit:
        return list(skips)
    return [*skips[:limit], (f"{len(skips) - limit:,} more", "for the same reasons as those before them")]

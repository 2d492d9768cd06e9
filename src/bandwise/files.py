"""Writing files so that a crash never leaves half of one: temporary file, fsync, rename."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bandwise.errors import BandwiseError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; on success it is synced and renamed over it, else removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_directory(directory: Path) -> None:
    """Make a rename durable. Where a file system refuses it (some network mounts), the rename still stands."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, creating parent folders."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON document atomically, indented, with non-ASCII kept readable."""
    text = json.dumps(value, indent=1, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # names of files that are not UTF-8 hold lone surrogates, which JSON can escape
        text = json.dumps(value, indent=1)
    write_text(path, text + "\n")


def read_json(path: Path, kind: type = object) -> Any:
    """Read a JSON document.

    Args:
        path: The file.
        kind: What it must hold: ``dict`` or ``list``.

    Raises:
        BandwiseError: The file is absent, not JSON, or holds something else; the message names it.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BandwiseError(f"{path} does not exist") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BandwiseError(f"{path} is not valid JSON ({error})") from None
    if not isinstance(value, kind):
        raise BandwiseError(f"{path} is damaged: it holds a {type(value).__name__}, not a {kind.__name__}")
    return value

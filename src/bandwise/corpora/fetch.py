"""Fetching a large file that may take days: resumed after a cut, checked before it is trusted."""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import re
import shutil
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandwise.errors import BandwiseError
from bandwise.files import sync_directory, write_json
from bandwise.progress import SILENT, Progress, Task

_BLOCK = 1 << 18
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})


class _DroppedError(Exception):
    """The connection ended early or could not be made: worth another try."""


def download(
    url: str,
    target: Path,
    sha1: str | None = None,
    progress: Progress = SILENT,
    *,
    attempts: int = 6,
    pause: float = 1.0,
    timeout: float = 60.0,
) -> Path:
    """Fetch a file, going on from where an earlier call was cut off.

    What has come so far lies in ``<target>.part``; the name itself appears only when all is there and the checksum
    fits. A target that is there already and fits is kept.

    Args:
        url: ``http`` or ``https``.
        target: Where to put it.
        sha1: The checksum it must have, in hexadecimal.
        progress: Shows a bar in bytes.
        attempts: How often in a row nothing may arrive before it is given up.
        pause: Seconds before the second attempt; doubled for each further one, up to a minute.
        timeout: Seconds without a byte after which a connection counts as dropped.

    Returns:
        ``target``.

    Raises:
        BandwiseError: The server does not have it, the checksum differs (what came is removed), there is no space, or
            the connection keeps failing (what came is kept, and the next call goes on).
    """
    if not url.startswith(("https://", "http://")):
        raise BandwiseError(f"{url!r} cannot be fetched: it must begin with https:// or http://")
    if target.exists() and (sha1 is None or _sha1(target, progress) == sha1.lower()):
        return target
    part = _Part(target.with_name(target.name + ".part"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _fetch_all(url, part, progress, attempts=attempts, pause=pause, timeout=timeout)
        if sha1 is not None and (found := _sha1(part.path, progress)) != sha1.lower():
            part.remove()
            raise BandwiseError(f"{url} came with the SHA-1 {found}, not {sha1}; it was removed: fetch it again")
        with part.path.open("rb+") as handle:
            os.fsync(handle.fileno())
        part.path.replace(target)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BandwiseError(f"no space left for {target}; make room and call again, it goes on") from None
        raise BandwiseError(f"{target} cannot be written ({error.strerror or error})") from None
    part.remove()
    sync_directory(target.parent)
    return target


@dataclass(frozen=True)
class _Part:
    """What has come so far, and beside it which version of the remote file it belongs to."""

    path: Path

    @property
    def note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def source(self) -> dict[str, Any]:
        """The address, version mark and length noted when the first byte came; empty where none are."""
        try:
            source = json.loads(self.note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return source if isinstance(source, dict) else {}

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


def _fetch_all(url: str, part: _Part, progress: Progress, *, attempts: int, pause: float, timeout: float) -> None:
    """Repeat requests until the whole file lies in ``part``; an attempt that brought bytes starts the count anew."""
    if part.source().get("url") != url:
        part.remove()
    total = part.source().get("total")
    failures = 0
    with progress.task(f"fetching {part.path.name.removesuffix('.part')}", total, "B") as task:
        task.advance(part.size())
        while True:
            before = part.size()
            try:
                _fetch_once(url, part, task, timeout)
                return
            except _DroppedError as error:
                failures = 1 if part.size() > before else failures + 1
                if failures >= attempts:
                    kept = f"{part.size():,} bytes are kept, call again to go on"
                    raise BandwiseError(f"{url}: {error}, {failures} times in a row; {kept}") from None
                task.describe(f"{error}; trying again")
                time.sleep(min(60.0, pause * 2 ** (failures - 1)))


def _fetch_once(url: str, part: _Part, task: Task, timeout: float) -> None:
    """One request; returns when the file is whole."""
    have, source = part.size(), part.source()
    if have and have == source.get("total"):
        return
    request = urllib.request.Request(url, headers={"User-Agent": "bandwise", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if source.get("mark"):
            # Should the file have changed, the server then sends all of the new one instead of its tail.
            request.add_header("If-Range", source["mark"])
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            total = _begin(url, response, part, have, source, task)
            _copy(response, part, total, task)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # The part is longer than the file: it belongs to another version.
            task.advance(-have)
            part.remove()
            raise _DroppedError("the file on the server has changed") from None
        if error.code in _RETRIED:
            raise _DroppedError(f"the server answered {error.code} {error.reason}") from None
        raise BandwiseError(f"{url} cannot be fetched: the server answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise BandwiseError(f"{url}: the server's certificate is not trusted ({error.reason})") from None
        raise _DroppedError(f"no connection ({error.reason})") from None
    except (http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        raise _DroppedError(f"the connection dropped ({error or type(error).__name__})") from None


def _begin(url: str, response: Any, part: _Part, have: int, source: dict[str, Any], task: Task) -> int | None:
    """Look at the answer's head and make ``part`` ready for its body; returns the file's whole length."""
    mark = response.headers.get("ETag") or ""
    if not mark or mark.startswith("W/"):  # Weak marks don't promise the same bytes.
        mark = response.headers.get("Last-Modified") or ""
    if have and response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
        total = int(match[2]) if match and match[2] != "*" else None
        changed = source.get("total") not in (None, total) or (source.get("mark") and mark and mark != source["mark"])
        if match and int(match[1]) == have and not changed:
            return total
        task.advance(-have)
        part.remove()
        raise _DroppedError("the file on the server has changed")
    # All of the file comes: at first, from a server that does not resume, or because the file has changed.
    task.advance(-have)
    part.remove()
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdecimal() else None
    if total is not None and total > (free := shutil.disk_usage(part.path.parent).free):
        raise BandwiseError(f"{url} takes {total:,} bytes, but {part.path.parent} has {free:,} left; make room")
    write_json(part.note, {"url": url, "mark": mark, "total": total})
    part.path.touch()
    return total


def _copy(response: Any, part: _Part, total: int | None, task: Task) -> None:
    with part.path.open("ab") as handle:
        while block := _read(response):
            handle.write(block)
            task.advance(len(block))
    # http.client reports a body that ended early as if it were complete when it is read in blocks.
    if total is not None and part.size() < total:
        raise _DroppedError(f"the connection dropped at {part.size():,} of {total:,} bytes")


def _read(response: Any) -> bytes:
    # Apart from the writing, so that a network's OSError is not taken for the disk's.
    try:
        block = response.read(_BLOCK)
    except (http.client.HTTPException, OSError) as error:
        raise _DroppedError(f"the connection dropped ({error or type(error).__name__})") from None
    assert isinstance(block, bytes)
    return block


def _sha1(path: Path, progress: Progress) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    with (
        path.open("rb") as handle,
        progress.task(f"checking {path.name.removesuffix('.part')}", path.stat().st_size, "B") as task,
    ):
        while block := handle.read(1 << 20):
            digest.update(block)
            task.advance(len(block))
    return digest.hexdigest()

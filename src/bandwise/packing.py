"""Building a feature store: in parallel, resumable after a kill, redone only for what is new or changed."""

from __future__ import annotations

import json
import os
import secrets
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from bandwise.corpora.base import Corpus, Track
from bandwise.errors import AudioError, BandwiseError
from bandwise.extraction import array_extractor, audio_extractor
from bandwise.files import replacing
from bandwise.progress import SILENT, Progress
from bandwise.store import (
    DATA,
    Entry,
    FeatureStore,
    StoreMeta,
    default_path,
    identity,
    owner,
    owner_of,
    read_index,
    read_journal,
    read_meta,
    write_index,
    write_meta,
)

SYNC_EVERY = 64  # tracks between two points to which a killed build can return


@dataclass(frozen=True)
class Packed:
    """A built store and what could not be put into it.

    Attributes:
        store: Opened for reading.
        failures: ``(track id, reason)`` for each track that could not be read.
        added: Tracks extracted by this call; the others were there already.
    """

    store: FeatureStore
    failures: tuple[tuple[str, str], ...]
    added: int


def store_meta(corpus: Corpus, frontend: str, dtype: str = "float16", wave: bool = False) -> StoreMeta:
    """Say what a store of this corpus would hold.

    Args:
        corpus: The corpus.
        frontend: A front end's name.
        dtype: ``"float16"`` or ``"float32"``.
        wave: Keep the waves (float32) instead of their features, for crops cut from the wave.

    Raises:
        BandwiseError: The corpus holds arrays that another front end made, or arrays where waves are asked for.
    """
    from bandwise.audio.frontend import create_frontend

    front = create_frontend(frontend)
    if corpus.content == "mel":
        if wave:
            raise BandwiseError(f"{corpus.name} has no audio, only mel arrays: use crops = store")
        if frontend != corpus.frontend:
            raise BandwiseError(
                f"{corpus.name} holds arrays of the {corpus.frontend!r} front end, not {frontend!r}: "
                f"use --frontend {corpus.frontend}"
            )
    if wave:
        return StoreMeta(f"wave@{frontend}", f"wave-{front.sample_rate}", 1, "float32")
    return StoreMeta(frontend, front.key(), front.bands, dtype)


def pack(
    corpus: Corpus,
    meta: StoreMeta,
    path: Path | None = None,
    *,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> Packed:
    """Build a corpus' feature store, or bring an existing one up to date.

    A build that was killed goes on where it stood. A track whose file changed is extracted again; a track that cannot
    be read is reported and the others go on.

    Args:
        corpus: What to pack.
        meta: From ``store_meta``.
        path: The store's folder; ``None`` takes ``default_path``.
        jobs: Threads; ``None`` takes one a core. Decoding, resampling and the front end run outside Python's lock.
        progress: Where to show how far it is.

    Raises:
        BandwiseError: Not one track could be read, or ``path`` holds something else.
    """
    from filelock import FileLock

    path = path or default_path(corpus, meta)
    path.mkdir(parents=True, exist_ok=True)
    with FileLock(path / "lock"):  # two commands that want the same features build them once
        if (path / "store.json").exists():
            if read_meta(path) != meta:
                raise BandwiseError(f"{path} holds {read_meta(path)}, not {meta}; choose another folder")
            if owner(path) != owner_of(corpus):
                name, root = owner(path)
                raise BandwiseError(
                    f"{path} holds the features of {name} at {root}; choose another folder, or delete it"
                )
        else:
            if any(entry.name != "lock" for entry in path.iterdir()):
                raise BandwiseError(f"{path} is not empty and no feature store; choose another folder")
            write_meta(path, meta, corpus)
        failures, added = _fill(corpus, meta, path, jobs or os.cpu_count() or 1, progress)
    store = FeatureStore(path)
    if not len(store):
        reason = f": {failures[0][0]}: {failures[0][1]}" if failures else ""
        raise BandwiseError(f"not one of the {len(corpus.tracks)} tracks of {corpus.root} could be read{reason}")
    return Packed(store, tuple(failures), added)


def _fill(
    corpus: Corpus, meta: StoreMeta, path: Path, jobs: int, progress: Progress
) -> tuple[list[tuple[str, str]], int]:
    present, data_name = _present(path, meta, progress)
    failures: list[tuple[str, str]] = []
    kept: dict[str, Entry] = {}
    todo: list[tuple[Track, int]] = []
    known: dict[str, tuple[int, int, int]] = {}
    for track in corpus.tracks:
        try:
            stamp = identity(track, known)
        except OSError as error:
            failures.append((track.id, f"{track.path}: {_why(error)}"))
            progress.warn(f"left out {track.path}: {_why(error)}")
            continue
        entry = present.get(track.id)
        if entry is not None and entry.identity == stamp:
            kept[track.id] = entry
        else:
            todo.append((track, stamp))
    journal, index = path / "journal.jsonl", path / "index.safetensors"
    added = 0
    if todo or journal.exists() or len(kept) != len(present) or not index.exists():
        item = np.dtype(meta.dtype).itemsize * meta.width
        with (path / data_name).open("ab") as data, journal.open("a", encoding="utf-8") as log:
            # What a killed build wrote and never vouched for stays as waste: the file never shrinks under a reader.
            data.write(b"\0" * (-data.tell() % item))
            log.write("\n")  # ends a line that the kill may have torn
            writer = _Writer(data, log, meta, data.tell() // item, data_name)
            with progress.task(f"features of {corpus.name}", len(corpus.tracks), "tracks") as bar:
                bar.advance(len(kept) + len(failures))
                for track, stamp, outcome in _extract_all(corpus, meta, todo, jobs):
                    if isinstance(outcome, AudioError):
                        failures.append((track.id, f"{outcome.path}: {outcome.reason}"))
                        progress.warn(f"left out {outcome}")
                    else:
                        kept[track.id] = writer.append(track.id, outcome, stamp)
                        added += 1
                    bar.advance()
            writer.sync()
        entries = [kept[t.id] for t in corpus.tracks if t.id in kept]
        live = sum(entry.length for entry in entries)
        if writer.end > 2 * live:
            entries, data_name = _clear(path, data_name, entries, item)
        write_index(index, entries, data_name)
        journal.unlink(missing_ok=True)
        for old in path.glob("frames*.bin"):
            if old.name != data_name:
                old.unlink()
    return failures, added


def _present(path: Path, meta: StoreMeta, progress: Progress) -> tuple[dict[str, Entry], str]:
    """What the index and the journal of an interrupted build vouch for, as far as the frames are really there."""
    present: dict[str, Entry] = {}
    name = DATA
    index = path / "index.safetensors"
    if index.exists():
        read = read_index(index)
        name = read.data
        present = {entry.id: entry for entry in read.entries()}
    for entry in read_journal(path / "journal.jsonl", name):
        present[entry.id] = entry
    data = path / name
    held = data.stat().st_size // (np.dtype(meta.dtype).itemsize * meta.width) if data.exists() else 0
    whole = {key: entry for key, entry in present.items() if entry.offset + entry.length <= held}
    if len(whole) < len(present):
        progress.warn(
            f"{data} is shorter than its index says: {len(present) - len(whole)} tracks are extracted again"
        )
    return whole, name


def _clear(path: Path, data_name: str, entries: list[Entry], item: int) -> tuple[list[Entry], str]:
    """Copy the frames that are needed into a new file, once more than half of the old one is waste."""
    name = f"frames-{secrets.token_hex(4)}.bin"
    moved, end = [], 0
    with (path / data_name).open("rb") as old, replacing(path / name) as temporary, temporary.open("wb") as new:
        for entry in entries:
            old.seek(entry.offset * item)
            new.write(old.read(entry.length * item))
            moved.append(replace(entry, offset=end))
            end += entry.length
    return moved, name


class _Writer:
    """Appends frames; every so often makes them durable and only then vouches for them in the journal."""

    def __init__(self, data: IO[bytes], log: IO[str], meta: StoreMeta, end: int, name: str) -> None:
        self.data, self.log, self.meta, self.end, self.name = data, log, meta, end, name
        self.pending: list[Entry] = []

    def append(self, track_id: str, frames: NDArray[Any], stamp: int) -> Entry:
        entry = Entry(track_id, self.end, len(frames), stamp)
        self.data.write(np.ascontiguousarray(frames, dtype=self.meta.dtype).tobytes())
        self.end += len(frames)
        self.pending.append(entry)
        if len(self.pending) >= SYNC_EVERY:
            self.sync()
        return entry

    def sync(self) -> None:
        self.data.flush()
        os.fsync(self.data.fileno())
        for entry in self.pending:
            self.log.write(json.dumps([entry.id, entry.offset, entry.length, entry.identity, self.name]) + "\n")
        self.log.flush()
        os.fsync(self.log.fileno())
        self.pending.clear()


def _extract_all(
    corpus: Corpus, meta: StoreMeta, todo: list[tuple[Track, int]], jobs: int
) -> Iterator[tuple[Track, int, NDArray[Any] | AudioError]]:
    """Extract in parallel and give the results in order, with a bounded number under way."""
    extract = array_extractor(meta) if corpus.content == "mel" else audio_extractor(meta)

    def work(track: Track) -> NDArray[Any] | AudioError:
        try:
            return extract(track)
        except AudioError as error:
            return error
        except OSError as error:
            return AudioError(track.path, _why(error))

    with ThreadPoolExecutor(max_workers=jobs) as pool:
        running: deque[tuple[Track, int, Future[NDArray[Any] | AudioError]]] = deque()
        try:
            for track, stamp in todo:
                running.append((track, stamp, pool.submit(work, track)))
                if len(running) >= 4 * jobs:
                    first, first_stamp, future = running.popleft()
                    yield first, first_stamp, future.result()
            while running:
                first, first_stamp, future = running.popleft()
                yield first, first_stamp, future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()

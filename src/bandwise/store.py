"""Features of a whole corpus in one packed, memory-mapped file, so that a training crop reads only its own frames.

A store is a folder::

    store.json          what is in it: front end and its key, width, dtype, and of which corpus
    frames.bin          frames of every track, one after the other, time-major: (all frames, width)
    index.safetensors   where each track begins, how long it is, the identity of the file it came from; and which
                        file has the frames (another one after frames that nobody needs were cleared away)
    journal.jsonl       only while a build is under way: what is safely on the disk but not yet in the index

The file with the frames only ever grows, so a training that has it mapped is safe while another command adds tracks.

Frames are float16 unless asked otherwise. Rounding moves a value x by at most 2^-11·|x| (and never more than 2^-25
near zero): 0.004 for the ``gtzan`` front end, whose log-mel lies between -14 and 14, and 0.0625 dB for ``melon``,
which reaches down to -200 dB.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.corpora.base import Corpus, Track
from bandwise.errors import BandwiseError
from bandwise.files import read_json, replacing, write_json

FORMAT = 1
DATA = "frames.bin"
DTYPES = ("float16", "float32")


@dataclass(frozen=True)
class StoreMeta:
    """What a store holds.

    Attributes:
        frontend: The front end's name, or ``"wave@<front end>"`` for the waves themselves (width 1).
        key: The front end's key: every setting that changes a value changes it.
        width: Values in a frame: mel bands, or 1 for waves.
        dtype: ``"float16"`` or ``"float32"``.
    """

    frontend: str
    key: str
    width: int
    dtype: str

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise BandwiseError(f"features are kept as {' or '.join(DTYPES)}, not {self.dtype!r}")


class FeatureStore:
    """A finished store, opened for reading.

    Attributes:
        path: Its folder.
        meta: What it holds.
        ids: Track ids in the order of the index.
        offsets: First frame of each track, int64 (N,).
        lengths: Frames of each track, int32 (N,).
        identities: Identity of the file each track came from, int64 (N,).
        frames: All frames, (total, width), memory-mapped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.meta = read_meta(path)
        index = path / "index.safetensors"
        if not index.exists():
            raise BandwiseError(
                f"{path} holds no finished feature store; run `bandwise features` to build or finish it"
            )
        read = read_index(index)
        self.ids, self.offsets, self.lengths, self.identities = read.ids, read.offsets, read.lengths, read.identities
        data = path / read.data
        item = np.dtype(self.meta.dtype).itemsize * self.meta.width
        end = int((self.offsets + self.lengths).max(initial=0))
        held = data.stat().st_size // item if data.exists() else 0
        if held < end:
            raise BandwiseError(
                f"{data} holds {held} frames but the index promises {end}; delete {path} and build anew"
            )
        shape = (held, self.meta.width)
        self.frames: NDArray[Any] = (
            np.memmap(data, dtype=self.meta.dtype, mode="r", shape=shape)
            if held
            else np.empty(shape, self.meta.dtype)
        )
        self._position = {track_id: i for i, track_id in enumerate(self.ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def __contains__(self, track_id: str) -> bool:
        return track_id in self._position

    def position(self, track_id: str) -> int:
        """Give a track's place in the index.

        Raises:
            BandwiseError: The store has no such track.
        """
        try:
            return self._position[track_id]
        except KeyError:
            raise BandwiseError(f"the feature store {self.path} has no track {track_id!r}") from None

    def features(self, track_id: str) -> NDArray[Any]:
        """Give all frames of a track, (T, width), without copying."""
        i = self.position(track_id)
        return self.frames[self.offsets[i] : self.offsets[i] + self.lengths[i]]

    def crop(self, position: int, start: int, frames: int) -> NDArray[Any]:
        """Give ``frames`` frames from ``start`` of the track at ``position``, (frames, width).

        Only these frames are read. A track that is shorter than the crop is repeated from its beginning.
        """
        offset, length = int(self.offsets[position]), int(self.lengths[position])
        if start + frames <= length:
            return self.frames[offset + start : offset + start + frames]
        whole = self.frames[offset : offset + length]
        return whole[(start + np.arange(frames)) % length]


def read_meta(path: Path) -> StoreMeta:
    """Read what a store says of itself."""
    described = _described(path)
    return StoreMeta(**{name: described[name] for name in ("frontend", "key", "width", "dtype")})


def owner(path: Path) -> tuple[str, str]:
    """Read which corpus a store belongs to: its name and root."""
    described = _described(path)
    return described["corpus"], described["root"]


def owner_of(corpus: Corpus) -> tuple[str, str]:
    """Give what ``owner`` reads from the stores of this corpus."""
    return corpus.name, str(corpus.root.resolve())


def write_meta(path: Path, meta: StoreMeta, corpus: Corpus) -> None:
    """Write ``store.json``."""
    name, root = owner_of(corpus)
    write_json(path / "store.json", {"format": FORMAT, **vars(meta), "corpus": name, "root": root})


def _described(path: Path) -> dict[str, Any]:
    described = read_json(path / "store.json", dict)
    needed = ("frontend", "key", "width", "dtype", "corpus", "root")
    if described.get("format") != FORMAT or any(name not in described for name in needed):
        raise BandwiseError(f"{path} is no feature store of this version of bandwise; delete it and build it anew")
    return dict(described)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the index."""

    id: str
    offset: int
    length: int
    identity: int


@dataclass(frozen=True)
class Index:
    """A read index: columns, and the name of the file that the offsets point into."""

    ids: list[str]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int32]
    identities: NDArray[np.int64]
    data: str = DATA

    def entries(self) -> Iterable[Entry]:
        """Give the lines one by one."""
        for row in zip(self.ids, self.offsets, self.lengths, self.identities, strict=True):
            yield Entry(row[0], int(row[1]), int(row[2]), int(row[3]))


def read_index(path: Path) -> Index:
    """Read an index.

    Raises:
        BandwiseError: It is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            data = (file.metadata() or {}).get("data", DATA)
        text = arrays["ids"].tobytes().decode(errors="surrogateescape")
        ids = text.split("\0") if arrays["offsets"].size else []
        return Index(ids, arrays["offsets"], arrays["lengths"], arrays["identities"], data)
    except (SafetensorError, KeyError, OSError) as error:
        raise BandwiseError(f"{path} is damaged ({error}); delete {path.parent} and build anew") from None


def write_index(path: Path, entries: Sequence[Entry], data: str = DATA) -> None:
    """Write the index atomically; from then on the entries count as present."""
    from safetensors.numpy import save_file

    text = "\0".join(entry.id for entry in entries).encode(errors="surrogateescape")  # no name holds a NUL
    arrays: dict[str, NDArray[Any]] = {
        "ids": np.frombuffer(text, dtype=np.uint8) if text else np.zeros(0, np.uint8),
        "offsets": np.array([entry.offset for entry in entries], dtype=np.int64),
        "lengths": np.array([entry.length for entry in entries], dtype=np.int32),
        "identities": np.array([entry.identity for entry in entries], dtype=np.int64),
    }
    with replacing(path) as temporary:
        save_file(arrays, temporary, metadata={"data": data})


def identity(track: Track, known: dict[str, tuple[int, int, int]] | None = None) -> int:
    """Give a number that changes when the file behind a track, or the part of it that is used, changes.

    Size, time of modification and time of change are read from the file system; the last cannot be set by a program,
    so a file swapped for another of the same size and date is noticed too.

    Args:
        track: The track.
        known: Remembers files already looked at, for corpora with many tracks in one file.

    Raises:
        OSError: The file cannot be looked at.
    """
    if known is not None and track.path in known:
        stamp = known[track.path]
    else:
        status = Path(track.path).stat()
        stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        if known is not None:
            known[track.path] = stamp
    described = json.dumps([str(Path(track.path).absolute()), stamp, track.start, track.end, track.member])
    return int.from_bytes(hashlib.blake2b(described.encode(), digest_size=8).digest(), "big", signed=True)


def default_path(corpus: Corpus, meta: StoreMeta) -> Path:
    """Give the folder where a corpus' features are kept unless the user names one.

    It lies under ``$BANDWISE_CACHE``, else ``$XDG_CACHE_HOME/bandwise``, else ``~/.cache/bandwise``; its name holds
    the corpus' place and the front end's key, so that different ones never meet.
    """
    cache = os.environ.get("BANDWISE_CACHE")
    base = Path(cache) if cache else Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bandwise"
    described = json.dumps([str(corpus.root.resolve()), corpus.name, meta.key])
    digest = hashlib.blake2b(described.encode(), digest_size=5).hexdigest()
    return base / "features" / f"{corpus.name}-{meta.frontend.replace('@', '-')}-{meta.dtype}-{digest}"


def read_journal(path: Path, data: str) -> Iterable[Entry]:
    """Give the entries of an interrupted build that lie in the file ``data``.

    A line torn by the interruption is passed over, and so are those of a file that has since been cleared away.
    """
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8", errors="replace").split("\n"):
        try:
            *entry, name = json.loads(line)
            if name == data:
                yield Entry(*entry)
        except (json.JSONDecodeError, TypeError, ValueError):
            continue

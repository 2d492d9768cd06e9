"""Opening every track of a corpus, to know before a long run what is wrong with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from bandwise.corpora.base import Corpus, Track
from bandwise.errors import AudioError, BandwiseError
from bandwise.progress import SILENT, Progress

MEL_BANDS = 48
MEL_FRAMES_PER_SECOND = 16_000 / 256  # of the arrays that data sets deliver: Melon's
_TOLERANCE = 0.25  # seconds that a track's end may lie past the end that a header states
_CHUNK = 64


class Problem(NamedTuple):
    """A track that cannot be used, and why."""

    track: str
    path: str
    reason: str


@dataclass(frozen=True)
class GenreSummary:
    """The usable tracks of one genre.

    Attributes:
        tracks: How many.
        seconds: How long together, as far as known.
    """

    tracks: int
    seconds: float


@dataclass(frozen=True)
class CheckReport:
    """What was found.

    Attributes:
        corpus: Its kind.
        checked: Tracks opened.
        usable: Tracks without a problem.
        decoded: Whether every sample was read, or only headers.
        seconds: The usable tracks' length together, as far as known.
        shortest: The shortest usable track's seconds; ``None`` where no length is known.
        longest: The longest one's.
        genres: For each genre, in class order.
        problems: In the corpus' order.
        skipped: What the loader had left out before.
    """

    corpus: str
    checked: int
    usable: int
    decoded: bool
    seconds: float
    shortest: float | None
    longest: float | None
    genres: dict[str, GenreSummary]
    problems: tuple[Problem, ...]
    skipped: tuple[tuple[str, str], ...]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values, ready for JSON."""
        return asdict(self) | {"problems": [problem._asdict() for problem in self.problems]}


class _Outcome(NamedTuple):
    seconds: float | None
    reason: str | None


def check_corpus(
    corpus: Corpus,
    progress: Progress = SILENT,
    *,
    jobs: int | None = None,
    decode: bool = False,
    min_seconds: float = 1.0,
) -> CheckReport:
    """Open every track and tell which ones are unreadable, empty, too short, or not what they should be.

    Args:
        corpus: Any corpus.
        progress: Shows a bar.
        jobs: Threads; ``None`` is one a processor. Decoding and reading happen outside Python's lock.
        decode: Read every sample, which also finds damage in the middle, silence and values that are not finite.
            Without it only headers are read, which takes a moment a thousand tracks.
        min_seconds: Tracks shorter than this are a problem.

    Returns:
        Counts, lengths and the problems.

    Raises:
        BandwiseError: ``jobs`` is below 1.
    """
    workers = (os.cpu_count() or 1) if jobs is None else jobs
    if workers < 1:
        raise BandwiseError(f"jobs is {jobs}; use 1 or more")
    look = _check_array if corpus.content == "mel" else _check_audio
    outcomes: list[_Outcome] = []
    chunks = [corpus.tracks[at : at + _CHUNK] for at in range(0, len(corpus.tracks), _CHUNK)]
    work = partial(_check_all, partial(_guarded, look, decode, min_seconds))
    with progress.task(f"checking {corpus.name}", len(corpus.tracks), "tracks") as task:
        for done in _in_order(work, chunks, workers):
            outcomes += done
            task.advance(len(done))
    return _report(corpus, outcomes, decode)


def _in_order(
    work: Callable[[Sequence[Track]], list[_Outcome]], chunks: Sequence[Sequence[Track]], workers: int
) -> Iterator[list[_Outcome]]:
    """Run ``work`` on the chunks in threads and yield in order; an interruption drops what has not begun."""
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = iter(chunks)
        running = [pool.submit(work, chunk) for chunk in islice(waiting, 2 * workers)]
        while running:
            yield running.pop(0).result()
            running += [pool.submit(work, chunk) for chunk in islice(waiting, 1)]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _check_all(check: Callable[[Track], _Outcome], tracks: Sequence[Track]) -> list[_Outcome]:
    return [check(track) for track in tracks]


def _guarded(look: Callable[[Track, bool], float | None], decode: bool, min_seconds: float, track: Track) -> _Outcome:
    """Check one track; whatever is wrong with it becomes a reason, never an exception."""
    try:
        seconds = look(track, decode)
    except AudioError as error:
        return _Outcome(None, error.reason)
    except OSError as error:
        return _Outcome(None, f"cannot be read ({error.strerror or error})")
    except Exception as error:  # A damaged file makes decoders raise anything; the others are still to be checked.
        return _Outcome(None, str(error) or type(error).__name__)
    if seconds is not None and seconds < min_seconds:
        return _Outcome(seconds, f"is too short: {seconds:.2f} s, at least {min_seconds:g} s are needed")
    return _Outcome(seconds, None)


def _check_audio(track: Track, decode: bool) -> float | None:
    """The track's seconds, from the header or, with ``decode``, from the samples."""
    from bandwise.audio.decode import SILENCE, probe, stream

    info = probe(track.path)
    start = track.start or 0.0
    if info.duration is not None:
        if info.duration <= start:
            raise AudioError(track.path, f"begins at {start:g} s, but the file lasts {info.duration:.2f} s")
        if track.end is not None and track.end > info.duration + _TOLERANCE:
            raise AudioError(track.path, f"ends at {track.end:g} s, but the file lasts {info.duration:.2f} s")
    if not decode:
        end = info.duration if track.end is None else track.end
        return None if end is None else end - start
    samples, peak = 0, 0.0
    for block in stream(track.path, info.sample_rate, start=track.start, end=track.end):
        samples += len(block)
        peak = max(peak, float(block.max()), -float(block.min()))
    if peak < SILENCE:
        raise AudioError(track.path, "is silent")
    return samples / info.sample_rate


def _check_array(track: Track, decode: bool) -> float:
    """The seconds that a mel array stands for; the array may be a file or lie inside a tar."""
    import numpy as np
    from numpy.lib import format as npy

    with Path(track.path).open("rb") as file:
        offset, size = track.member or (0, os.fstat(file.fileno()).st_size)
        if size == 0:
            raise AudioError(track.path, "is empty")
        file.seek(offset)
        # The header is read by numpy's own readers, which never unpickle.
        version = npy.read_magic(file)
        header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = header(file)
        if dtype.kind != "f":
            raise AudioError(track.path, f"holds values of type {dtype}, not floating-point numbers")
        if len(shape) != 2 or shape[0] != MEL_BANDS or shape[1] == 0:
            raise AudioError(track.path, f"has the shape {shape}, not ({MEL_BANDS}, frames)")
        needed = shape[0] * shape[1] * dtype.itemsize
        if file.tell() - offset + needed > size:
            raise AudioError(track.path, f"is cut short: {size:,} bytes, too few for the shape {shape}")
        if decode:
            values = np.frombuffer(file.read(needed), dtype)
            if not np.isfinite(values).all():
                raise AudioError(track.path, "holds NaN or infinite values")
            if values.min() == values.max():
                raise AudioError(track.path, "holds one value throughout")
    return float(shape[1] / MEL_FRAMES_PER_SECOND)


def _report(corpus: Corpus, outcomes: Sequence[_Outcome], decoded: bool) -> CheckReport:
    counts = dict.fromkeys(corpus.genres, 0)
    totals = dict.fromkeys(corpus.genres, 0.0)
    lengths: list[float] = []
    problems: list[Problem] = []
    for track, outcome in zip(corpus.tracks, outcomes, strict=True):
        if outcome.reason is not None:
            problems.append(Problem(track.id, track.path, outcome.reason))
            continue
        counts[track.genre] += 1
        if outcome.seconds is not None:
            totals[track.genre] += outcome.seconds
            lengths.append(outcome.seconds)
    return CheckReport(
        corpus=corpus.name,
        checked=len(outcomes),
        usable=len(outcomes) - len(problems),
        decoded=decoded,
        seconds=sum(lengths),
        shortest=min(lengths, default=None),
        longest=max(lengths, default=None),
        genres={genre: GenreSummary(counts[genre], totals[genre]) for genre in corpus.genres},
        problems=tuple(problems),
        skipped=corpus.skipped,
    )

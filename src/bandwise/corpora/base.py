"""What a corpus is: tracks with a genre, and what is known of who made them.

A corpus knows no model. It says which tracks there are (``Track``), in which order the genres are numbered
(``Corpus.genres``), and by what tracks may be grouped so that folds do not share an artist or a groove.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bandwise.errors import BandwiseError

AUDIO_SUFFIXES = frozenset(
    ".wav .wave .au .snd .aif .aiff .aifc .flac .ogg .oga .opus .mp3 .m4a .m4b .aac .mp4 .wma .webm .mka .caf".split()
)


@dataclass(frozen=True, slots=True)
class Track:
    """One labelled item.

    Attributes:
        id: Unique in its corpus and the same on every machine (a relative path without suffix, a song id).
        genre: Its label, one of ``Corpus.genres``.
        path: The audio file, or the ``.npy`` or ``.tar`` file that holds its mel array.
        groups: Who or what it shares with others: ``{"artist": …}``, ``{"groove": …, "style": …}``.
        split: ``"train"``, ``"valid"`` or ``"test"`` where the corpus itself says so.
        fold: The test fold where the corpus itself says so.
        start: Where in the file the track begins, in seconds; ``None`` means the beginning.
        end: Where in the file it ends, in seconds; ``None`` means the end.
        member: ``(offset, size)`` in bytes of an array inside a ``.tar``; ``None`` for a file of its own.
    """

    id: str
    genre: str
    path: str
    groups: Mapping[str, str] = field(default_factory=dict)
    split: str | None = None
    fold: int | None = None
    start: float | None = None
    end: float | None = None
    member: tuple[int, int] | None = None


@dataclass(frozen=True)
class Corpus:
    """Labelled tracks.

    Attributes:
        name: Its kind, such as ``"gtzan"``.
        root: The folder or table it was read from.
        tracks: In a fixed order.
        genres: In the order of the class index.
        content: ``"audio"``: files to decode; ``"mel"``: log-mel arrays ``(48, T)`` made by the data set.
        frontend: The front end that the paper, or the data set, uses with it.
        group: The grouping that folds keep together by default; ``None`` where none is known.
        skipped: ``(what, why)`` for each item left out, so that a loader never drops anything silently.
        caveat: A sentence that must stand wherever figures on this corpus are shown; may be empty.
    """

    name: str
    root: Path
    tracks: tuple[Track, ...]
    genres: tuple[str, ...]
    content: str = "audio"
    frontend: str = "gtzan"
    group: str | None = None
    skipped: tuple[tuple[str, str], ...] = ()
    caveat: str = ""

    def __post_init__(self) -> None:
        if not self.tracks:
            raise BandwiseError(f"no usable tracks in {self.root} (read as {self.name})" + self._why_empty())
        if len({track.id for track in self.tracks}) != len(self.tracks):
            seen: set[str] = set()
            twice = next(t.id for t in self.tracks if t.id in seen or seen.add(t.id))  # type: ignore[func-returns-value]
            raise BandwiseError(f"{self.root}: two tracks are called {twice!r}; each needs a name of its own")

    def _why_empty(self) -> str:
        if not self.skipped:
            return ""
        what, why = self.skipped[0]
        return f": {len(self.skipped)} were left out, the first one {what}: {why}"

    @property
    def groupings(self) -> tuple[str, ...]:
        """The names by which every track can be grouped."""
        first, *rest = self.tracks
        names = set(first.groups)
        for track in rest:
            names &= set(track.groups)
        return tuple(sorted(names))

    def counts(self) -> dict[str, int]:
        """Tracks per genre, in class order."""
        counts = dict.fromkeys(self.genres, 0)
        for track in self.tracks:
            counts[track.genre] += 1
        return counts


@dataclass(frozen=True)
class CorpusInfo:
    """What ``bandwise data list`` and ``data info`` tell about a kind of corpus before anyone has it.

    Attributes:
        name: The word before the colon in ``--corpus name:/path``.
        title: One line.
        get: Where it comes from and what to do to have it.
        layout: What the folder must look like.
        license: Terms, as its makers state them.
        citation: The publication to cite.
        load: Reads it from a path. Options differ by corpus.
    """

    name: str
    title: str
    get: str
    layout: str
    license: str
    citation: str
    load: Callable[..., Corpus]

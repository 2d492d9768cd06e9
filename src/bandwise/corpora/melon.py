"""The Melon Playlist Dataset: log-mel arrays of 649,091 songs, labelled by 28 major or 224 detail genres.

A genre is known by its code, because names repeat (GN0600 and GN1000 are both rock/metal, Korean and foreign). The
labels follow the paper: songs with exactly one major genre, ``GN9000`` read as the ``GN3000`` it stands for, and
``GN1500`` (OST) and ``GN2500`` (idol group) left out.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from sys import intern
from typing import Any

from bandwise.corpora.base import Corpus, CorpusInfo, Track
from bandwise.corpora.scan import Skip, capped, numbered_files
from bandwise.corpora.tars import arrays_in_tar
from bandwise.errors import BandwiseError
from bandwise.files import read_json
from bandwise.progress import SILENT, Progress

EXCLUDED = {"GN1500": "OST", "GN2500": "idol group"}
_NAMES = (
    "0100 ballad|0200 dance|0300 rap/hip-hop|0400 R&B/soul|0500 indie|0600 rock/metal|"
    "0700 adult contemporary (trot)|0800 folk/blues|0900 pop|1000 rock/metal|1100 electronica|1200 rap/hip-hop|"
    "1300 R&B/soul|1400 folk/blues/country|1500 OST|1600 classical|1700 jazz|1800 new age|1900 J-pop|2000 world|"
    "2100 CCM|2200 children/prenatal|2300 religious|2400 Korean traditional|2500 idol|2600 electronica|2700 EDM|"
    "2800 music therapy|2900 musical|3000 carol"
)
MAJOR_NAMES = {f"GN{entry[:4]}": entry[5:] for entry in _NAMES.split("|")}


@dataclass(frozen=True, slots=True)
class _Song:
    """What is kept of an entry of song_meta.json; the file's other fields would fill gigabytes."""

    id: int | None
    majors: tuple[str, ...]
    details: tuple[str, ...]
    artist: str | None


def load(root: Path, level: str = "major", progress: Progress = SILENT) -> Corpus:
    """Read the Melon Playlist Dataset.

    Args:
        root: The folder of ``song_meta.json`` and of the arrays: ``arena_mel/{id // 1000}/{id}.npy`` or
            ``arena_mel_{n}.tar``, both in ``root`` or in ``root/arena_mel``.
        level: ``"major"``: 28 classes. ``"detail"``: of the same songs those with one detail code; a major genre's
            own "all details" code (it ends in 01) counts only where it stands alone.
        progress: Told of each tar.

    Returns:
        Tracks named by song id. ``genres`` are codes in the order of their first appearance in ``song_meta.json``
        among the songs with a label, whether or not their arrays are here: the class index of the authors'
        checkpoints, and the same for part of the data as for all of it. The group is the first artist.

    Raises:
        BandwiseError: ``song_meta.json`` is absent or not what it should be, or no array is found.
    """
    if level not in ("major", "detail"):
        raise BandwiseError(f"Melon has no label level {level!r}: choose major or detail")
    songs = _songs(root)
    damage: list[Skip] = []
    arrays = _arrays(root, damage, progress)
    if not arrays:
        reasons = "".join(f" ({what}: {why})" for what, why in damage)
        raise BandwiseError(f"{root} has song_meta.json but no arrays{reasons}: expected {INFO.layout}. {INFO.get}")

    left_out: Counter[str] = Counter()
    absent: list[Skip] = []
    genres: dict[str, None] = {}
    tracks: list[Track] = []
    artists: dict[str, dict[str, str]] = {}  # songs of one artist share one mapping
    nameless = 0
    for song in songs:
        label, reason = _label(song, level)
        if song.id is None or label is None:
            left_out[reason or "no id"] += 1
            continue
        genres.setdefault(label)
        if song.id not in arrays:
            absent.append((str(song.id), "no array"))
            continue
        path, member = arrays[song.id]
        nameless += song.artist is None
        artist = song.artist or f"unknown ({song.id})"
        groups = artists.setdefault(artist, {"artist": artist})
        tracks.append(Track(id=str(song.id), genre=label, path=path, groups=groups, member=member))
    counted = [(f"{count:,} songs", reason) for reason, count in left_out.most_common()]
    return Corpus(
        name="melon" if level == "major" else "melon-detail",
        root=root,
        tracks=tuple(tracks),
        genres=tuple(genres),
        content="mel",
        frontend="melon",
        group="artist",
        skipped=(*counted, *damage, *capped(absent)),
        caveat=f"The artist of {nameless:,} songs is not known; each counts as its own." if nameless else "",
    )


def genre_names(root: Path) -> dict[str, str]:
    """The names of the genre codes, for display only: they repeat.

    Args:
        root: The data set's folder; its ``genre_gn_all.json`` (Korean) goes before the English names known here.

    Returns:
        Code → name, for the 30 major codes at least.
    """
    path = root / "genre_gn_all.json"
    names = dict(MAJOR_NAMES)
    if path.exists():
        found = read_json(path)
        if not isinstance(found, dict):
            raise BandwiseError(f"{path} is not an object of code and name")
        names |= {_corrected(str(code)): str(name) for code, name in found.items()}
    return names


def _label(song: _Song, level: str) -> tuple[str | None, str]:
    """The song's label, or ``None`` and the reason why it has none."""
    if len(song.majors) != 1:
        return None, "more than one major genre" if song.majors else "no major genre"
    (major,) = song.majors
    if major in EXCLUDED:
        return None, f"{major} ({EXCLUDED[major]}), which the paper leaves out"
    if level == "major":
        return major, ""
    own = [code for code in song.details if code[:4] == major[:4]]
    # "GN0101" stands for all of GN0100 and accompanies the finer codes: it is a label only on its own.
    fine = [code for code in own if not code.endswith("01")] or own
    if len(fine) != 1:
        return None, "more than one detail genre" if fine else "no detail genre"
    return fine[0], ""


def _songs(root: Path) -> list[_Song]:
    path = root / "song_meta.json"
    if not path.is_file():
        raise BandwiseError(f"{root} has no song_meta.json, so it is not the Melon Playlist Dataset. {INFO.get}")
    try:
        with path.open(encoding="utf-8-sig") as handle:
            # Each entry is slimmed as soon as it is parsed: 700,000 whole ones would take about 2 GB.
            songs = json.load(handle, object_hook=_slim)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BandwiseError(f"{path} is not valid JSON ({error}): fetch it again") from None
    if not isinstance(songs, list) or not songs or not all(isinstance(song, _Song) for song in songs):
        raise BandwiseError(f"{path} is not a list of songs")
    ids = Counter(song.id for song in songs if song.id is not None)
    if not ids:
        raise BandwiseError(f"{path} lists {len(songs):,} entries, but none has an id")
    twice = next((song for song, count in ids.items() if count > 1), None)
    if twice is not None:
        raise BandwiseError(f"{path} lists song {twice} more than once: fetch it again")
    return songs


def _slim(entry: dict[str, Any]) -> _Song:
    number = str(entry.get("id", entry.get("_id")))
    artists = entry.get("artist_id_basket") or []
    artists = artists if isinstance(artists, list) else [artists]
    return _Song(
        id=int(number) if number.isascii() and number.isdecimal() else None,
        majors=_codes(entry.get("song_gn_gnr_basket")),
        details=_codes(entry.get("song_gn_dtl_gnr_basket")),
        artist=intern(str(artists[0])) if artists else None,
    )


def _codes(basket: Any) -> tuple[str, ...]:
    """A basket's distinct codes in order, the misprint put right."""
    codes = basket if isinstance(basket, list) else []
    return tuple(dict.fromkeys(intern(_corrected(str(code))) for code in codes if code))


def _corrected(code: str) -> str:
    return f"GN30{code[4:]}" if code.startswith("GN90") else code


def _arrays(root: Path, damage: list[Skip], progress: Progress) -> dict[int, tuple[str, tuple[int, int] | None]]:
    """Where each song's array lies: ``(file, None)`` or ``(tar, (offset, size))``; unpacked files go first."""
    found: dict[int, tuple[str, tuple[int, int] | None]] = {}
    for base in (root / "arena_mel", root):
        for number, path in numbered_files(base, "npy", per_folder=1000):
            found.setdefault(number, (path, None))
    tars = list(_tars(root))
    with progress.task("reading the tars' lists", len(tars), "tars") as task:
        for tar in tars:
            task.describe(tar.name)
            for number, member in arrays_in_tar(tar, damage):
                found.setdefault(number, (str(tar), member))
            task.advance()
    return found


def _tars(root: Path) -> Iterator[Path]:
    for base in (root, root / "arena_mel"):
        yield from sorted(path for path in base.glob("arena_mel_*.tar") if path.is_file())


INFO = CorpusInfo(
    name="melon",
    title="Melon Playlist Dataset: mel arrays of 612,774 songs, 28 genres (the paper's second corpus)",
    get=(
        "Register and download it for research at https://arena.kakao.com/melon_dataset (about 240 GB): "
        "song_meta.json, genre_gn_all.json and arena_mel_0.tar to arena_mel_39.tar."
    ),
    layout="song_meta.json, genre_gn_all.json and arena_mel/{id // 1000}/{id}.npy or arena_mel_{n}.tar",
    license="for research, on the terms accepted at registration; log-mel arrays only, no audio",
    citation="A. Ferraro et al.: Melon Playlist Dataset. ICASSP 2021, pp. 536-540.",
    load=load,
)
DETAIL_INFO = CorpusInfo(
    name="melon-detail",
    title="Melon Playlist Dataset, labelled by the 224 detail codes",
    get=INFO.get,
    layout=INFO.layout,
    license=INFO.license,
    citation=INFO.citation,
    load=partial(load, level="detail"),
)

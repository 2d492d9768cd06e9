"""FMA, the Free Music Archive's data set: clips of 30 s, its own split, artists known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bandwise.corpora.base import Corpus, CorpusInfo, Track
from bandwise.corpora.scan import Skip, capped, numbered_files
from bandwise.errors import BandwiseError

if TYPE_CHECKING:
    import pandas as pd

SUBSETS = ("small", "medium", "large")  # each holds those before it
_SPLITS = {"training": "train", "validation": "valid", "test": "test"}
# Published without usable audio: looked at when the corpus is opened, where a file of that name is there at all.
SILENT_IDS = frozenset({99134, 108925, 133297})
_COLUMNS = [("set", "split"), ("set", "subset"), ("track", "genre_top"), ("artist", "id")]


def load(root: Path, subset: str = "small") -> Corpus:
    """Read a subset of FMA.

    Args:
        root: The folder that holds ``fma_metadata`` and ``fma_small`` (or a larger one, which contains it), or one
            of these two folders.
        subset: ``"small"``, ``"medium"`` or ``"large"``; each holds the smaller ones.

    Returns:
        Tracks named by their six-digit id, labelled by top genre, with FMA's own split and artist. Genres in
        alphabetical order. Tracks without a top genre or without audio stand in ``skipped``.

    Raises:
        BandwiseError: ``tracks.csv`` or the audio folder is not found, or the table is not FMA's.
    """
    if subset not in SUBSETS:
        raise BandwiseError(f"FMA has no subset {subset!r}: choose small, medium or large")
    table = _read(_find_table(root))
    wanted = table[table["set", "subset"].isin(SUBSETS[: SUBSETS.index(subset) + 1])]
    labelled = wanted[wanted["track", "genre_top"].notna()]
    audio = _audio(root, subset)

    absent: list[Skip] = []
    tracks: list[Track] = []
    splits, _, genres, artists = (labelled[column] for column in _COLUMNS)
    for number, split, genre, artist in zip(labelled.index, splits, genres, artists, strict=True):
        name = f"{number:06d}"
        path = audio.get(number)
        if path is None:
            known = ", as is known of this track" if number in SILENT_IDS else ""
            absent.append((name, f"no audio file{known}"))
        elif number in SILENT_IDS and not _opens(path):
            absent.append((name, "its file holds no audio, as is known of this track"))
        else:
            groups = {"artist": str(artist)}
            tracks.append(Track(name, str(genre), path, groups, split=_SPLITS.get(str(split))))
    without = len(wanted) - len(labelled)
    counted = [(f"{without:,} tracks", "no top genre (track, genre_top) in tracks.csv")] if without else []
    return Corpus(
        name=f"fma-{subset}",
        root=root,
        tracks=tuple(tracks),
        genres=tuple(sorted(set(map(str, genres)))),
        group="artist",
        skipped=(*counted, *capped(absent)),
    )


def _read(path: Path) -> pd.DataFrame:
    """The four columns used of ``tracks.csv``, whose header takes two rows."""
    import pandas as pd

    try:
        columns: list[object] = [*pd.read_csv(path, header=[0, 1], index_col=0, nrows=0).columns]
        missing = [name for name in _COLUMNS if name not in columns]
        if missing:
            names = ", ".join("/".join(name) for name in missing)
            raise BandwiseError(
                f"{path} lacks the columns {names}: it must be FMA's tracks.csv with both header rows"
            )
        # pandas cannot choose among columns with names of two rows, and the whole table would take 1 GB: so the
        # body is read without them, by position. Its first row, "track_id", names the index.
        places = [0, *(columns.index(name) + 1 for name in _COLUMNS)]
        table = pd.read_csv(path, header=None, skiprows=2, index_col=0, usecols=places, dtype=str)[places[1:]]
        table.columns = pd.MultiIndex.from_tuples(_COLUMNS)
        table = table[table.index != "track_id"]
        table.index = table.index.astype(int)
    except (ValueError, IndexError, OSError) as error:
        if isinstance(error, BandwiseError):
            raise
        raise BandwiseError(f"{path} cannot be read as FMA's tracks.csv ({error})") from None
    return table


def _find_table(root: Path) -> Path:
    for folder in (root / "fma_metadata", root, root.parent / "fma_metadata"):
        if (folder / "tracks.csv").is_file():
            return folder / "tracks.csv"
    raise BandwiseError(f"no fma_metadata/tracks.csv in {root} or beside it. {INFO.get}")


def _audio(root: Path, subset: str) -> dict[int, str]:
    """The audio file of each track number, from the subset's folder or the larger ones that contain it."""
    names = [f"fma_{name}" for name in SUBSETS[SUBSETS.index(subset) :]]
    places = [parent / name for name in names for parent in (root, root.parent)]
    if root.name in names or not any(place.is_dir() for place in places):
        places.insert(0, root)
    found: dict[int, str] = {}
    for place in places:
        for number, path in numbered_files(place, "mp3", per_folder=1000):
            found.setdefault(number, path)
    if not found:
        raise BandwiseError(f"no audio of FMA {subset} in {root}: looked for {', '.join(names)}. {_get(subset)}")
    return found


def _opens(path: str) -> bool:
    import soundfile

    try:
        return bool(soundfile.info(path).frames > 0)
    except (soundfile.SoundFileError, OSError):
        return False


def _get(subset: str) -> str:
    return f"bandwise data download fma-{subset} --to data/fma"


def _info(subset: str, title: str) -> CorpusInfo:
    return CorpusInfo(
        name=f"fma-{subset}",
        title=title,
        get=_get(subset),
        layout=f"fma_metadata/tracks.csv and fma_{subset}/{{id:06d}}[:3]/{{id:06d}}.mp3",
        license="metadata CC BY 4.0; each track under the Creative Commons terms its artist chose; for research",
        citation="M. Defferrard et al.: FMA: A Dataset for Music Analysis. ISMIR 2017.",
        load=partial(load, subset=subset),
    )


INFO = _info("small", "FMA small: 8,000 clips of 30 s, 8 balanced genres (7.2 GiB)")
MEDIUM_INFO = _info("medium", "FMA medium: 25,000 clips of 30 s, 16 genres (22 GiB)")
LARGE_INFO = _info("large", "FMA large: 106,574 clips of 30 s, those with a top genre (93 GiB)")

"""GTZAN: 1,000 clips of 30 s in ten genres, in any of the layouts it is found in."""

from __future__ import annotations

import re
from pathlib import Path

from bandwise.corpora.base import Corpus, CorpusInfo, Track
from bandwise.corpora.scan import Skip, is_hidden
from bandwise.errors import BandwiseError

GENRES = tuple("blues classical country disco hiphop jazz metal pop reggae rock".split())
# Unreadable in the copy that most people have; it is looked at when the corpus is opened.
DAMAGED = "jazz/jazz.00054"
_BELOW = (".", "genres_original", "genres", "Data/genres_original", "Data/genres", "data/genres_original")
_CAVEAT = (
    "GTZAN has known faults (replicas, mislabelled clips, few artists per genre): folds drawn at random by song "
    "overstate accuracy by 10 to 15 points."
)


def load(root: Path) -> Corpus:
    """Read GTZAN from a folder.

    Args:
        root: The folder of the ten genre folders, or one above it (``genres_original``, ``genres``,
            ``Data/genres_original``). Clips may be ``.wav`` or ``.au``.

    Returns:
        Tracks called ``"blues/blues.00004"``; genres in alphabetical order, those present. What is missing stands in
        ``skipped``, and so does ``jazz/jazz.00054`` where it cannot be opened.

    Raises:
        BandwiseError: There is no clip of any genre in the places looked at.
    """
    home = _find(root)
    tracks: list[Track] = []
    skipped: list[Skip] = []
    for genre in GENRES:
        clips = _clips(home / genre, genre, skipped)
        if not clips:
            skipped.append((genre, f"no clips of this genre in {home}"))
        for clip in clips:
            name = f"{genre}/{clip.stem}"
            if name == DAMAGED and (fault := _fault(clip)):
                skipped.append((f"{genre}/{clip.name}", f"cannot be opened ({fault}); known of the common copy"))
                continue
            tracks.append(Track(id=name, genre=genre, path=str(clip)))
    present = {track.genre for track in tracks}
    return Corpus(
        name="gtzan",
        root=root,
        tracks=tuple(tracks),
        genres=tuple(genre for genre in GENRES if genre in present),
        frontend="gtzan",
        skipped=tuple(skipped),
        caveat=_CAVEAT,
    )


def _find(root: Path) -> Path:
    """The folder that holds the genre folders: the first place with a clip in it."""
    places = [root / below for below in _BELOW]
    for place in places:
        if any(_clips(place / genre, genre, []) for genre in GENRES):
            return place
    raise BandwiseError(
        f"{root} holds no GTZAN clips: looked for <genre>/<genre>.00000.wav (or .au) in it and in "
        f"{', '.join(_BELOW[1:])}. {INFO.get}"
    )


def _clips(folder: Path, genre: str, skipped: list[Skip]) -> list[Path]:
    """The clips of one genre in order, one for each number, the ``.wav`` where there is an ``.au`` too."""
    if not folder.is_dir():
        return []
    pattern = re.compile(rf"{genre}\.\d{{5}}\.(wav|au)", re.IGNORECASE)
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.stem, path.suffix.lower() != ".wav")):
        if is_hidden(path.name) or not pattern.fullmatch(path.name) or not path.is_file():
            continue
        if path.stem in found:
            skipped.append((f"{genre}/{path.name}", f"the same clip as {found[path.stem].name}, which is used"))
        else:
            found[path.stem] = path
    return list(found.values())


def _fault(clip: Path) -> str:
    """Why a clip cannot be opened, or an empty string; only its header is read."""
    import soundfile

    try:
        return "" if soundfile.info(str(clip)).frames > 0 else "no samples"
    except (soundfile.SoundFileError, OSError) as error:
        return str(error).rsplit(": ", 1)[-1].rstrip(".")


INFO = CorpusInfo(
    name="gtzan",
    title="GTZAN: 1,000 clips of 30 s, 10 genres (the paper's first corpus)",
    get=(
        "GTZAN cannot be fetched for you: take it from Kaggle "
        "(andradaolteanu/gtzan-dataset-music-genre-classification) or the genres.tar.gz of the Marsyas project, and "
        "give the folder that holds genres_original or genres."
    ),
    layout="genres_original/<genre>/<genre>.000NN.wav, Data/genres_original/… or genres/<genre>/<genre>.000NN.au",
    license="none stated; excerpts of commercial recordings, used for research",
    citation="G. Tzanetakis, P. Cook: Musical genre classification of audio signals. IEEE TSAP 10(5), 2002.",
    load=load,
)

"""mma10: ten genres of synthesised accompaniment, built by ``mma_build`` where MMA and fluidsynth are installed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bandwise.corpora.base import Corpus, CorpusInfo, Track
from bandwise.corpora.mma_build import ABOUT, LICENSE, MANIFEST, SETTINGS
from bandwise.corpora.mma_grooves import INSTALL
from bandwise.errors import BandwiseError

GROUPINGS = ("groove", "style")
_NEEDED = ("id", "genre", "family", "style")


def load(root: Path, *, group: str = "groove") -> Corpus:
    """Read a built mma10.

    Args:
        root: The folder it was built in.
        group: What folds keep together by default. ``"groove"``: a groove and its variants (same style file, same
            name without Sus, Plus and numbers). ``"style"``: whole style files, the stricter test.

    Returns:
        Tracks called ``"blues/blues.00004"`` with both groups; clips that are gone stand in ``skipped``.

    Raises:
        BandwiseError: It was not built, or not to the end, or ``group`` is neither of the two.
    """
    if group not in GROUPINGS:
        raise BandwiseError(f"mma10 can be grouped by {' or '.join(GROUPINGS)}, not by {group!r}")
    build = f"bandwise data build mma10 --to {root}"
    if not (root / SETTINGS).is_file():
        raise BandwiseError(f"{root} holds no mma10: {build}")
    if not (root / MANIFEST).is_file():
        raise BandwiseError(f"{root} holds an mma10 whose build was not finished: run it again ({build})")
    tracks: list[Track] = []
    skipped: list[tuple[str, str]] = []
    for record in _records(root / MANIFEST):
        name, genre = record["id"], record["genre"]
        path = root / "audio" / f"{name}.flac"
        if path.is_file():
            groups = {"groove": record["family"], "style": record["style"]}
            tracks.append(Track(id=name, genre=genre, path=str(path), groups=groups))
        else:
            skipped.append((name, f"{path} is missing"))
    return Corpus(
        name="mma10",
        root=root,
        tracks=tuple(tracks),
        genres=tuple(sorted({track.genre for track in tracks})),
        frontend="gtzan",
        group=group,
        skipped=tuple(skipped),
        caveat=ABOUT,
    )


def _records(path: Path) -> list[dict[str, Any]]:
    """The manifest's lines, each checked for what a track needs."""
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise BandwiseError(f"{path}, line {number} is not JSON ({error}): run the build again") from None
        if not isinstance(record, dict) or not all(isinstance(record.get(name), str) for name in _NEEDED):
            raise BandwiseError(f"{path}, line {number} lacks one of {', '.join(_NEEDED)}: run the build again")
        records.append(record)
    return records


INFO = CorpusInfo(
    name="mma10",
    title="mma10: synthesised accompaniment, 10 genres, built on your machine",
    get=f"bandwise data build mma10 --to data/mma10 (first: {INSTALL})",
    layout=f"{SETTINGS}, {MANIFEST} and audio/<genre>/<genre>.000NN.flac, as the build leaves them",
    license=LICENSE,
    citation="B. van der Poel: MMA, Musical MIDI Accompaniment. https://www.mellowood.ca/mma/",
    load=load,
)

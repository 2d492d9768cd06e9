"""A folder of audio with a folder for each genre: ``<root>/<genre>/**/*.flac``."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from bandwise.corpora.base import AUDIO_SUFFIXES, Corpus, CorpusInfo, Track
from bandwise.corpora.scan import Skip, capped, folders, is_hidden, printable
from bandwise.errors import BandwiseError


def load(root: Path) -> Corpus:
    """Read every audio file below the genre folders of ``root``.

    Args:
        root: The folder that holds one folder for each genre; deeper folders are read too.

    Returns:
        Tracks named by their path from ``root`` without suffix, genres by name. Where every track lies in a deeper
        folder (an album, an artist), they can be grouped by ``"folder"``. Other files, empty genre folders and files
        outside any genre folder stand in ``skipped``.

    Raises:
        BandwiseError: ``root`` is not a folder, or holds no audio in genre folders.
    """
    if not root.is_dir():
        raise BandwiseError(f"{root} is not a folder; for a list of files write table:{root}")
    skipped: list[Skip] = [
        (printable(path.name), "not in a genre folder")
        for path in sorted(root.iterdir())
        if path.suffix.lower() in AUDIO_SUFFIXES and not is_hidden(path.name) and not path.is_dir()
    ]
    files: list[tuple[str, str, str]] = []  # relative path, genre, path
    for folder in folders(root):
        before = len(files)
        for path in _walk(folder, skipped):
            relative = unicodedata.normalize("NFC", path.relative_to(root).as_posix())
            if printable(relative) == relative:
                files.append((relative, relative.split("/")[0], str(path)))
            else:
                skipped.append((printable(relative), "its name is not valid UTF-8: rename it"))
        if len(files) == before:
            skipped.append((printable(f"{folder.name}/"), "a genre folder without audio"))
    files.sort()
    names = short_names([relative for relative, _, _ in files])
    tracks = [
        Track(id=name, genre=genre, path=path, groups=_groups(relative))
        for name, (relative, genre, path) in zip(names, files, strict=True)
    ]
    return Corpus(
        name="folder",
        root=root,
        tracks=tuple(tracks),
        genres=tuple(sorted({track.genre for track in tracks})),
        skipped=tuple(capped(skipped)),
    )


def short_names(paths: Sequence[str]) -> list[str]:
    """Name files by their path without suffix, and keep the suffix where two would be called the same.

    >>> short_names(["rock/a.wav", "rock/a.mp3", "rock/b.wav"])
    ['rock/a.wav', 'rock/a.mp3', 'rock/b']
    """
    names = [str(PurePosixPath(path).with_suffix("")) for path in paths]
    # A kept suffix can collide in its turn (a.wav beside a.wav.flac), hence the loop; whole paths never do.
    while True:
        counts = Counter(names)
        if not any(counts[name] > 1 and name != path for name, path in zip(names, paths, strict=True)):
            return names
        names = [path if counts[name] > 1 else name for name, path in zip(names, paths, strict=True)]


def _walk(folder: Path, skipped: list[Skip], above: tuple[tuple[int, int], ...] = ()) -> Iterator[Path]:
    """Yield the audio files below ``folder``; links are followed, but not back into a folder above."""
    try:
        status = folder.stat()
        entries = sorted(folder.iterdir())
    except OSError as error:
        skipped.append((printable(folder), f"cannot be read ({error.strerror})"))
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        skipped.append((printable(folder), "a link back to a folder above it"))
        return
    for path in entries:
        if is_hidden(path.name):
            continue
        if path.is_dir():
            yield from _walk(path, skipped, (*above, here))
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            if path.is_file():
                yield path
            else:
                skipped.append((printable(path), "a broken link, or not a plain file"))


def _groups(relative: str) -> Mapping[str, str]:
    """The deeper folder that a file lies in, if it lies in one."""
    parent = relative.rpartition("/")[0]
    return {"folder": parent} if "/" in parent else {}


INFO = CorpusInfo(
    name="folder",
    title="Folder: your own audio, a folder for each genre",
    get="Sort your files into one folder for each genre and give the folder that holds these.",
    layout="<root>/<genre>/**/*.{wav,flac,mp3,ogg,opus,m4a,…}; hidden files are passed over",
    license="yours",
    citation="",
    load=load,
)

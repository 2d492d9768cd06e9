"""The corpora that can be opened by a word and a path: ``open_corpus("gtzan:/data/gtzan")``.

A kind's module is imported when it is asked for, so that looking a name up costs nothing.
"""

from __future__ import annotations

import difflib
import inspect
from importlib import import_module
from pathlib import Path

from bandwise.corpora.base import AUDIO_SUFFIXES, Corpus, CorpusInfo, Track
from bandwise.corpora.scan import expanded
from bandwise.errors import BandwiseError
from bandwise.progress import SILENT, Progress

__all__ = ["AUDIO_SUFFIXES", "Corpus", "CorpusInfo", "Track", "corpus_info", "list_corpora", "open_corpus"]

# kind -> module in this package and the name of its CorpusInfo there
_KINDS = {
    "mma10": ("mma", "INFO"),
    "gtzan": ("gtzan", "INFO"),
    "fma-small": ("fma", "INFO"),
    "fma-medium": ("fma", "MEDIUM_INFO"),
    "fma-large": ("fma", "LARGE_INFO"),
    "melon": ("melon", "INFO"),
    "melon-detail": ("melon", "DETAIL_INFO"),
    "folder": ("folder", "INFO"),
    "table": ("table", "INFO"),
}
_ALIASES = {"fma": "fma-small", "mma": "mma10"}


def list_corpora() -> tuple[CorpusInfo, ...]:
    """What each kind of corpus is, where it comes from and what its folder must look like."""
    return tuple(corpus_info(kind) for kind in _KINDS)


def corpus_info(kind: str) -> CorpusInfo:
    """What one kind of corpus is.

    Args:
        kind: The word before the colon, such as ``"gtzan"`` or ``"fma-small"``.

    Raises:
        BandwiseError: No such kind; the message lists the choices.
    """
    name = _ALIASES.get(kind, kind)
    if name not in _KINDS:
        near = difflib.get_close_matches(kind, [*_KINDS, *_ALIASES], n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise BandwiseError(f"no kind of corpus is called {kind!r}: {hint}choose one of {', '.join(_KINDS)}")
    module, attribute = _KINDS[name]
    info = getattr(import_module(f"bandwise.corpora.{module}"), attribute)
    assert isinstance(info, CorpusInfo)
    return info


def open_corpus(spec: str, progress: Progress = SILENT) -> Corpus:
    """Open a corpus named by its kind and where it lies.

    Args:
        spec: ``"kind:path"``, such as ``"gtzan:/data/gtzan"`` or ``"table:~/songs.csv"``; ``~`` is expanded.
        progress: Where loaders that take long (Melon's tars) report.

    Raises:
        BandwiseError: No such kind, no path, or nothing usable there; the message says what to write or where to
            get the data.
    """
    kind, colon, where = spec.strip().partition(":")
    if not colon:
        raise BandwiseError(_say_kind(spec.strip()))
    info = corpus_info(kind.strip().lower())
    if not where.strip():
        raise BandwiseError(f"{spec!r} names no path: write {kind}:/path/to/the/data ({info.get})")
    root = expanded(where.strip())
    if not root.exists():
        raise BandwiseError(f"{root} does not exist; to have {info.name}: {info.get}")
    options = {"progress": progress} if "progress" in inspect.signature(info.load).parameters else {}
    try:
        return info.load(root, **options)
    except OSError as error:
        raise BandwiseError(f"{error.filename or root} cannot be read ({error.strerror or error})") from None


def _say_kind(text: str) -> str:
    """The error for a path, or a word, without a kind: what to write instead."""
    if text.lower() in _KINDS or text.lower() in _ALIASES:
        return f"{text!r} names no path: write {text}:/path/to/the/data ({corpus_info(text.lower()).get})"
    path = expanded(text)
    choices = ", ".join(_KINDS)
    if not path.exists():
        return f"{text!r} is not a corpus: write kind:/path, where kind is one of {choices}"
    return f"{text!r} does not say what kind of corpus it is: write {_guess(path)}:{text} (kinds: {choices})"


def _guess(path: Path) -> str:
    """The kind whose layout ``path`` shows; ``folder`` where none is easily told."""
    if path.is_file():
        return "table"
    below = [path, path / "Data", path / "genres", path / "genres_original", path / "Data" / "genres_original"]
    if (path / "mma10.json").exists():
        return "mma10"
    if (path / "song_meta.json").exists():
        return "melon"
    if (path / "fma_metadata").exists() or (path / "tracks.csv").exists():
        return "fma-small"
    if any((folder / "blues").is_dir() and (folder / "hiphop").is_dir() for folder in below):
        return "gtzan"
    return "folder"

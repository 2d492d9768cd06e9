"""Folds: who is tested on whom.

Published lists where they exist (the GTZAN lists of the paper's authors, the fault-filtered lists, Melon's
``ver_k.txt``, FMA's own split, a table's columns); else seeded, stratified by genre, and grouped whenever the corpus
knows the artist or the groove. The paper's scheme: fold k is tested on part k, validated on part k + 1 (the last on
the first), trained on the others. Every run saves its folds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bandwise.corpora.base import Corpus, Track
from bandwise.errors import BandwiseError
from bandwise.files import read_json, write_json, write_text

MELON_LISTS = "mgc_kfold"  # the folder of ver_k.txt, beside Melon's metadata


@dataclass(frozen=True)
class Fold:
    """Track ids of one round."""

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """All rounds of a cross-validation.

    Attributes:
        folds: In order; fold k of the paper is ``folds[k - 1]``.
        scheme: In words, for reports ("stratified, grouped by groove, seed 0").
        group: The grouping that no two parts share, or ``None``.
        published: Whether the lists were made by somebody else.
        dropped: Ids in a published list that the corpus does not have.
    """

    folds: tuple[Fold, ...]
    scheme: str
    group: str | None = None
    published: bool = False
    dropped: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.folds)

    def save(self, path: Path) -> None:
        """Write the folds as JSON."""
        write_json(path, {**vars(self), "folds": [vars(fold) for fold in self.folds]})

    @classmethod
    def load(cls, path: Path) -> Folds:
        """Read what ``save`` wrote."""
        read = read_json(path)
        try:
            folds = tuple(Fold(*(tuple(fold[part]) for part in ("train", "valid", "test"))) for fold in read["folds"])
            return cls(folds, read["scheme"], read["group"], read["published"], tuple(read["dropped"]))
        except (KeyError, TypeError):
            raise BandwiseError(f"{path} holds no folds as bandwise saves them") from None


def make_folds(
    corpus: Corpus, count: int = 10, *, seed: int = 0, group: str | None = "auto", lists: Path | None = None
) -> Folds:
    """Choose the folds of a corpus as this module's first lines say.

    Args:
        corpus: The corpus.
        count: Number of folds where they are made here.
        seed: Of the shuffling.
        group: A grouping of the corpus to keep together, ``None`` for none, ``"auto"`` for the corpus' own default.
        lists: A folder of published lists, or the ``folds.json`` of a run.

    Raises:
        BandwiseError: The folds cannot be made; the message says what to change.
    """
    if lists is None and corpus.content == "mel" and (corpus.root / MELON_LISTS).is_dir():
        lists = corpus.root / MELON_LISTS
    if lists is not None:
        return read_lists(corpus, lists)
    if group == "auto":
        if any(track.split for track in corpus.tracks):
            return own_split(corpus)
        if any(track.fold is not None for track in corpus.tracks):
            return own_folds(corpus)
        group = corpus.group
    return stratified(corpus, count, seed=seed, group=group)


def stratified(corpus: Corpus, count: int = 10, *, seed: int = 0, group: str | None = None) -> Folds:
    """Make seeded folds, stratified by genre; with ``group``, all tracks of a group fall into one part."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    if count < 3:
        raise BandwiseError(
            f"fold k is tested on one part and validated on the next, so at least 3 are needed, not {count}"
        )
    labels = [track.genre for track in corpus.tracks]
    groups = _groups(corpus, group) if group else [track.id for track in corpus.tracks]
    for genre in corpus.genres:
        held = len({g for g, label in zip(groups, labels, strict=True) if label == genre})
        if held < count:
            what = f"{group} groups" if group else "tracks"
            raise BandwiseError(
                f"{count} folds need {count} {what} of every genre, but {genre!r} has {held}: "
                f"use --folds {held}" + (" or another --group" if group else "")
                if held >= 3
                else f"genre {genre!r} has {held} {what}; cross-validation needs at least 3, better {count}"
            )
    placeholder = np.zeros(len(labels))
    if group:
        splits = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(placeholder, labels, groups)
    else:
        splits = StratifiedKFold(count, shuffle=True, random_state=seed).split(placeholder, labels)
    parts = [[corpus.tracks[i].id for i in test] for _, test in splits]
    scheme = f"stratified by genre, {f'grouped by {group}' if group else 'random by track'}, seed {seed}"
    folds = Folds(rotate(parts), scheme, group)
    _check(corpus, folds)
    return folds


def rotate(parts: Sequence[Sequence[str]]) -> tuple[Fold, ...]:
    """Apply the paper's scheme: test on part k, validate on part k + 1, train on the rest."""
    n = len(parts)
    return tuple(
        Fold(
            train=tuple(i for j in range(n) if j not in (k, (k + 1) % n) for i in parts[j]),
            valid=tuple(parts[(k + 1) % n]),
            test=tuple(parts[k]),
        )
        for k in range(n)
    )


def read_lists(corpus: Corpus, path: Path) -> Folds:
    """Read published lists, told apart by their file names.

    ``1_fold.txt`` … (GTZAN, a file a part), ``train.txt valid.txt test.txt`` (fault-filtered GTZAN),
    ``ver_1.txt`` … (Melon, three lines each), or the ``folds.json`` of an earlier run.
    """
    if path.is_file() and path.suffix == ".json":
        folds = Folds.load(path)
        return _restrict(corpus, folds.folds, folds.scheme, folds.group, folds.published)
    if not path.is_dir():
        raise BandwiseError(f"{path} is neither a folder of fold lists nor a folds.json")
    names = {entry.name for entry in path.iterdir()}
    numbered = sorted(int(m[1]) for n in names if (m := re.fullmatch(r"(\d+)_fold\.txt", n)))
    versions = sorted(int(m[1]) for n in names if (m := re.fullmatch(r"ver_(\d+)\.txt", n)))
    if numbered:
        if numbered != list(range(1, len(numbered) + 1)) or len(numbered) < 3:
            raise BandwiseError(f"{path} has the fold lists {numbered}; all of 1, 2, 3, … are needed")
        parts = [list(map(_song_key, _lines(path / f"{k}_fold.txt"))) for k in numbered]
        return _restrict(corpus, rotate(parts), f"published lists {path.name}, random by song", None, True)
    if {"train.txt", "valid.txt", "test.txt"} <= names:
        one = Fold(*(tuple(map(_song_key, _lines(path / f"{p}.txt"))) for p in ("train", "valid", "test")))
        return _restrict(corpus, [one], f"published split {path.name}", None, True)
    if versions:
        return _restrict(corpus, [_read_version(path / f"ver_{k}.txt") for k in versions],
                         f"published lists {path.name}", None, True)  # fmt: skip
    raise BandwiseError(
        f"{path} holds no fold lists: expected 1_fold.txt …, train.txt with valid.txt and test.txt, or ver_1.txt …"
    )


def write_versions(folds: Folds, directory: Path) -> None:
    """Write folds in Melon's form, ``ver_{k}.txt`` with three lines of ids: train, validation, test."""
    for k, fold in enumerate(folds.folds, start=1):
        write_text(directory / f"ver_{k}.txt", "".join(" ".join(ids) + "\n" for ids in vars(fold).values()))


def own_split(corpus: Corpus) -> Folds:
    """Take the one split that the corpus itself brings (FMA, a table's ``split`` column)."""
    parts: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for track in corpus.tracks:
        if track.split in parts:
            parts[track.split].append(track.id)
    for name, ids in parts.items():
        if not ids:
            raise BandwiseError(
                f"{corpus.root}: its own split has no {name} part; add one, or use --group none for folds"
            )
    without = tuple(track.id for track in corpus.tracks if track.split not in parts)
    one = (Fold(**{k: tuple(v) for k, v in parts.items()}),)
    return _own(corpus, Folds(one, f"{corpus.name}'s own split", None, True, without))


def own_folds(corpus: Corpus) -> Folds:
    """Take the parts that the corpus itself brings (a table's ``fold`` column)."""
    parts: dict[int, list[str]] = defaultdict(list)
    for track in corpus.tracks:
        if track.fold is None:
            raise BandwiseError(f"{corpus.root}: track {track.id!r} has no fold though others have one")
        parts[track.fold].append(track.id)
    if len(parts) < 3:
        raise BandwiseError(f"{corpus.root}: at least 3 different folds are needed, not {len(parts)}")
    return _own(corpus, Folds(rotate([parts[k] for k in sorted(parts)]), f"{corpus.name}'s own folds", None, True))


def _own(corpus: Corpus, folds: Folds) -> Folds:
    """Check what a corpus brings, and say where it lets an artist or groove into two parts."""
    _check(corpus, folds)
    if corpus.group is None:
        return folds
    group_of = {track.id: track.groups[corpus.group] for track in corpus.tracks}
    for fold in folds.folds:
        heard = {group_of[i] for i in fold.train + fold.valid}
        shared = len({group_of[i] for i in fold.test} & heard)
        if shared:
            return replace(
                folds, scheme=f"{folds.scheme}, in which {shared} {corpus.group} groups are in test and training"
            )
    return folds


def hold_out(corpus: Corpus, *, seed: int = 0, group: str | None = "auto", parts: int = 10) -> Fold:
    """Set one part in ``parts`` aside for validation and train on all others; the test part is empty."""
    if group == "auto":
        group = corpus.group
    fold = stratified(corpus, _most_parts(corpus, group, parts), seed=seed, group=group).folds[0]
    return Fold(train=fold.train + fold.test, valid=fold.valid, test=())


def _most_parts(corpus: Corpus, group: str | None, wanted: int) -> int:
    groups = _groups(corpus, group) if group else [track.id for track in corpus.tracks]
    held: dict[str, set[str]] = defaultdict(set)
    for g, track in zip(groups, corpus.tracks, strict=True):
        held[track.genre].add(g)
    return max(3, min(wanted, *(len(members) for members in held.values())))


def _groups(corpus: Corpus, group: str) -> list[str]:
    if group not in corpus.groupings:
        known = ", ".join(corpus.groupings) or "none"
        raise BandwiseError(f"{corpus.name} cannot be grouped by {group!r}; it knows: {known}")
    return [track.groups[group] for track in corpus.tracks]


def _song_key(line: str) -> str:
    """``genres_original/blues/blues.00004.wav`` → ``blues/blues.00004``, as the GTZAN loader names its tracks."""
    genre, name = line.replace("\\", "/").split("/")[-2:]
    return f"{genre}/{name.rsplit('.', 1)[0]}"


def _lines(path: Path) -> list[str]:
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    for line in lines:
        if "/" not in line and "\\" not in line:
            raise BandwiseError(f"{path}: a line reads {line!r}, not genre/file")
    return lines


def _read_version(path: Path) -> Fold:
    lines = path.read_text(encoding="utf-8").split("\n")
    if len([line for line in lines if line.strip()]) != 3:
        raise BandwiseError(f"{path} must have three lines of song ids: train, validation, test")
    return Fold(*(tuple(line.split()) for line in lines if line.strip()))


def _restrict(corpus: Corpus, folds: Iterable[Fold], scheme: str, group: str | None, published: bool) -> Folds:
    """Leave out listed tracks that the corpus lacks (the unreadable jazz.00054), and say which."""
    have = {track.id for track in corpus.tracks}
    dropped: dict[str, None] = {}

    def keep(ids: tuple[str, ...]) -> tuple[str, ...]:
        dropped.update(dict.fromkeys(i for i in ids if i not in have))
        return tuple(i for i in ids if i in have)

    kept = tuple(Fold(keep(f.train), keep(f.valid), keep(f.test)) for f in folds)
    for k, fold in enumerate(kept, start=1):
        if not fold.train or not fold.valid or not fold.test:
            raise BandwiseError(
                f"fold {k} of the lists has {len(fold.train)} training, {len(fold.valid)} validation and "
                f"{len(fold.test)} test tracks of this corpus ({len(dropped)} listed ones are missing, such as "
                f"{next(iter(dropped), '-')!r}): do the lists belong to {corpus.root}?"
            )
    result = Folds(kept, scheme, group, published, tuple(dropped))
    _check(corpus, result)
    return result


def _check(corpus: Corpus, folds: Folds) -> None:
    """Refuse folds in which a part meets another, by track or by group."""
    genre = {track.id: track.genre for track in corpus.tracks}
    key: Callable[[Track], str] = (lambda t: t.groups[folds.group]) if folds.group else (lambda t: t.id)  # type: ignore[index]
    group_of = {track.id: key(track) for track in corpus.tracks}
    for k, fold in enumerate(folds.folds, start=1):
        seen: dict[str, str] = {}
        for part in ("train", "valid", "test"):
            for track_id in getattr(fold, part):
                other = seen.setdefault(group_of[track_id], part)
                if other != part:
                    raise BandwiseError(f"fold {k}: {group_of[track_id]!r} is in both {other} and {part}")
        absent = set(genre.values()) - {genre[i] for i in fold.train}
        if absent:
            raise BandwiseError(f"fold {k} has no training track of {', '.join(sorted(absent))}")


def sizes(folds: Folds) -> list[Counter[str]]:
    """Count the tracks of every part, fold by fold."""
    return [Counter({part: len(ids) for part, ids in vars(fold).items()}) for fold in folds.folds]

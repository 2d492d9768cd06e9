"""Folds: nobody is trained and tested on, groups stay together, published lists are followed to the letter."""

from collections import Counter
from pathlib import Path

import pytest

from bandwise.corpora.base import Corpus, Track
from bandwise.errors import BandwiseError
from bandwise.splits import Folds, hold_out, make_folds, sizes, write_versions

SHARED = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the published fold lists (shared/) are not here")
GTZAN = "blues classical country disco hiphop jazz metal pop reggae rock".split()


def corpus(genres=("a", "b", "c"), per_genre=40, groups=10, **more):
    tracks = tuple(
        Track(f"{g}/{i}", g, f"/x/{g}/{i}.wav", {"artist": f"{g}-{i % groups}"})
        for g in genres
        for i in range(per_genre)
    )
    return Corpus("folder", Path("/x"), tracks, tuple(genres), **more)


def gtzan(missing=()):
    tracks = tuple(
        Track(f"{g}/{g}.{i:05d}", g, f"/x/{g}.{i:05d}.wav")
        for g in GTZAN
        for i in range(100)
        if f"{g}.{i:05d}" not in missing
    )
    return Corpus("gtzan", Path("/x"), tracks, tuple(GTZAN))


def check_partition(folds, tracks):
    ids = {t.id for t in tracks}
    tested = Counter(i for fold in folds.folds for i in fold.test)
    assert tested == Counter(ids)  # everybody is tested exactly once
    for k, fold in enumerate(folds.folds):
        assert set(fold.train) | set(fold.valid) | set(fold.test) == ids
        assert len(fold.train) + len(fold.valid) + len(fold.test) == len(ids)
        assert fold.valid == folds.folds[(k + 1) % len(folds)].test  # the paper's scheme


def test_stratified_folds():
    c = corpus()
    folds = make_folds(c, 10, seed=3, group=None)
    check_partition(folds, c.tracks)
    genre = {t.id: t.genre for t in c.tracks}
    for fold in folds.folds:
        assert Counter(genre[i] for i in fold.test) == {"a": 4, "b": 4, "c": 4}
    assert folds.folds == make_folds(c, 10, seed=3, group=None).folds
    assert folds.folds != make_folds(c, 10, seed=4, group=None).folds


def test_grouped_folds_keep_groups_together_and_genres_balanced():
    c = corpus(group="artist")
    folds = make_folds(c, 5)
    check_partition(folds, c.tracks)
    artist = {t.id: t.groups["artist"] for t in c.tracks}
    for fold in folds.folds:
        parts = [{artist[i] for i in ids} for ids in (fold.train, fold.valid, fold.test)]
        assert not parts[0] & parts[1]
        assert not parts[0] & parts[2]
        assert not parts[1] & parts[2]
    assert folds.group == "artist"
    assert all(size["test"] == 24 for size in sizes(folds))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"count": 2}, "at least 3"),
        ({"count": 12, "group": "artist"}, "12 artist groups of every genre, but 'a' has 10: use --folds 10"),
        ({"count": 50, "group": None}, "'a' has 40"),
        ({"group": "label"}, "cannot be grouped by 'label'; it knows: artist"),
    ],
)
def test_impossible_folds_say_why(arguments, words):
    with pytest.raises(BandwiseError, match=words):
        make_folds(corpus(), **arguments)


def test_one_song_of_a_genre():
    with pytest.raises(BandwiseError, match="genre 'a' has 1 tracks"):
        make_folds(corpus(per_genre=1), 10, group=None)


@needs_shared
def test_the_authors_lists():
    folds = make_folds(gtzan(), lists=SHARED / "gtzan_10_fold")
    check_partition(folds, gtzan().tracks)
    assert folds.published
    first = (SHARED / "gtzan_10_fold" / "1_fold.txt").read_text().split()
    assert list(folds.folds[0].test) == [line.removeprefix("genres_original/").removesuffix(".wav") for line in first]
    assert [size["train"] for size in sizes(folds)] == [800] * 10


@needs_shared
def test_a_missing_song_is_dropped_and_named():
    folds = make_folds(gtzan(missing={"jazz.00054"}), lists=SHARED / "gtzan_10_fold")
    assert folds.dropped == ("jazz/jazz.00054",)
    assert sum(len(fold.test) for fold in folds.folds) == 999


@needs_shared
def test_the_fault_filtered_split():
    folds = make_folds(gtzan(), lists=SHARED / "gtzan_fault_filtered")
    assert [dict(s) for s in sizes(folds)] == [{"train": 443, "valid": 197, "test": 290}]


def test_melon_versions_round_trip(tmp_path):
    tracks = tuple(Track(str(i), "ab"[i % 2], "x") for i in range(30))
    c = Corpus("melon", tmp_path, tracks, ("a", "b"), content="mel")
    folds = make_folds(c, 10, group=None)
    write_versions(folds, tmp_path / "mgc_kfold")
    assert len((tmp_path / "mgc_kfold" / "ver_10.txt").read_text().splitlines()) == 3
    assert make_folds(c, lists=tmp_path / "mgc_kfold").folds == folds.folds
    assert make_folds(c, seed=5).published  # found beside the metadata, and preferred
    (tmp_path / "mgc_kfold" / "ver_3.txt").write_text("1 2\n3\n")
    with pytest.raises(BandwiseError, match="three lines"):
        make_folds(c, lists=tmp_path / "mgc_kfold")


def test_a_runs_folds_round_trip(tmp_path):
    c = corpus(group="artist")
    folds = make_folds(c, 5)
    folds.save(tmp_path / "folds.json")
    again = make_folds(c, lists=tmp_path / "folds.json")
    assert again == folds
    (tmp_path / "folds.json").write_text("{}")
    with pytest.raises(BandwiseError, match="no folds as bandwise saves them"):
        Folds.load(tmp_path / "folds.json")


def own(split=None, fold=None):
    tracks = tuple(
        Track(f"{g}{i}", g, "x", split=split and split[i % len(split)], fold=fold and fold[i % len(fold)])
        for g in "ab"
        for i in range(6)
    )
    return Corpus("table", Path("t.csv"), tracks, ("a", "b"))


def test_a_corpus_own_split_and_folds_come_first():
    one = make_folds(own(split=["train", "train", "valid", "test"]))
    assert one.published
    assert [len(x) for x in (one.folds[0].train, one.folds[0].valid, one.folds[0].test)] == [8, 2, 2]
    three = make_folds(own(fold=[3, 1, 2]))
    assert three.folds[0].test == ("a1", "a4", "b1", "b4")
    some = make_folds(own(split=["train", "train", "valid", "test", None, None]))
    assert some.dropped == ("a4", "a5", "b4", "b5")
    with pytest.raises(BandwiseError, match="no valid part"):
        make_folds(own(split=["train", "test"]))
    with pytest.raises(BandwiseError, match="at least 3 different"):
        make_folds(own(fold=[1, 2]))


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "holds no fold lists"),
        ({"1_fold.txt": "a/1.wav", "3_fold.txt": "a/2.wav"}, r"has the fold lists \[1, 3\]"),
        ({"1_fold.txt": "x", "2_fold.txt": "y", "3_fold.txt": "z"}, "not genre/file"),
        ({f"{k}_fold.txt": f"other/{k}.wav" for k in (1, 2, 3)}, "do the lists belong to"),
        ({"train.txt": "a/1.w\nb/1.w\nc/1.w", "valid.txt": "a/2.w", "test.txt": "a/1.w"}, "in both train and test"),
        ({"train.txt": "a/1.w\nb/1.w", "valid.txt": "a/2.w", "test.txt": "a/3.w"}, "no training track of c"),
    ],
)
def test_bad_lists_say_why(tmp_path, files, words):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BandwiseError, match=words):
        make_folds(corpus(), lists=tmp_path)
    with pytest.raises(BandwiseError, match="neither a folder"):
        make_folds(corpus(), lists=tmp_path / "nowhere")


def test_holding_out_keeps_groups_apart():
    c = corpus(group="artist")
    fold = hold_out(c)
    artist = {t.id: t.groups["artist"] for t in c.tracks}
    assert not fold.test
    assert len(fold.train) + len(fold.valid) == 120
    assert not {artist[i] for i in fold.train} & {artist[i] for i in fold.valid}

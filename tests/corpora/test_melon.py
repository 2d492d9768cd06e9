import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from bandwise.corpora.melon import MAJOR_NAMES, genre_names, load
from bandwise.errors import BandwiseError

# id, major codes, detail codes, artists; what becomes of it
SONGS = [
    (0, ["GN0900"], ["GN0901"], [11]),
    (1, ["GN1500"], ["GN1501"], [12]),  # OST alone: left out
    (2, ["GN0900", "GN2500"], [], [13]),  # two genres
    (3, [], [], [14]),  # none
    (4, ["GN9000"], ["GN9001"], [15]),  # the misprint
    (5, ["GN2500"], [], [16]),  # idol: left out
    (6, ["GN0100", "GN0100"], ["GN0101", "GN0105"], [11, 99]),  # one distinct genre
    (7, ["GN3000"], ["GN3001"], [17]),
    (1500, ["GN0900"], ["GN0901", "GN0902", "GN0903"], [18]),  # two fine details
    (8, ["GN0700"], [], [19]),  # no array
]


def write_songs(root, songs=SONGS, **change):
    entries = [
        {
            "id": number,
            "song_gn_gnr_basket": majors,
            "song_gn_dtl_gnr_basket": details,
            "artist_id_basket": artists,
            "artist_name_basket": ["한국"] * len(artists),
            "album_id": 1,
            "song_name": "노래",
            "issue_date": "20140512" if number % 2 else 20140512,
        }
        for number, majors, details, artists in songs
    ]
    root.mkdir(parents=True, exist_ok=True)
    (root / "song_meta.json").write_text(json.dumps(entries, ensure_ascii=False), encoding="utf-8")


def mel(number, frames=6):
    return np.full((48, frames), number, np.float32)


def write_tree(base, numbers):
    for number in numbers:
        path = base / str(number // 1000) / f"{number}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, mel(number))


def write_tar(path, numbers, prefix=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        folder = tarfile.TarInfo(f"{prefix}0")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for number in numbers:
            buffer = io.BytesIO()
            np.save(buffer, mel(number))
            member = tarfile.TarInfo(f"{prefix}{number // 1000}/{number}.npy")
            member.size = buffer.tell()
            buffer.seek(0)
            archive.addfile(member, buffer)


def content(track):
    """The array, read by another way than the loader's."""
    if track.member is None:
        return np.load(track.path)
    offset, size = track.member
    with Path(track.path).open("rb") as handle:
        handle.seek(offset)
        return np.load(io.BytesIO(handle.read(size)))


ARRAYS = [0, 1, 2, 3, 4, 5, 6, 7, 1500]
KEPT = [("0", "GN0900"), ("4", "GN3000"), ("6", "GN0100"), ("7", "GN3000"), ("1500", "GN0900")]


def check_major(corpus):
    assert [(track.id, track.genre) for track in corpus.tracks] == KEPT
    # GN0700's only song has no array here, and still it keeps its place among the classes.
    assert corpus.genres == ("GN0900", "GN3000", "GN0100", "GN0700")
    assert [track.groups["artist"] for track in corpus.tracks] == ["11", "15", "11", "17", "18"]
    assert (corpus.group, corpus.content, corpus.frontend, corpus.name) == ("artist", "mel", "melon", "melon")
    for track in corpus.tracks:
        assert np.array_equal(content(track), mel(int(track.id)))


@pytest.mark.parametrize("below", ["arena_mel", "."])
def test_unpacked_tree(tmp_path, below):
    write_songs(tmp_path)
    write_tree(tmp_path / below, ARRAYS)
    corpus = load(tmp_path)
    check_major(corpus)
    reasons = dict(corpus.skipped)
    assert reasons["8"] == "no array"
    assert {what for what, why in corpus.skipped if "GN1500 (OST)" in why} == {"1 songs"}
    assert {what for what, why in corpus.skipped if "GN2500 (idol group)" in why} == {"1 songs"}
    assert ("1 songs", "more than one major genre") in corpus.skipped
    assert ("1 songs", "no major genre") in corpus.skipped
    assert len(corpus.skipped) == 5


@pytest.mark.parametrize(("below", "prefix"), [(".", ""), ("arena_mel", "arena_mel/"), (".", "./")])
def test_tars(tmp_path, below, prefix):
    write_songs(tmp_path)
    write_tar(tmp_path / below / "arena_mel_0.tar", ARRAYS[:4], prefix)
    write_tar(tmp_path / below / "arena_mel_1.tar", ARRAYS[4:], prefix)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    check_major(load(tmp_path))
    assert sorted(path.name for path in tmp_path.rglob("*")) == before  # nothing is written beside the data


def test_an_unpacked_array_goes_before_one_in_a_tar(tmp_path):
    write_songs(tmp_path)
    write_tar(tmp_path / "arena_mel_0.tar", ARRAYS)
    write_tree(tmp_path / "arena_mel", [0])
    corpus = load(tmp_path)
    check_major(corpus)
    assert [track.member is None for track in corpus.tracks] == [True, False, False, False, False]


@pytest.mark.parametrize("cut", ["data", "header", "block", "garbage", "end"])
def test_a_damaged_tar_gives_what_is_readable(tmp_path, cut):
    write_songs(tmp_path)
    whole = tmp_path / "arena_mel_0.tar"
    write_tar(whole, ARRAYS)
    with tarfile.open(whole) as archive:
        last = archive.getmembers()[-1]
    raw = whole.read_bytes()
    if cut == "data":
        whole.write_bytes(raw[: last.offset_data + 100])
    elif cut == "header":
        whole.write_bytes(raw[: last.offset + 200])
    elif cut == "block":
        whole.write_bytes(raw[: last.offset])
    elif cut == "garbage":
        whole.write_bytes(raw[: last.offset] + b"\x55" * 2048)
    else:
        whole.write_bytes(raw[: last.offset_data + last.size])
    corpus = load(tmp_path)
    expected = KEPT if cut == "end" else KEPT[:-1]
    assert [(track.id, track.genre) for track in corpus.tracks] == expected
    damage = [why for what, why in corpus.skipped if what == "arena_mel_0.tar"]
    assert len(damage) == 1
    assert f"the {9 if cut == 'end' else 8} arrays before that are used" in damage[0]


def test_tars_that_are_none(tmp_path):
    write_songs(tmp_path)
    write_tree(tmp_path / "arena_mel", ARRAYS)
    (tmp_path / "arena_mel_1.tar").write_bytes(b"")
    (tmp_path / "arena_mel_2.tar").write_bytes(b"<html>404</html>" * 100)
    corpus = load(tmp_path)
    check_major(corpus)
    assert {what for what, _ in corpus.skipped} >= {"arena_mel_1.tar", "arena_mel_2.tar"}


def test_detail_level(tmp_path):
    write_songs(tmp_path)
    write_tree(tmp_path / "arena_mel", ARRAYS)
    corpus = load(tmp_path, level="detail")
    assert [(track.id, track.genre) for track in corpus.tracks] == [
        ("0", "GN0901"),  # "all details" stands alone
        ("4", "GN3001"),
        ("6", "GN0105"),  # goes before "all details"
        ("7", "GN3001"),
    ]
    assert corpus.genres == ("GN0901", "GN3001", "GN0105")
    assert corpus.name == "melon-detail"
    assert ("1 songs", "more than one detail genre") in corpus.skipped
    with pytest.raises(BandwiseError, match="choose major or detail"):
        load(tmp_path, level="minor")


def test_odd_entries(tmp_path):
    entries = [
        {"_id": 3, "song_gn_gnr_basket": ["GN0100"], "artist_id_basket": []},
        {"id": "4", "song_gn_gnr_basket": ["GN0100"], "artist_id_basket": None},
        {"song_gn_gnr_basket": ["GN0100"]},
        {"id": 5, "song_gn_gnr_basket": ["GN0100"], "artist_id_basket": [7]},
        {"id": 6},
    ]
    (tmp_path / "song_meta.json").write_text(json.dumps(entries))
    write_tree(tmp_path / "arena_mel", [3, 4, 5, 6])
    (tmp_path / "arena_mel" / "0" / "._3.npy").write_bytes(b"x")
    (tmp_path / "arena_mel" / "7" / "5.npy").parent.mkdir()
    (tmp_path / "arena_mel" / "7" / "5.npy").write_bytes(b"misplaced")
    corpus = load(tmp_path)
    assert [(t.id, t.groups["artist"]) for t in corpus.tracks] == [
        ("3", "unknown (3)"),
        ("4", "unknown (4)"),
        ("5", "7"),
    ]
    assert corpus.tracks[2].path.endswith("arena_mel/0/5.npy")
    assert ("1 songs", "no id") in corpus.skipped
    assert "2 songs is not known" in corpus.caveat


def test_reports_of_many_missing_arrays_stay_short(tmp_path):
    write_songs(tmp_path, [(number, ["GN0100"], [], [1]) for number in range(1501)])
    write_tree(tmp_path / "arena_mel", [1500])
    skipped = load(tmp_path).skipped
    assert len(skipped) == 1001
    assert skipped[-1][0] == "500 more"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ('[{"id": 1,', "not valid JSON"),
        ('{"id": 1}', "not a list of songs"),
        ("[1, 2]", "not a list of songs"),
        ("[]", "not a list of songs"),
        ('[{"song": 1}]', "none has an id"),
        ('[{"id": 1}, {"id": 1}]', "song 1 more than once"),
    ],
)
def test_a_broken_song_list(tmp_path, text, match):
    (tmp_path / "song_meta.json").write_text(text)
    write_tree(tmp_path / "arena_mel", [1])
    with pytest.raises(BandwiseError, match=match):
        load(tmp_path)


def test_missing_pieces(tmp_path):
    with pytest.raises(BandwiseError, match=r"no song_meta.json.*arena\.kakao\.com"):
        load(tmp_path)
    write_songs(tmp_path)
    with pytest.raises(BandwiseError, match="no arrays"):
        load(tmp_path)
    (tmp_path / "arena_mel_0.tar").write_bytes(b"")
    with pytest.raises(BandwiseError, match=r"no arrays \(arena_mel_0.tar: cut short"):
        load(tmp_path)


def test_names_are_for_display_and_codes_are_the_key(tmp_path):
    assert len(MAJOR_NAMES) == 30
    assert MAJOR_NAMES["GN0600"] == MAJOR_NAMES["GN1000"] == "rock/metal"
    assert (MAJOR_NAMES["GN1500"], MAJOR_NAMES["GN2500"]) == ("OST", "idol")
    assert genre_names(tmp_path) == MAJOR_NAMES
    (tmp_path / "genre_gn_all.json").write_text(
        json.dumps({"GN0100": "발라드", "GN0105": "'10-", "GN9000": "크리스마스"}, ensure_ascii=False),
        encoding="utf-8",
    )
    names = genre_names(tmp_path)
    assert (names["GN0100"], names["GN0105"], names["GN0200"]) == ("발라드", "'10-", "dance")
    assert names["GN3000"] == "크리스마스"
    assert "GN9000" not in names
    (tmp_path / "genre_gn_all.json").write_text("[]")
    with pytest.raises(BandwiseError, match="code and name"):
        genre_names(tmp_path)

import numpy as np
import pandas as pd
import pytest
import soundfile

from bandwise.corpora import open_corpus
from bandwise.corpora.fma import load
from bandwise.errors import BandwiseError

COLUMNS = pd.MultiIndex.from_tuples(
    [
        ("album", "information"),
        ("artist", "id"),
        ("artist", "name"),
        ("set", "split"),
        ("set", "subset"),
        ("track", "genre_top"),
        ("track", "genres_all"),
    ]
)
LONG = 'told, at length, by "one"\nand another'
# id, artist, split, subset, genre
TRACKS = {
    2: (1, "training", "small", "Hip-Hop"),
    5: (1, "validation", "small", "Folk"),
    1010: (24, "test", "small", "Hip-Hop"),
    99134: (30, "training", "small", "Rock"),
    108925: (31, "training", "small", "Rock"),
    133297: (32, "training", "small", "Rock"),
    3000: (40, "training", "medium", "Jazz"),
    3001: (41, "training", "large", None),
    140000: (42, "test", "large", "Folk"),
}


def write_table(folder):
    rows = [
        [LONG, artist, "A, B", split, subset, genre, "[21, 7]"] for artist, split, subset, genre in TRACKS.values()
    ]
    frame = pd.DataFrame(rows, index=pd.Index(TRACKS, name="track_id"), columns=COLUMNS)
    folder.mkdir(parents=True)
    frame.to_csv(folder / "tracks.csv")
    return frame


def write_audio(folder, numbers):
    for number in numbers:
        path = folder / f"{number:06d}"[:3] / f"{number:06d}.mp3"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not opened when the corpus is")


@pytest.fixture
def root(tmp_path):
    write_table(tmp_path / "fma_metadata")
    write_audio(tmp_path / "fma_small", [2, 5, 1010])
    (tmp_path / "fma_small" / "000" / "._000002.mp3").write_bytes(b"x")
    (tmp_path / "fma_small" / "checksums").write_text("x")
    return tmp_path


def summary(corpus):
    return [(t.id, t.genre, t.split, t.groups["artist"]) for t in corpus.tracks]


SMALL = [
    ("000002", "Hip-Hop", "train", "1"),
    ("000005", "Folk", "valid", "1"),
    ("001010", "Hip-Hop", "test", "24"),
]


def test_small(root):
    corpus = load(root)
    assert summary(corpus) == SMALL
    assert corpus.genres == ("Folk", "Hip-Hop", "Rock")
    assert (corpus.name, corpus.group, corpus.content) == ("fma-small", "artist", "audio")
    assert corpus.tracks[2].path == str(root / "fma_small" / "001" / "001010.mp3")
    reason = "no audio file, as is known of this track"
    assert dict(corpus.skipped) == dict.fromkeys(("099134", "108925", "133297"), reason)


def test_the_table_is_as_pandas_reads_it_whole(root):
    whole = pd.read_csv(root / "fma_metadata" / "tracks.csv", header=[0, 1], index_col=0)
    small = whole[whole["set", "subset"] == "small"]
    corpus = load(root)
    for track in corpus.tracks:
        assert small.loc[int(track.id)]["track", "genre_top"] == track.genre
        assert str(small.loc[int(track.id)]["artist", "id"]) == track.groups["artist"]
    assert len(corpus.tracks) + len(corpus.skipped) == len(small)


@pytest.mark.parametrize("below", ["fma_small", "fma_metadata"])
def test_given_one_of_the_two_folders(root, below):
    assert summary(load(root / below)) == SMALL


def test_metadata_inside_the_audio_folder(tmp_path):
    write_table(tmp_path / "x" / "fma_metadata")
    write_audio(tmp_path / "x", [2, 5, 1010])
    assert summary(load(tmp_path / "x")) == SMALL


def test_tracks_without_audio_are_looked_at(root):
    write_audio(root / "fma_small", [99134, 108925])
    path = root / "fma_small" / "133" / "133297.mp3"
    path.parent.mkdir()
    soundfile.write(path, np.zeros(22050), 22050, format="MP3")
    corpus = load(root)
    assert "133297" in {track.id for track in corpus.tracks}
    assert dict(corpus.skipped) == dict.fromkeys(
        ("099134", "108925"), "its file holds no audio, as is known of this track"
    )


def test_subsets_are_cumulative_and_larger_folders_serve_smaller_sets(root):
    write_audio(root / "fma_large", [2, 5, 1010, 3000, 3001, 140000])
    medium, large = load(root, subset="medium"), load(root, subset="large")
    assert {track.id for track in medium.tracks} == {"000002", "000005", "001010", "003000"}
    assert {track.id for track in large.tracks} == {"000002", "000005", "001010", "003000", "140000"}
    assert large.genres == ("Folk", "Hip-Hop", "Jazz", "Rock")
    assert large.skipped[0] == ("1 tracks", "no top genre (track, genre_top) in tracks.csv")
    assert "fma_large" in medium.tracks[0].path
    assert "fma_small" in load(root).tracks[0].path


def test_only_the_large_folder(tmp_path):
    write_table(tmp_path / "fma_metadata")
    write_audio(tmp_path / "fma_large", [2, 5, 1010, 140000])
    assert summary(open_corpus(f"fma:{tmp_path}")) == SMALL


def test_a_missing_file_is_named(root):
    (root / "fma_small" / "001" / "001010.mp3").unlink()
    assert ("001010", "no audio file") in load(root).skipped


def test_what_can_be_wrong(tmp_path):
    with pytest.raises(BandwiseError, match="choose small, medium or large"):
        load(tmp_path, subset="full")
    with pytest.raises(BandwiseError, match=r"no fma_metadata/tracks.csv.*bandwise data download"):
        load(tmp_path)
    write_table(tmp_path / "fma_metadata")
    with pytest.raises(BandwiseError, match=r"no audio of FMA medium.*fma_medium, fma_large"):
        load(tmp_path, subset="medium")
    table = tmp_path / "fma_metadata" / "tracks.csv"
    table.write_text("track_id,split,subset\n2,training,small\n")
    with pytest.raises(BandwiseError, match="lacks the columns set/split"):
        load(tmp_path)
    table.write_bytes(b"")
    with pytest.raises(BandwiseError, match="cannot be read as FMA's"):
        load(tmp_path)
    table.write_bytes(b"\x00\xff\xfe" * 50)
    with pytest.raises(BandwiseError, match=r"tracks\.csv"):
        load(tmp_path)

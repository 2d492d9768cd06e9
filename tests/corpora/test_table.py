import json

import pandas as pd
import pytest

from bandwise.corpora.table import load
from bandwise.errors import BandwiseError

ROWS = [
    {"path": "audio/a.wav", "genre": "rock", "artist": 7, "split": "training", "fold": 0},
    {"path": "audio/b.mp3", "genre": "jazz", "artist": 12, "split": "val", "fold": 1},
    {"path": "audio/sub/c.ogg", "genre": "rock", "artist": 7, "split": "test", "fold": 2},
]
EXPECTED = [
    ("audio/a", "rock", "7", "train", 0),
    ("audio/b", "jazz", "12", "valid", 1),
    ("audio/sub/c", "rock", "7", "test", 2),
]


@pytest.fixture
def home(tmp_path):
    for name in ("a.wav", "b.mp3", "sub/c.ogg"):
        (tmp_path / "audio" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "audio" / name).write_bytes(b"x")
    return tmp_path


def write(home, text, name="songs.csv", encoding="utf-8"):
    (home / name).write_bytes(text.encode(encoding))
    return home / name


def summary(corpus):
    return [(t.id, t.genre, t.groups.get("artist"), t.split, t.fold) for t in corpus.tracks]


def write_as(home, suffix):
    frame, path = pd.DataFrame(ROWS), home / f"songs{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False, encoding="utf-8-sig")
    elif suffix == ".tsv":
        frame.to_csv(path, index=False, sep="\t", lineterminator="\r\n")
    elif suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, ROWS)) + "\n\n")
    elif suffix == ".parquet":
        frame.to_parquet(path)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_all_formats_give_the_same_corpus(home, suffix):
    corpus = load(write_as(home, suffix))
    assert summary(corpus) == EXPECTED
    assert corpus.genres == ("jazz", "rock")
    assert corpus.group == "artist"
    assert corpus.skipped == ()
    assert corpus.tracks[0].path == str(home / "audio" / "a.wav")


def test_numbers_that_pandas_made_floats_stay_whole_artists(home):
    frame = pd.DataFrame(ROWS)
    frame.loc[1, "artist"] = None  # one missing value turns the column into floats
    assert frame["artist"].dtype.kind == "f"
    frame.to_parquet(home / "songs.parquet")
    corpus = load(home / "songs.parquet")
    assert [track.groups["artist"] for track in corpus.tracks] == ["7", "unknown (audio/b)", "7"]
    assert corpus.groupings == ("artist",)
    assert "1 of 3" in corpus.caveat


def test_leading_zeros_and_odd_headers(home):
    corpus = load(write(home, "Genre ; PATH;Artist\nrock;audio/a.wav;007\n"))
    assert summary(corpus) == [("audio/a", "rock", "007", None, None)]


def test_missing_columns_name_those_found(home):
    with pytest.raises(BandwiseError, match=r"no column genre; columns found: path, label"):
        load(write(home, "path,label\naudio/a.wav,rock\n"))
    with pytest.raises(BandwiseError, match="no column path and no column genre; columns found: none"):
        load(write(home, ""))
    with pytest.raises(BandwiseError, match="no column path"):
        load(write(home, '{"genre": "rock"}\n', "s.jsonl"))


def test_rows_that_cannot_be_used_are_skipped_by_number(home):
    table = write(
        home,
        "path,genre\naudio/a.wav,rock\n,rock\n\naudio/b.mp3,\naudio/gone.wav,pop\n"
        "audio/a.wav,rock\naudio/x, y.wav,pop\n",
    )
    corpus = load(table)
    assert [track.id for track in corpus.tracks] == ["audio/a"]
    assert dict(corpus.skipped) == {
        "row 3": "no path",
        "row 5": "no genre",
        "row 6": "audio/gone.wav does not exist",
        "row 7": "the same item as row 2",
        "row 8": "3 cells under 2 columns: quote the path?",
    }


def test_stretches_of_one_file_are_tracks_of_their_own(home):
    table = write(
        home, "path,genre,start,end\naudio/a.wav,rock,0,30\naudio/a.wav,jazz,30,60.5\naudio/a.wav,rock,60.5,\n"
    )
    tracks = load(table).tracks
    assert [track.id for track in tracks] == ["audio/a#0-30", "audio/a#30-60.5", "audio/a#60.5-"]
    assert [(track.start, track.end) for track in tracks] == [(0.0, 30.0), (30.0, 60.5), (60.5, None)]


@pytest.mark.parametrize(
    ("header", "row", "match"),
    [
        ("start", "soon", r"row 3: start is 'soon'"),
        ("start", "nan", r"row 3: start is 'nan'"),
        ("end", "inf", r"row 3: end is 'inf'"),
        ("start", "-1", r"row 3: start is '-1'"),
        ("start,end", "5,5", r"row 3: end \(5 s\) must lie after start \(5 s\)"),
        ("end", "0", r"row 3: end \(0 s\)"),
        ("fold", "1.5", r"row 3: fold is '1.5'"),
        ("split", "dev", r"row 3: split is 'dev'; use train, valid or test"),
    ],
)
def test_cells_that_make_no_sense_name_their_row(home, header, row, match):
    commas = "," * header.count(",")
    table = write(home, f"path,genre,{header}\naudio/a.wav,rock,{commas}\naudio/b.mp3,rock,{row}\n")
    with pytest.raises(BandwiseError, match=match):
        load(table)


def test_two_genres_for_one_file_are_refused(home):
    with pytest.raises(BandwiseError, match=r"row 3 calls audio/a.wav 'jazz' and row 2 'rock'"):
        load(write(home, "path,genre\naudio/a.wav,rock\naudio/a.wav,jazz\n"))


def test_ids_given_are_used_and_must_differ(home):
    assert [t.id for t in load(write(home, "id,path,genre\ns1,audio/a.wav,x\n,audio/b.mp3,x\n")).tracks] == [
        "s1",
        "audio/b",
    ]
    with pytest.raises(BandwiseError, match="two tracks are called 's1'"):
        load(write(home, "id,path,genre\ns1,audio/a.wav,x\ns1,audio/b.mp3,x\n"))


def test_group_column_and_absolute_and_tilde_names(home):
    (home / "~odd.wav").write_bytes(b"x")
    table = write(home, f"path,genre,group\n{home}/audio/a.wav,rock,g1\n~odd.wav,rock,g2\n")
    corpus = load(table)
    assert corpus.group == "group"
    assert [track.path for track in corpus.tracks] == [f"{home}/audio/a.wav", f"{home}/~odd.wav"]


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("s.csv", "path,genre\nmúsica.wav,rock\n".encode("latin-1"), "save it as UTF-8"),
        ("s.csv", b'path,genre\n"' + b"x" * 200_000 + b'",rock\n', "line 2 cannot be read"),
        ("s.jsonl", b'{"path": "a", "genre": "b"}\n{"path": ', "line 2 is not JSON"),
        ("s.jsonl", b"[1, 2]\n", "line 1 is not a JSON object"),
        ("s.parquet", b"PAR1 no", "is not a Parquet file"),
        ("s.xlsx", b"PK", "use .csv, .tsv, .jsonl or .parquet"),
    ],
)
def test_files_that_are_not_tables(tmp_path, name, content, match):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BandwiseError, match=match):
        load(tmp_path / name)


def test_a_folder_is_not_a_table(tmp_path):
    with pytest.raises(BandwiseError, match="folder:"):
        load(tmp_path)

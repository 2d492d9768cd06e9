import io
import json

import numpy as np
import pytest
import soundfile

from bandwise.corpora.base import Corpus, Track
from bandwise.corpora.check import check_corpus
from bandwise.errors import BandwiseError

RATE = 8000


def tone(seconds):
    return 0.1 * np.sin(np.arange(int(seconds * RATE)) * 0.3)


@pytest.fixture
def write(tmp_path):
    def write(name, seconds=2.0, wave=None):
        soundfile.write(tmp_path / name, tone(seconds) if wave is None else wave, RATE)
        return str(tmp_path / name)

    return write


def corpus(tmp_path, tracks, content="audio"):
    genres = tuple(sorted({track.genre for track in tracks}))
    return Corpus("folder", tmp_path, tuple(tracks), genres, content=content, skipped=(("x", "left out"),))


def reasons(report):
    return {problem.track: problem.reason for problem in report.problems}


@pytest.mark.parametrize("decode", [False, True])
def test_good_tracks_are_counted_and_measured(tmp_path, write, decode):
    tracks = [
        Track("a", "jazz", write("a.wav", 2)),
        Track("b", "rock", write("b.flac", 3)),
        Track("c", "rock", write("c.wav", 10), start=2.0, end=6.5),
        Track("d", "rock", write("d.ogg", 4), start=1.0),
    ]
    report = check_corpus(corpus(tmp_path, tracks), decode=decode, jobs=2)
    assert report.problems == ()
    assert (report.checked, report.usable, report.decoded) == (4, 4, decode)
    assert report.genres["jazz"].tracks == 1
    assert report.genres["rock"].tracks == 3
    assert report.genres["rock"].seconds == pytest.approx(3 + 4.5 + 3, abs=0.01)
    assert report.seconds == pytest.approx(2 + 3 + 4.5 + 3, abs=0.01)
    assert (report.shortest, report.longest) == (pytest.approx(2), pytest.approx(4.5))
    assert report.skipped == (("x", "left out"),)
    assert json.loads(json.dumps(report.as_dict()))["genres"]["jazz"] == {"tracks": 1, "seconds": pytest.approx(2)}


def test_each_fault_is_named_and_stops_nothing(tmp_path, write):
    for name, raw in (("empty.wav", b""), ("noise.mp3", b"this is no music at all" * 99)):
        (tmp_path / name).write_bytes(raw)
    tracks = [
        Track("good", "g", write("good.wav")),
        Track("empty", "g", str(tmp_path / "empty.wav")),
        Track("noise", "g", str(tmp_path / "noise.mp3")),
        Track("gone", "g", str(tmp_path / "gone.wav")),
        Track("short", "g", write("short.wav", 0.5)),
        Track("late", "g", write("late.wav", 2), start=5.0),
        Track("long", "g", write("long.wav", 2), end=9.0),
        Track("good too", "h", write("good2.wav")),
    ]
    report = check_corpus(corpus(tmp_path, tracks), jobs=2)
    found = reasons(report)
    assert list(found) == ["empty", "noise", "gone", "short", "late", "long"]
    assert "empty" in found["empty"]
    assert "not audio" in found["noise"]
    assert found["short"] == "is too short: 0.50 s, at least 1 s are needed"
    assert found["late"] == "begins at 5 s, but the file lasts 2.00 s"
    assert found["long"] == "ends at 9 s, but the file lasts 2.00 s"
    assert (report.checked, report.usable) == (8, 2)
    assert (report.genres["g"].tracks, report.genres["h"].tracks) == (1, 1)
    assert check_corpus(corpus(tmp_path, tracks), jobs=1, min_seconds=0.4).usable == 3
    json.dumps(report.as_dict())


def test_decoding_finds_what_headers_hide(tmp_path, write):
    cut = write("cut.flac", 20, np.random.default_rng(0).uniform(-0.5, 0.5, 20 * RATE))
    raw = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(raw[: len(raw) // 2])
    nan = np.full(2 * RATE, np.nan, np.float32)
    soundfile.write(tmp_path / "nan.wav", nan, RATE, subtype="FLOAT")
    tracks = [
        Track("cut", "g", cut),
        Track("nan", "g", str(tmp_path / "nan.wav")),
        Track("silent", "g", write("silent.wav", wave=np.zeros(2 * RATE))),
        Track("good", "g", write("good.wav")),
    ]
    everything = corpus(tmp_path, tracks)
    assert "nan" not in reasons(check_corpus(everything, jobs=1))
    found = reasons(check_corpus(everything, jobs=1, decode=True))
    assert list(found) == ["cut", "nan", "silent"]
    assert "truncated" in found["cut"] or "damaged" in found["cut"]
    assert "NaN" in found["nan"]
    assert found["silent"] == "is silent"


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


MEL = np.random.default_rng(1).normal(size=(48, 1876)).astype(np.float32)


def arrays():
    broken = MEL.copy()
    broken[3, 4] = np.inf
    return {
        "good": npy(MEL),
        "half": npy(MEL.astype(np.float16)),
        "column order": npy(np.asfortranarray(MEL)),
        "bands": npy(MEL[:47]),
        "flat": npy(MEL.reshape(-1)),
        "none": npy(MEL[:, :0]),
        "short": npy(MEL[:, :20]),
        "integers": npy(MEL.astype(np.int16)),
        "objects": npy(np.array([[1, "x"]], dtype=object), allow_pickle=True),
        "cut": npy(MEL)[:-8],
        "cut header": npy(MEL)[:20],
        "text": b"<html>" * 50,
        "empty": b"",
        "infinite": npy(broken),
        "constant": npy(np.zeros_like(MEL)),
    }


BAD = ["bands", "flat", "none", "short", "integers", "objects", "cut", "cut header", "text", "empty"]


@pytest.mark.parametrize("inside", [False, True], ids=["files", "members of one file"])
@pytest.mark.parametrize("decode", [False, True])
def test_arrays(tmp_path, inside, decode):
    tracks = []
    pack = b"before"
    for name, raw in arrays().items():
        if inside:
            tracks.append(Track(name, "GN0100", str(tmp_path / "pack.tar"), member=(len(pack), len(raw))))
            pack += raw + b"what comes next"
        else:
            (tmp_path / f"{name}.npy").write_bytes(raw)
            tracks.append(Track(name, "GN0100", str(tmp_path / f"{name}.npy")))
    (tmp_path / "pack.tar").write_bytes(pack)
    report = check_corpus(corpus(tmp_path, tracks, "mel"), jobs=2, decode=decode)
    found = reasons(report)
    assert list(found) == BAD + (["infinite", "constant"] if decode else [])
    assert found["bands"] == "has the shape (47, 1876), not (48, frames)"
    assert "cut short" in found["cut"]
    assert "0.32 s" in found["short"]
    assert "type int16" in found["integers"]
    assert report.longest == pytest.approx(1876 * 256 / 16000)
    json.dumps(report.as_dict())


def test_order_is_kept_over_many_chunks(tmp_path, write):
    good, missing = write("a.wav"), str(tmp_path / "gone.wav")
    tracks = [Track(str(n), "g", missing if n % 50 == 7 else good) for n in range(500)]
    seen = []

    class Task:
        def advance(self, steps=1):
            seen.append(steps)

    class Bars:
        def task(self, name, total, unit=""):
            from contextlib import nullcontext

            assert total == 500
            return nullcontext(Task())

    report = check_corpus(corpus(tmp_path, tracks), Bars(), jobs=3)
    assert [problem.track for problem in report.problems] == [str(n) for n in range(7, 500, 50)]
    assert sum(seen) == 500


def test_jobs_must_make_sense(tmp_path, write):
    with pytest.raises(BandwiseError, match="jobs is 0"):
        check_corpus(corpus(tmp_path, [Track("a", "g", write("a.wav"))]), jobs=0)

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from bandwise.corpora import corpus_info, list_corpora, open_corpus
from bandwise.corpora.base import CorpusInfo
from bandwise.errors import BandwiseError
from bandwise.progress import Silent


@pytest.fixture
def songs(tmp_path):
    (tmp_path / "rock").mkdir()
    (tmp_path / "rock" / "a.wav").write_bytes(b"x")
    return tmp_path


def test_kind_and_path(songs):
    corpus = open_corpus(f"folder:{songs}")
    assert (corpus.name, corpus.root, len(corpus.tracks)) == ("folder", songs, 1)
    assert open_corpus(f" FOLDER: {songs} ").tracks == corpus.tracks


def test_tilde_is_home(songs, monkeypatch):
    monkeypatch.setenv("HOME", str(songs.parent))
    assert open_corpus(f"folder:~/{songs.name}").root == songs


def test_a_colon_in_the_path_is_part_of_it(songs):
    odd = songs / "a:b"
    (odd / "jazz").mkdir(parents=True)
    (odd / "jazz" / "c.wav").write_bytes(b"x")
    assert open_corpus(f"folder:{odd}").root == odd


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("gztan:/data", r"'gztan': did you mean 'gtzan'\? choose one of .*gtzan.*folder"),
        ("xyzzy:/data", "'xyzzy': choose one of"),
        ("gtzan", "'gtzan' names no path: write gtzan:/path"),
        ("gtzan:", "names no path: write gtzan:/path.*Kaggle"),
        ("melon:/no/such/folder", r"/no/such/folder does not exist.*arena\.kakao\.com"),
        ("fma-large:/no/such/folder", "bandwise data download fma-large"),
        ("/no/such/folder", "is not a corpus: write kind:/path"),
        ("", "write .*folder"),
        ("folder:~nobody-of-that-name/x", "does not exist"),
    ],
)
def test_errors_say_what_to_write(spec, match):
    with pytest.raises(BandwiseError, match=match):
        open_corpus(spec)


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("song_meta.json", "melon"),
        ("fma_metadata/tracks.csv", "fma-small"),
        ("tracks.csv", "fma-small"),
        ("genres_original/blues/x", "gtzan"),
        ("rock/x.wav", "folder"),
    ],
)
def test_a_path_without_a_kind_gets_a_suggestion(tmp_path, file, kind):
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    (path.parent.parent / "hiphop").mkdir(exist_ok=True)
    with pytest.raises(BandwiseError, match=f"write {kind}:{tmp_path}"):
        open_corpus(str(tmp_path))


def test_a_file_without_a_kind_is_a_table(tmp_path):
    (tmp_path / "x.csv").write_text("path,genre\n")
    with pytest.raises(BandwiseError, match="write table:"):
        open_corpus(str(tmp_path / "x.csv"))


def test_a_folder_that_may_not_be_read_is_an_error_of_the_user(songs, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(BandwiseError, match=r"cannot be read \(Permission denied\)"):
        open_corpus(f"folder:{songs}")


def test_progress_reaches_the_loaders_that_report(tmp_path):
    seen = []

    class Listening(Silent):
        def task(self, name, total, unit=""):
            seen.append(name)
            return super().task(name, total, unit)

    (tmp_path / "song_meta.json").write_text('[{"id": 1, "song_gn_gnr_basket": ["GN0100"]}]')
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "1.npy").write_bytes(b"x")
    assert open_corpus(f"melon:{tmp_path}", progress=Listening()).name == "melon"
    assert open_corpus(f"melon-detail:{tmp_path}".replace("-detail", ""), progress=Listening()).genres == ("GN0100",)
    assert seen == ["reading the tars' lists"] * 2


@pytest.mark.skipif(importlib.util.find_spec("bandwise.corpora.mma") is None, reason="the mma loader is not there")
def test_every_kind_describes_itself():
    infos = list_corpora()
    assert all(isinstance(info, CorpusInfo) for info in infos)
    assert len({info.name for info in infos}) == len(infos)
    for info in infos:
        assert corpus_info(info.name) == info
        assert info.title
        assert info.get
        assert info.layout
        assert info.license
        assert callable(info.load)
    assert corpus_info("fma").name == "fma-small"


def test_looking_a_kind_up_imports_nothing_heavy():
    code = (
        "import sys; from bandwise.corpora import corpus_info\n"
        "[corpus_info(kind) for kind in ('gtzan', 'fma', 'melon', 'folder', 'table')]\n"
        "print([m for m in ('pandas', 'numpy', 'torch', 'soundfile', 'pyarrow', 'av') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"

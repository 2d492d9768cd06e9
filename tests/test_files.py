"""Nothing of the user's is ever lost: a file is either the old one or the new one."""

import pytest

from bandwise.errors import AudioError, BandwiseError, MissingExtra
from bandwise.files import read_json, replacing, write_json, write_text


def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path):
    path = tmp_path / "a.json"
    write_json(path, {"ä": 1})
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert read_json(path) == {"ä": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]
    assert "ä" in path.read_text()


def test_names_that_are_not_utf8_survive(tmp_path):
    write_json(tmp_path / "x.json", {"name": "caf\udce9"})
    assert read_json(tmp_path / "x.json") == {"name": "caf\udce9"}


def test_parents_are_made_and_mistakes_named(tmp_path):
    write_text(tmp_path / "a" / "b" / "c.txt", "x")
    assert (tmp_path / "a" / "b" / "c.txt").read_text() == "x"
    with pytest.raises(BandwiseError, match="does not exist"):
        read_json(tmp_path / "none.json")
    with pytest.raises(BandwiseError, match="not valid JSON"):
        read_json(tmp_path / "a" / "b" / "c.txt")


def test_errors_cross_processes_unchanged():
    import pickle

    error = pickle.loads(pickle.dumps(AudioError("x.wav", "is empty")))
    assert (str(error), error.path, error.reason) == ("x.wav: is empty", "x.wav", "is empty")
    assert "pip install essentia" in str(MissingExtra("essentia", "this"))

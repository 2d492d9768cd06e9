import os
import unicodedata

import pytest

from bandwise.corpora.folder import load, short_names
from bandwise.errors import BandwiseError


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_reads_deep_folders_and_any_case_of_suffix(tmp_path):
    put(tmp_path, "rock/b.FLAC", "rock/album/a.Mp3", "jazz/x.y.wav", "jazz/cover.jpg", "jazz/.hidden.wav")
    put(tmp_path, ".trash/z.wav", "rock/.cache/z.wav", "rock/._b.flac")
    corpus = load(tmp_path)
    assert [(track.id, track.genre) for track in corpus.tracks] == [
        ("jazz/x.y", "jazz"),
        ("rock/album/a", "rock"),
        ("rock/b", "rock"),
    ]
    assert corpus.genres == ("jazz", "rock")
    assert corpus.group is None
    assert corpus.skipped == ()


def test_what_is_left_out_is_said(tmp_path):
    put(tmp_path, "loose.mp3", "rock/a.wav", "empty/cover.jpg")
    (tmp_path / "rock" / "dangling.wav").symlink_to(tmp_path / "gone.wav")
    skipped = dict(load(tmp_path).skipped)
    assert skipped["loose.mp3"] == "not in a genre folder"
    assert skipped["empty/"] == "a genre folder without audio"
    assert "broken link" in skipped[str(tmp_path / "rock" / "dangling.wav")]
    assert len(skipped) == 3


def test_links_are_followed_but_not_in_circles(tmp_path):
    put(tmp_path / "elsewhere", "c.wav")
    put(tmp_path / "root", "rock/a.wav", "rock/sub/b.wav")
    (tmp_path / "root" / "rock" / "sub" / "up").symlink_to(tmp_path / "root" / "rock")
    (tmp_path / "root" / "rock" / "more").symlink_to(tmp_path / "elsewhere")
    corpus = load(tmp_path / "root")
    assert [track.id for track in corpus.tracks] == ["rock/a", "rock/more/c", "rock/sub/b"]
    assert [reason for _, reason in corpus.skipped] == ["a link back to a folder above it"]


def test_short_names_stay_unique():
    assert short_names(["r/a.wav", "r/a.mp3", "r/b.wav"]) == ["r/a.wav", "r/a.mp3", "r/b"]
    # "r/a.wav" is kept whole because of r/a.mp3, and then r/a.wav.flac may not become "r/a.wav".
    assert short_names(["r/a.wav", "r/a.mp3", "r/a.wav.flac"]) == ["r/a.wav", "r/a.mp3", "r/a.wav.flac"]


def test_colliding_names_keep_their_suffix(tmp_path):
    put(tmp_path, "rock/a.wav", "rock/a.mp3")
    assert [track.id for track in load(tmp_path).tracks] == ["rock/a.mp3", "rock/a.wav"]


def test_ids_do_not_depend_on_how_a_system_spells_accents(tmp_path):
    put(tmp_path, unicodedata.normalize("NFD", "música/canción.ogg"))
    corpus = load(tmp_path)
    assert corpus.tracks[0].id == unicodedata.normalize("NFC", "música/canción")
    assert corpus.genres == (unicodedata.normalize("NFC", "música"),)


def test_names_that_are_not_text_are_skipped_printably(tmp_path):
    put(tmp_path, "rock/a.wav")
    try:
        (tmp_path / "rock" / os.fsdecode(b"caf\xe9.wav")).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    corpus = load(tmp_path)
    assert [track.id for track in corpus.tracks] == ["rock/a"]
    ((what, why),) = corpus.skipped
    assert what.encode().startswith(b"rock/caf")
    assert "UTF-8" in why


def test_deeper_folders_can_be_kept_together(tmp_path):
    put(tmp_path, "rock/queen/a.wav", "rock/queen/b.wav", "jazz/evans/c.wav")
    corpus = load(tmp_path)
    assert corpus.groupings == ("folder",)
    assert [track.groups["folder"] for track in corpus.tracks] == ["jazz/evans", "rock/queen", "rock/queen"]
    put(tmp_path, "rock/loose.wav")
    assert load(tmp_path).groupings == ()


def test_no_audio_or_no_folder(tmp_path):
    put(tmp_path, "a.wav")
    with pytest.raises(BandwiseError, match=r"no usable tracks.*not in a genre folder"):
        load(tmp_path)
    with pytest.raises(BandwiseError, match="table:"):
        load(tmp_path / "a.wav")

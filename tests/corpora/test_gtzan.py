from pathlib import Path

import numpy as np
import pytest
import soundfile

from bandwise.corpora import open_corpus
from bandwise.corpora.gtzan import GENRES, load
from bandwise.errors import BandwiseError

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def write_tree(home, genres=GENRES, count=2, suffix=".wav"):
    for genre in genres:
        (home / genre).mkdir(parents=True)
        for number in range(count):
            (home / genre / f"{genre}.{number:05d}{suffix}").write_bytes(b"not opened when the corpus is")


@pytest.mark.parametrize(
    "below", [".", "genres_original", "Data/genres_original", "genres", "Data/genres"], ids=lambda text: text
)
@pytest.mark.parametrize("suffix", [".wav", ".au", ".WAV"])
def test_every_known_layout_gives_the_same_tracks(tmp_path, below, suffix):
    write_tree(tmp_path / below, suffix=suffix)
    corpus = load(tmp_path)
    assert [track.id for track in corpus.tracks] == [f"{genre}/{genre}.{n:05d}" for genre in GENRES for n in (0, 1)]
    assert corpus.genres == GENRES == tuple(sorted(GENRES))
    assert all(Path(track.path).is_file() for track in corpus.tracks)
    assert (corpus.skipped, corpus.group, corpus.frontend, corpus.content) == ((), None, "gtzan", "audio")
    assert "overstate" in corpus.caveat


def test_kaggle_tree_with_tables_images_and_apple_doubles(tmp_path):
    write_tree(tmp_path / "Data" / "genres_original")
    write_tree(tmp_path / "Data" / "images_original", suffix=".png")
    (tmp_path / "Data" / "features_30_sec.csv").write_text("filename,length\nblues.00000.wav,661794\n")
    (tmp_path / "Data" / "genres_original" / "blues" / "._blues.00000.wav").write_bytes(b"\0\5\x16\7")
    (tmp_path / "Data" / "genres_original" / "blues" / "notes.csv").write_text("a,b\n")
    assert load(tmp_path).counts() == dict.fromkeys(GENRES, 2)


def test_the_unreadable_jazz_clip_is_skipped_by_name(tmp_path):
    write_tree(tmp_path)
    (tmp_path / "jazz" / "jazz.00054.wav").write_bytes(b"RIFF\xff\xff\0\0 what the common copy has is no audio")
    corpus = load(tmp_path)
    assert [what for what, _ in corpus.skipped] == ["jazz/jazz.00054.wav"]
    assert "cannot be opened" in corpus.skipped[0][1]
    assert corpus.counts()["jazz"] == 2


def test_a_good_copy_of_that_clip_is_kept(tmp_path):
    write_tree(tmp_path)
    soundfile.write(tmp_path / "jazz" / "jazz.00054.wav", np.zeros(2205), 22050)
    corpus = load(tmp_path)
    assert "jazz/jazz.00054" in {track.id for track in corpus.tracks}
    assert corpus.skipped == ()


def test_missing_genres_are_reported(tmp_path):
    write_tree(tmp_path, genres=("rock", "blues"))
    corpus = load(tmp_path)
    assert corpus.genres == ("blues", "rock")
    assert {what for what, _ in corpus.skipped} == set(GENRES) - {"blues", "rock"}


def test_wav_and_au_of_a_clip_count_once(tmp_path):
    write_tree(tmp_path)
    (tmp_path / "pop" / "pop.00001.au").write_bytes(b"x")
    corpus = load(tmp_path)
    assert corpus.counts()["pop"] == 2
    assert next(track for track in corpus.tracks if track.id == "pop/pop.00001").path.endswith(".wav")
    assert corpus.skipped == (("pop/pop.00001.au", "the same clip as pop.00001.wav, which is used"),)


def test_a_folder_without_clips_says_where_it_looked_and_where_to_get_them(tmp_path):
    write_tree(tmp_path / "images_original", suffix=".png")
    with pytest.raises(BandwiseError, match=r"genres_original.*Kaggle"):
        load(tmp_path)


def test_ids_are_those_of_the_published_lists(tmp_path):
    lists = sorted((SHARED / "gtzan_10_fold").glob("*_fold.txt"))
    if not lists:
        pytest.skip("the published fold lists do not lie beside the checkout")
    names = {line.strip() for path in lists for line in path.read_text().splitlines() if line.strip()}
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    corpus = open_corpus(f"gtzan:{tmp_path}")
    listed = {name.removeprefix("genres_original/").removesuffix(".wav") for name in names}
    # Here the damaged clip is damaged too, as every file is.
    assert {track.id for track in corpus.tracks} == listed - {"jazz/jazz.00054"}
    assert len(corpus.tracks) == 999

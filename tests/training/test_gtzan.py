"""GTZAN's layout and the authors' fold lists through the command that reproduces Table 2."""

import json

import pytest

from bandwise.corpora.gtzan import GENRES
from bandwise.settings import make_experiment
from bandwise.training.crossval import cross_validate
from bandwise.training.reproduce import reproduce_rows


@pytest.fixture
def gtzan(tmp_path, write_audio, music):
    """Three clips a genre as Kaggle has them, an unreadable jazz.00054, and lists in the authors' form."""
    root = tmp_path / "Data" / "genres_original"
    lists = tmp_path / "gtzan_10_fold"
    lists.mkdir()
    parts = {1: [], 2: [], 3: []}
    for g, genre in enumerate(GENRES):
        (root / genre).mkdir(parents=True)
        for i in range(3):
            write_audio(root / genre / f"{genre}.{i:05d}.wav", music(2.2, 22050, seed=10 * g + i), 22050)
            parts[i + 1].append(f"genres_original/{genre}/{genre}.{i:05d}.wav")
    (root / "jazz" / "jazz.00054.wav").write_bytes(b"RIFF junk")
    parts[2].append("genres_original/jazz/jazz.00054.wav")
    for k, lines in parts.items():
        (lists / f"{k}_fold.txt").write_text("\n".join(lines) + "\n")
    return tmp_path, lists


SMALL = {"size": "tiny", "logger": "none", "recipe": {"epochs": 1, "batch": 16, "crops_per_song": 2}}


def test_the_authors_lists_are_followed_and_the_bad_clip_is_no_error(gtzan, tmp_path):
    root, lists = gtzan
    changes = SMALL | {"fold_lists": str(lists), "store": str(tmp_path / "store")}
    (line,) = reproduce_rows(2, f"gtzan:{root}", [8], tmp_path / "runs", changes)
    result = line.result
    assert result["folds"]["published"]
    assert result["figures"]["best"]["clips"] == 30
    assert [what for what, _ in result["corpus"]["left_out"]] == ["jazz/jazz.00054.wav"]
    folds = json.loads((tmp_path / "runs" / "row-8" / "folds.json").read_text())
    assert folds["dropped"] == ["jazz/jazz.00054"]
    assert folds["folds"][0]["test"] == [f"{genre}/{genre}.00000" for genre in GENRES]
    assert "30 tracks of the corpus' 1,000" in line.remark  # not GTZAN as the paper has it
    assert "recipe: epochs=1" in line.remark


def test_row_4_takes_its_own_front_end_and_recipe(gtzan, tmp_path):
    root, lists = gtzan
    experiment = make_experiment(
        "#4", f"gtzan:{root}", size="tiny", logger="none", fold_lists=str(lists), store=str(tmp_path / "store"),
        recipe={"epochs": 2},
    )  # fmt: skip
    result = cross_validate(experiment, tmp_path / "run", only=[1])
    assert result["experiment"]["frontend"] == "bbnn"
    assert result["experiment"]["recipe"]["crop_frames"] == 647
    assert result["cost"]["parameters"] > 0

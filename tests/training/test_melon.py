"""Melon's layout through the whole pipeline: arrays, lists in the authors' form, the rows of Table 3."""

import json

import numpy as np
import pytest

from bandwise.settings import make_experiment
from bandwise.training.crossval import cross_validate
from bandwise.training.reproduce import reproduce_rows


@pytest.fixture
def melon(tmp_path):
    root = tmp_path / "melon"
    rng = np.random.default_rng(0)
    meta = []
    for song in range(36):
        code = ("GN0100", "GN0900", "GN9000")[song % 3]
        meta.append(
            {"id": song, "song_gn_gnr_basket": [code], "artist_id_basket": [song % 4], "song_name": f"s{song}"}
        )
        array = rng.normal(-60, 10, (48, 230)).astype(np.float32)
        array[16 * (song % 3) : 16 * (song % 3) + 16] += 15 * np.sin(np.arange(230) * (1 + song % 3) / 3)
        path = root / "arena_mel" / "0" / f"{song}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)
    (root / "song_meta.json").write_text(json.dumps(meta))
    (root / "genre_gn_all.json").write_text(json.dumps({"GN0100": "발라드", "GN0900": "POP", "GN3000": "캐럴"}))
    return root


SMALL = {"size": "tiny", "logger": "none", "folds": 3, "recipe": {"epochs": 2, "batch": 12}}


def test_a_melon_run_writes_the_authors_lists_and_reads_them_again(melon, tmp_path):
    settings = SMALL | {"store": str(tmp_path / "store"), "group": "none"}
    result = cross_validate(make_experiment("#26", f"melon:{melon}", **settings), tmp_path / "run")
    assert result["corpus"]["genres"] == ["GN0100", "GN0900", "GN3000"]
    assert result["experiment"]["recipe"]["crop_frames"] == 200
    lists = tmp_path / "run" / "mgc_kfold"
    lists.rename(melon / "mgc_kfold")
    again = cross_validate(make_experiment("#26", f"melon:{melon}", **settings), tmp_path / "again", only=[1])
    assert again["folds"]["published"]
    first, second = (json.loads((tmp_path / r / "folds.json").read_text())["folds"] for r in ("run", "again"))
    assert first == second


def test_table_3_folds_are_random_by_song_and_look_alikes_are_told_apart(melon, tmp_path):
    changes = SMALL | {"store": str(tmp_path / "store")}
    (line,) = reproduce_rows(3, f"melon:{melon}", [25], tmp_path / "t", changes)
    assert line.result["folds"]["group"] is None
    assert "not that of" not in line.remark
    plain = make_experiment("ecapa-ccs-s512-c512", f"melon:{melon}", **changes)
    result = cross_validate(plain, tmp_path / "plain", only=[1])
    assert "the network is not that of #25: use --system '#25'" in result["paper"]["differences"]

"""Experiments: the paper's recipe by default, every number a setting, errors that say which."""

import pytest

from bandwise.errors import BandwiseError
from bandwise.paper import ROWS
from bandwise.settings import find_row, load_yaml, make_experiment, merge, paper_recipe
from bandwise.training.callbacks import Stall, learning_rate


def recipe(system, corpus="gtzan:/x", **more):
    return make_experiment(system, corpus, **more).recipe


@pytest.mark.parametrize("row", [row for row in ROWS.values() if row.row >= 5], ids=lambda r: r.name)
def test_recipes_are_the_rows(row):
    r = recipe(row.name, f"{row.corpus}:/x")
    assert (r.epochs, r.batch, r.lr, r.weight_decay, r.seed) == (
        row.epochs,
        row.batch,
        row.lr,
        row.weight_decay,
        row.seed,
    )
    assert (r.crop_frames, r.crops_per_song) == (row.crop_frames, row.crops_per_song_and_epoch)
    assert r.validate_every == row.validate_every
    assert r.sync_batch_norm == row.sync_batch_norm
    assert r.schedule == ("cosine" if row.schedule == "cosine per epoch" else "exponential")
    assert (r.test, r.test_crops if r.test == "crops" else 0) == {
        "whole clip": ("whole", 0),
        "16 crops, softmax summed": ("crops", 16),
        "5 crops, softmax averaged": ("crops", 5),
    }[row.test]
    if row.lr_min:
        assert r.lr_min == row.lr_min


def test_the_original_bbnn_recipe():
    e = make_experiment("#4", "gtzan:/x")
    assert (e.frontend, e.recipe.batch, e.recipe.lr, e.recipe.schedule) == ("bbnn", 8, 0.01, "plateau")
    assert (e.recipe.gamma, e.recipe.patience, e.recipe.stop_after, e.recipe.stop_delta) == (0.5, 3, 10, 0.01)


def test_a_plain_name_takes_the_row_of_its_corpus():
    assert recipe("ecapa").batch == 64
    assert recipe("ecapa", "melon:/x").batch == 256
    assert recipe("ecapa", "folder:/x").batch == 64
    assert find_row("vgg", "gtzan").row == 17  # the paper ran it on Melon only
    assert find_row("ecapa-ccs-s1-c7", "gtzan").row == 15
    with pytest.raises(BandwiseError, match="no row '#77'"):
        find_row("#77", "gtzan")
    with pytest.raises(BandwiseError, match="not trained by this recipe"):
        paper_recipe(ROWS[1])


def test_learning_rates_equal_torchs_schedulers():
    import torch

    parameter = torch.nn.Parameter(torch.zeros(1))
    for settings, scheduler in (
        ({}, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 80, 1e-6)),
        ({"schedule": "exponential"}, lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.95)),
    ):
        r = recipe("ecapa", recipe=settings)
        optimizer = torch.optim.Adam([parameter], lr=r.lr)
        reference = scheduler(optimizer)
        for epoch in range(80):
            assert learning_rate(r, epoch) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-6)
            optimizer.step()
            reference.step()
    assert learning_rate(recipe("ecapa", recipe={"schedule": "constant"}), 70) == 1e-3


def test_the_plateau_halves_after_three_epochs_without_progress():
    r = recipe("#4")
    stall = Stall(r.patience, 0.0)
    rates = []
    for loss in (3.0, 2.0, 2.0, 2.5, 2.0, 1.0, 1.1, 1.2, 1.3):
        stall.update(loss)
        rates.append(learning_rate(r, 0, stall.stalls))
    assert rates == [0.01] * 4 + [0.005] * 4 + [0.0025]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"recipe": {"lr": -1}}, r"setting recipe.lr: input should be greater than 0, not -1"),
        ({"recipe": {"learning_rate": 1}}, "there is no setting recipe.learning_rate; there are epochs"),
        ({"colour": "red"}, "there is no setting colour; there are system"),
        ({"size": "huge"}, "setting size: input should be 'full', 'small' or 'tiny', not 'huge'"),
        ({"folds": 2}, "setting folds"),
    ],
)
def test_wrong_settings_are_named(settings, words):
    with pytest.raises(BandwiseError, match=words):
        make_experiment("ecapa", "gtzan:/x", **settings)


def test_experiment_files_are_diffs_over_a_base(tmp_path):
    (tmp_path / "base.yaml").write_text("system: ecapa\nrecipe: {lr: 0.01, batch: 8}\n")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "more.yaml").write_text("base: ../base.yaml\nrecipe: {batch: 16}\nsize: tiny\n")
    assert load_yaml(tmp_path / "a" / "more.yaml") == {
        "system": "ecapa",
        "recipe": {"lr": 0.01, "batch": 16},
        "size": "tiny",
    }
    assert merge({"a": 1}, {"a": {"b": 2}}) == {"a": {"b": 2}}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: x.yaml", "is its own base"),
        ("- a", "must hold settings"),
        ("a: [", "not valid YAML"),
        ("base: gone.yaml", "no such file"),
    ],
)
def test_bad_experiment_files(tmp_path, text, words):
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(BandwiseError, match=words):
        load_yaml(tmp_path / "x.yaml")

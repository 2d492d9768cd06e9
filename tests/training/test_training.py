"""Training and cross-validation: the result is the run's, and an interrupted run ends at the same weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bandwise.errors import BandwiseError, MissingExtra
from bandwise.settings import make_experiment
from bandwise.splits import make_folds
from bandwise.training import fold as fold_module
from bandwise.training.callbacks import Recorder
from bandwise.training.crossval import cross_validate, prepare, train
from bandwise.training.fold import train_fold
from bandwise.training.reproduce import reproduce_rows
from bandwise.training.retest import retest


@pytest.fixture
def experiment(toy_settings):
    def make(system="ecapa-ccs-s512-c1024", recipe=None, **more):
        settings = dict(toy_settings) | more
        settings["recipe"] = toy_settings["recipe"] | (recipe or {})
        return make_experiment(system, settings.pop("corpus"), **settings)

    return make


def fold_of(prepared):
    return make_folds(prepared.material.corpus, 3, group=None).folds[0]


def weights(directory):
    return load_file(directory / "model.safetensors")


def test_a_run_learns_and_leaves_everything(toy_run):
    directory, result = toy_run
    assert result["figures"]["best"]["accuracy_mean"] > 0.6  # three pitches are easy; chance is a third
    assert result["figures"]["best"]["clips"] == 18
    assert json.loads((directory / "result.json").read_text()) == result
    for k in (1, 2, 3):
        names = {path.name for path in (directory / "folds" / str(k)).iterdir()}
        assert {"model.safetensors", "config.json", "labels.json", "fold.json", "predictions.safetensors"} <= names
        assert not {"resume.ckpt", "best.safetensors"} & names
    assert result["paper"]["comparable"] is False
    assert {"format", "environment", "cost", "experiment"} <= set(result)


def test_figures_are_those_of_the_predictions(toy_run):
    from safetensors.numpy import load_file as load_numpy

    directory, result = toy_run
    hits = total = 0
    for k, per_fold in enumerate(result["per_fold"], start=1):
        arrays = load_numpy(directory / "folds" / str(k) / "predictions.safetensors")
        right = (arrays["best"].argmax(1) == arrays["labels"]).sum()
        np.testing.assert_allclose(arrays["best"].sum(1), 1, atol=1e-5)
        assert per_fold["best"]["accuracy"] == pytest.approx(right / len(arrays["labels"]))
        hits, total = hits + right, total + len(arrays["labels"])
    assert result["figures"]["best"]["accuracy_pooled"] == pytest.approx(hits / total)


def test_a_finished_run_is_not_run_again(toy_run, monkeypatch):
    directory, result = toy_run
    monkeypatch.setattr("bandwise.training.crossval.train_fold", None)
    experiment = make_experiment(**json.loads((directory / "experiment.json").read_text()))
    assert cross_validate(experiment, directory) == result


def test_a_folder_of_another_experiment_is_refused(toy_run):
    directory, _ = toy_run
    other = json.loads((directory / "experiment.json").read_text()) | {"size": "small"}
    with pytest.raises(BandwiseError, match="holds a run with size = 'tiny', not 'small'"):
        cross_validate(make_experiment(**other), directory)


@pytest.mark.parametrize("killed_in", [2, 3])
def test_a_killed_run_ends_at_the_same_weights(experiment, tmp_path, monkeypatch, killed_in):
    prepared = prepare(experiment())
    fold = fold_of(prepared)
    whole = train_fold(prepared.material, fold, tmp_path / "whole")
    start = Recorder.on_train_epoch_start

    def kill(self, trainer, module):
        if trainer.current_epoch == killed_in:
            raise KeyboardInterrupt
        start(self, trainer, module)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_train_epoch_start", kill)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            train_fold(prepared.material, fold, tmp_path / "killed")
    assert (tmp_path / "killed" / "resume.ckpt").exists()
    torch.manual_seed(99)  # nothing may depend on what this process drew before
    resumed = train_fold(prepared.material, fold, tmp_path / "killed")
    for name, value in weights(tmp_path / "whole").items():
        assert torch.equal(value, weights(tmp_path / "killed")[name]), name
    np.testing.assert_array_equal(whole.last, resumed.last)
    np.testing.assert_array_equal(whole.best, resumed.best)
    assert [h["train_loss"] for h in whole.details["history"]] == [
        h["train_loss"] for h in resumed.details["history"]
    ]


def test_the_best_weights_are_a_real_copy(experiment, tmp_path):
    """The published code keeps a reference and so tests the last epoch; here best and last differ."""
    prepared = prepare(experiment(recipe={"epochs": 6, "lr": 0.03, "schedule": "constant"}))
    outcome = train_fold(prepared.material, fold_of(prepared), tmp_path)
    valid = [h["valid_accuracy"] for h in outcome.details["history"]]
    assert outcome.details["best_epoch"] == 1 + int(np.argmax(valid))
    assert outcome.details["valid_accuracy"] == max(valid)
    if outcome.details["best_epoch"] < 6:
        assert not np.array_equal(outcome.best, outcome.last)


def test_validation_happens_as_often_as_asked(experiment, tmp_path):
    prepared = prepare(experiment(recipe={"validate_every": 2}))
    outcome = train_fold(prepared.material, fold_of(prepared), tmp_path)
    assert [h["valid_accuracy"] is None for h in outcome.details["history"]] == [True, False, True, False]


@pytest.mark.parametrize(
    "recipe",
    [
        {"crops": "wave"},
        {"crops": "wave", "test": "crops", "test_crops": 3},
        {"test": "crops", "test_crops": 4},
        {"precision": "bf16"},
        {"optimizer": "adamw", "schedule": "plateau", "patience": 1, "label_smoothing": 0.1},
    ],
    ids=lambda r: "-".join(f"{k}={v}" for k, v in r.items()),
)
def test_recipes(experiment, tmp_path, recipe):
    store = {"store": str(tmp_path / "waves")} if recipe.get("crops") == "wave" else {}
    prepared = prepare(experiment(recipe=recipe | {"epochs": 2}, **store))
    outcome = train_fold(prepared.material, fold_of(prepared), tmp_path / "run")
    assert outcome.best.shape == (6, 3)
    assert np.isfinite(outcome.best).all()


def test_training_can_stop_early(experiment, tmp_path):
    recipe = {"epochs": 30, "stop_after": 2, "stop_delta": 100.0}
    prepared = prepare(experiment(recipe=recipe))
    outcome = train_fold(prepared.material, fold_of(prepared), tmp_path)
    assert len(outcome.details["history"]) == 3


def test_a_run_that_stopped_early_does_not_go_on_when_resumed(experiment, tmp_path, monkeypatch):
    recipe = {"epochs": 30, "stop_after": 2, "stop_delta": 100.0}
    prepared = prepare(experiment(recipe=recipe))
    with monkeypatch.context() as patch:
        patch.setattr(fold_module, "predict", None)  # the kill comes after training, before the test
        with pytest.raises(TypeError):
            train_fold(prepared.material, fold_of(prepared), tmp_path)
    outcome = train_fold(prepared.material, fold_of(prepared), tmp_path)
    assert len(outcome.details["history"]) == 3


def test_an_early_stop_waits_for_a_validation(experiment, tmp_path):
    recipe = {"epochs": 30, "stop_after": 1, "stop_delta": 100.0, "validate_every": 3}
    prepared = prepare(experiment(recipe=recipe))
    assert len(train_fold(prepared.material, fold_of(prepared), tmp_path).details["history"]) == 3


@pytest.mark.parametrize("junk", [b"", b"junk", b"PK\x03\x04 half a zip"])
def test_a_damaged_checkpoint_starts_the_fold_anew(experiment, tmp_path, junk):
    prepared = prepare(experiment(recipe={"epochs": 1}))
    (tmp_path / "resume.ckpt").write_bytes(junk)
    assert len(train_fold(prepared.material, fold_of(prepared), tmp_path).details["history"]) == 1


def test_a_diverged_training_is_stopped(experiment, tmp_path):
    prepared = prepare(experiment("resnet18", recipe={"lr": 1e30, "schedule": "constant"}))
    with pytest.raises(BandwiseError, match="try a lower recipe"):
        train_fold(prepared.material, fold_of(prepared), tmp_path)


def test_two_commands_do_not_train_one_fold(experiment, tmp_path):
    from filelock import FileLock

    place = tmp_path / "folds" / "1"
    place.mkdir(parents=True)
    with FileLock(place / "lock"), pytest.raises(BandwiseError, match="another command is training"):
        cross_validate(experiment(recipe={"epochs": 1}), tmp_path, only=[1])


def test_wave_crops_see_what_the_front_end_makes_of_the_piece(experiment, tmp_path):
    """The published way: cut the wave, then frame the piece with reflected edges."""
    from bandwise.audio.frontend import create_frontend
    from bandwise.training.fold import Loaders

    prepared = prepare(experiment(recipe={"crops": "wave", "crop_frames": 174}, store=str(tmp_path / "waves")))
    x, _ = next(iter(Loaders(prepared.material, fold_of(prepared)).train()))
    assert x.shape[1:] == (44_356, 1)
    assert create_frontend("gtzan")(x[..., 0]).shape[1:] == (48, 174)


def test_a_front_end_that_does_not_fit_is_explained(experiment, tmp_path):
    with pytest.raises(BandwiseError, match="takes 48 mel bands but the 'bbnn' front end gives 128"):
        cross_validate(experiment(frontend="bbnn", store=str(tmp_path / "s")), tmp_path / "r")


def test_folds_can_be_shared_out(experiment, tmp_path):
    e = experiment(recipe={"epochs": 1})
    first = cross_validate(e, tmp_path, only=[2])
    assert (first["folds"]["count"], first["folds"]["finished"]) == (3, 1)
    both = cross_validate(e, tmp_path, only=[1])
    assert [fold["fold"] for fold in both["per_fold"]] == [1, 2]
    with pytest.raises(BandwiseError, match="no fold 4"):
        cross_validate(e, tmp_path, only=[4])


def test_one_model_of_the_whole_corpus(experiment, tmp_path):
    e = experiment(recipe={"epochs": 1})
    summary = train(e, tmp_path)
    assert (tmp_path / "folds.json").exists()
    assert summary["tracks"] == {"train": 15, "valid": 3}
    assert train(e, tmp_path) == summary


def test_retesting_with_the_same_rule_gives_the_same_figures(toy_run):
    directory, result = toy_run
    place, again = retest(directory, "whole")
    assert again["figures"]["best"]["confusion"] == result["figures"]["best"]["confusion"]
    assert place == directory / "evaluations" / "whole"
    _, crops = retest(directory, "crops", 4)
    assert crops["experiment"]["recipe"]["test_crops"] == 4
    assert crops["experiment"]["system"] == "ecapa-ccs-fsa-s512-c1024"
    _, row_16 = retest(directory, "crops", 16)
    assert (row_16["experiment"]["system"], row_16["paper"]["row"]) == ("#16", 16)
    assert crops["figures"]["best"]["clips"] == 18


def test_mfcc_svm_takes_the_same_folds(experiment, tmp_path, toy_run):
    result = cross_validate(experiment("mfcc-svm"), tmp_path)
    assert result["figures"]["best"]["accuracy_mean"] > 0.6
    assert (tmp_path / "folds.json").read_text() == (toy_run[0] / "folds.json").read_text()
    with pytest.raises(BandwiseError, match="no network to test again"):
        retest(tmp_path, "whole")


def test_rows_are_reproduced_or_say_what_is_missing(toy_settings, tmp_path):
    settings = dict(toy_settings)
    corpus = settings.pop("corpus")
    lines = list(reproduce_rows(2, corpus, [1, 15, 16], tmp_path, settings))
    assert lines[0].result is None
    assert "not a network" in lines[0].remark
    assert lines[1].accuracy is not None
    assert "not comparable" in lines[1].remark
    assert lines[2].result["experiment"]["recipe"]["test"] == "crops"
    assert lines[2].directory.parent.parent == lines[1].directory  # the same weights
    (absent,) = reproduce_rows(3, None, [27], tmp_path)
    assert "melon:/path" in absent.remark
    assert absent.as_dict()["measured_accuracy"] is None
    with pytest.raises(BandwiseError, match="#17 is in Table 3, not 2"):
        list(reproduce_rows(2, corpus, [17], tmp_path))


def test_an_absent_logger_names_its_package(experiment, tmp_path, monkeypatch):
    import lightning.pytorch.loggers as loggers

    def absent(*_args, **_kwargs):
        raise ModuleNotFoundError("no wandb")

    monkeypatch.setattr(loggers, "WandbLogger", absent)
    prepared = prepare(experiment(logger="wandb"))
    with pytest.raises(
        MissingExtra, match=r'logger = wandb needs the package wandb: pip install "bandwise\[wandb\]"'
    ):
        train_fold(prepared.material, fold_of(prepared), tmp_path)


def test_tensorboard_is_written_by_default(experiment, tmp_path):
    prepared = prepare(experiment(logger="tensorboard", recipe={"epochs": 1}))
    train_fold(prepared.material, fold_of(prepared), tmp_path)
    assert list((tmp_path / "tensorboard").glob("events*"))


def test_one_genre_only_is_refused(experiment, tmp_path, toy_corpus, monkeypatch):
    import bandwise.training.crossval as crossval

    real = crossval.open_corpus
    one = lambda spec: replace(real(spec), tracks=real(spec).tracks[:6], genres=("high",))  # noqa: E731
    monkeypatch.setattr(crossval, "open_corpus", one)
    with pytest.raises(BandwiseError, match="1 genre only"):
        prepare(experiment(store=str(tmp_path / "s")))


@pytest.mark.slow
def test_two_processes_train_one_model(experiment, tmp_path):
    """DDP on the CPU (gloo): both ranks share every batch, and the figures stay those of one process."""
    import subprocess
    import sys

    script = tmp_path / "run.py"
    settings = experiment(devices=2, recipe={"sync_batch_norm": True, "epochs": 2}).model_dump(mode="json")
    script.write_text(
        "import json\nfrom pathlib import Path\n"
        "from bandwise.settings import make_experiment\nfrom bandwise.training.crossval import cross_validate\n"
        f"settings = json.loads({json.dumps(settings)!r})\n"
        "if __name__ == '__main__':\n"
        f"    cross_validate(make_experiment(**settings), Path({str(tmp_path / 'run')!r}), only=[1])\n"
    )
    done = subprocess.run([sys.executable, str(script)], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["folds"]["finished"] == 1

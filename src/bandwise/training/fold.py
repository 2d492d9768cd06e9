"""Training one network on one fold: best weights by validation, the test part touched once at the end."""

from __future__ import annotations

import logging
import os
import signal
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from bandwise.corpora.base import Corpus
from bandwise.errors import BandwiseError, MissingExtra
from bandwise.models.bundle import save_bundle
from bandwise.models.registry import build_model, resolve_config
from bandwise.progress import SILENT, Progress
from bandwise.settings import Experiment
from bandwise.splits import Fold
from bandwise.store import FeatureStore
from bandwise.training.callbacks import Recorder, validation_interval
from bandwise.training.checkpoints import AtomicCheckpoint, BestWeights, readable_checkpoint
from bandwise.training.data import ClipBatches, CropBatches, EpochPlan
from bandwise.training.module import GenreModule

EVALUATION_BUDGET = 16_384  # frames in a batch of whole clips: about 190 s of music


@dataclass(frozen=True)
class Outcome:
    """What a fold gave.

    Attributes:
        best: Probabilities of the test clips with the best weights by validation, float32 (N, classes).
        last: The same with the last epoch's weights; equal to ``best`` for systems without epochs.
        labels: Classes of the test clips, int64 (N,).
        details: Figures for the report: history, best epoch, parameters, seconds, device.
    """

    best: NDArray[np.float32]
    last: NDArray[np.float32]
    labels: NDArray[np.int64]
    details: dict[str, Any]


@dataclass(frozen=True)
class Material:
    """What a fold is trained from: the experiment, its corpus, the stored features."""

    experiment: Experiment
    corpus: Corpus
    frontend: str
    store: FeatureStore

    @cached_property
    def _classes(self) -> dict[str, int]:
        number = {genre: i for i, genre in enumerate(self.corpus.genres)}
        return {track.id: number[track.genre] for track in self.corpus.tracks}

    def labels(self, ids: tuple[str, ...]) -> NDArray[np.int64]:
        """Give the classes of tracks, int64 (N,)."""
        return np.array([self._classes[i] for i in ids], dtype=np.int64)


def train_fold(material: Material, fold: Fold, directory: Path, progress: Progress = SILENT) -> Outcome:
    """Train a network, keep its best weights in ``directory`` as a model bundle, and test it.

    A run that was killed goes on at its last whole epoch, to the same weights (bit by bit on a CPU).

    Args:
        material: What to train from.
        fold: Who is trained on, validated and tested; an empty test part is allowed.
        directory: Receives ``model.safetensors``, ``config.json``, ``labels.json``, logs and, while training, the
            checkpoint to resume from.
        progress: Where to show epochs and batches.
    """
    experiment, recipe = material.experiment, material.experiment.recipe
    directory.mkdir(parents=True, exist_ok=True)
    L.seed_everything(recipe.seed, verbose=False)
    genres = material.corpus.genres
    config = resolve_config(experiment.system, len(genres), experiment.size, **experiment.overrides)
    if recipe.crops == "store" and config.mels != material.store.meta.width:
        raise BandwiseError(
            f"{experiment.system} takes {config.mels} mel bands but the {material.frontend!r} front end gives "
            f"{material.store.meta.width}: --set frontend=…, or --set overrides.mels={material.store.meta.width}"
        )
    model = build_model(config)
    module = GenreModule(model, recipe, len(genres), frontend_of(material))
    best, recorder = BestWeights(directory), Recorder(recipe, progress)
    try:
        with _quiet():
            trainer = _trainer(experiment, directory, [best, recorder])
    except MisconfigurationException as error:
        reason = " ".join(str(error).split())
        raise BandwiseError(
            f"accelerator = {experiment.accelerator}, devices = {experiment.devices}: {reason}"
        ) from None
    if recipe.sync_batch_norm and trainer.world_size > 1 and trainer.strategy.root_device.type == "cpu":
        progress.warn("sync_batch_norm works on GPUs only: every CPU process keeps its own batch statistics")
    loaders = Loaders(material, fold, trainer.world_size, trainer.global_rank)
    resume = readable_checkpoint(directory, progress)
    began = time.perf_counter()
    try:
        with _quiet():
            trainer.fit(
                module,
                loaders.train(),
                loaders.clips(fold.valid),
                ckpt_path=str(resume) if resume else None,
                weights_only=True,
            )
    except SystemExit:  # Lightning's answer to Ctrl-C, after it has set the signal aside
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from None
    finally:
        recorder.close()
    if experiment.logger == "wandb":  # else the next fold would be logged into this one's run
        trainer.logger.experiment.finish()  # type: ignore[union-attr]
    seconds = time.perf_counter() - began
    last = predict(module, loaders, fold.test)
    best.restore(model)
    if trainer.is_global_zero:
        save_bundle(directory, model, config, genres, _describe(material))
    outcome = Outcome(
        best=predict(module, loaders, fold.test),
        last=last,
        labels=material.labels(fold.test),
        details={
            "history": [vars(figures) for figures in recorder.history],
            "best_epoch": best.epoch,
            "valid_accuracy": best.accuracy,
            "parameters": sum(p.numel() for p in model.parameters()),
            "train_seconds": sum(figures.seconds for figures in recorder.history),
            "seconds_this_session": seconds,
            "device": _device_name(trainer.strategy.root_device),
            "precision": recipe.precision,
        },
    )
    trainer.strategy.barrier()  # nobody still reads what goes away now
    if trainer.is_global_zero:
        (directory / "resume.ckpt").unlink(missing_ok=True)
        best.path.unlink(missing_ok=True)
    return outcome


def predict(module: GenreModule, loaders: Loaders, ids: tuple[str, ...]) -> NDArray[np.float32]:
    """Give the probabilities of tracks under the recipe's test rule, (N, classes)."""
    classes = len(loaders.material.corpus.genres)
    result = np.zeros((len(ids), classes), np.float32)
    if not ids:
        return result
    device = torch.device("cuda" if torch.cuda.is_available() and loaders.on_gpu else "cpu")
    module.to(device).eval()
    bf16 = module.recipe.precision == "bf16"
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for clips, _, items in loaders.clips(ids):
            result[items.numpy()] = module.probabilities(clips.to(device)).float().cpu().numpy()
    return result


class Loaders:
    """Makes the data loaders of one fold."""

    def __init__(self, material: Material, fold: Fold, world: int = 1, rank: int = 0) -> None:
        self.material, self.fold, self.world, self.rank = material, fold, world, rank
        recipe = material.experiment.recipe
        self.on_gpu = material.experiment.accelerator != "cpu"
        self.crop, self.scale = recipe.crop_frames, 1
        if recipe.crops == "wave":
            from bandwise.audio.frontend import create_frontend

            frontend = create_frontend(material.frontend)
            self.crop, self.scale = frontend.samples(recipe.crop_frames), frontend.hop

    def train(self) -> DataLoader[Any]:
        """Give random crops of the training part."""
        material, recipe = self.material, self.material.experiment.recipe
        batches = CropBatches(material.store, self.fold.train, material.labels(self.fold.train), self.crop)
        plan = EpochPlan(
            batches.lengths, self.crop, recipe.batch, recipe.crops_per_song, recipe.seed, self.rank, self.world
        )
        return DataLoader(batches, sampler=plan, batch_size=None)

    def clips(self, ids: tuple[str, ...]) -> DataLoader[Any]:
        """Give tracks as the recipe's test rule wants them."""
        material, recipe = self.material, self.material.experiment.recipe
        crops = recipe.test_crops if recipe.test == "crops" else None
        budget = EVALUATION_BUDGET * self.scale
        return DataLoader(
            ClipBatches(material.store, ids, material.labels(ids), crops, self.crop, budget), batch_size=None
        )


def _trainer(experiment: Experiment, directory: Path, callbacks: list[Callback]) -> L.Trainer:
    recipe = experiment.recipe
    checkpoint = ModelCheckpoint(
        dirpath=directory, filename="resume", save_top_k=1, monitor=None, save_on_train_epoch_end=True,
        enable_version_counter=False,
    )  # fmt: skip
    several = experiment.devices > 1
    on_gpu = torch.cuda.is_available() and experiment.accelerator != "cpu"
    return L.Trainer(
        accelerator=experiment.accelerator,
        devices=experiment.devices,
        strategy="ddp" if several else "auto",
        sync_batchnorm=recipe.sync_batch_norm and several and on_gpu,  # PyTorch has it for GPUs only
        use_distributed_sampler=False,
        precision="bf16-mixed" if recipe.precision == "bf16" else "32-true",
        max_epochs=recipe.epochs,
        check_val_every_n_epoch=validation_interval(recipe),
        num_sanity_val_steps=0,
        callbacks=[*callbacks, checkpoint],
        logger=_logger(experiment.logger, directory),
        log_every_n_steps=1_000_000,  # figures per epoch; a step's loss says little
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=directory,
        plugins=[AtomicCheckpoint()],
    )


def _logger(name: str, directory: Path) -> Any:
    if name == "none":
        return False
    from lightning.pytorch import loggers

    folder = directory.resolve()
    label = f"{folder.parent.parent.name}-{folder.name}" if folder.parent.name == "folds" else folder.name
    try:
        if name == "mlflow":
            # One database for all folds: MLflow keeps the first it opens for the whole process.
            place = directory.parent if directory.parent.name == "folds" else directory
            uri = os.environ.get("MLFLOW_TRACKING_URI", f"sqlite:///{place.resolve() / 'mlflow.db'}")
            return loggers.MLFlowLogger(experiment_name="bandwise", tracking_uri=uri, run_name=label)
        if name == "wandb":
            return loggers.WandbLogger(project="bandwise", name=label, save_dir=directory)
    except ModuleNotFoundError:
        raise MissingExtra(name, f"logger = {name}", name) from None
    return loggers.TensorBoardLogger(directory, name="", version="tensorboard")


def frontend_of(material: Material) -> torch.nn.Module | None:
    """Give the front end that the module applies itself: to waves; stored features need none."""
    if material.experiment.recipe.crops != "wave":
        return None
    from bandwise.audio.frontend import create_frontend

    return create_frontend(material.frontend)


def _describe(material: Material) -> dict[str, Any]:
    """What ``config.json`` says beside the network: what a classifier, or a person, needs to know of training."""
    experiment = material.experiment
    return {
        "frontend": material.frontend,
        "system": experiment.system,
        "size": experiment.size,
        "min_frames": experiment.recipe.crop_frames,  # anything shorter is repeated, as in training
        "corpus": material.corpus.name,
        "caveat": material.corpus.caveat,
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return f"CPU, threads: {torch.get_num_threads()}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's advertisements and advice off the screen; errors still come through."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero", "lightning_utilities")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)

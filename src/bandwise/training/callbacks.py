"""What happens around the epochs: learning rate, best weights, figures for the report, bars."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from bandwise.errors import BandwiseError
from bandwise.progress import Progress, Task
from bandwise.settings import Recipe
from bandwise.training.module import GenreModule


def learning_rate(recipe: Recipe, epoch: int, stalls: int = 0) -> float:
    """Give an epoch's learning rate: a pure function, so that a resumed run cannot be off by a step.

    Args:
        recipe: The schedule and its numbers.
        epoch: From 0.
        stalls: How often the training loss has stalled (schedule ``plateau``).
    """
    if recipe.schedule == "cosine":
        return recipe.lr_min + (recipe.lr - recipe.lr_min) * (1 + math.cos(math.pi * epoch / recipe.epochs)) / 2
    if recipe.schedule == "exponential":
        return float(recipe.lr * recipe.gamma**epoch)
    if recipe.schedule == "plateau":
        return float(recipe.lr * recipe.gamma**stalls)
    return recipe.lr


def validation_interval(recipe: Recipe) -> int:
    """Give the epochs from one validation to the next; a short training is validated at its end at least."""
    return min(recipe.validate_every, recipe.epochs)


@dataclass
class Stall:
    """Counts epochs in which the training loss made no progress of ``delta``, and the stalls they add up to."""

    patience: int
    delta: float
    best: float = math.inf
    waited: int = 0
    stalls: int = 0

    def update(self, loss: float) -> None:
        """Take an epoch's loss into account."""
        if loss < self.best - self.delta:
            self.best, self.waited = loss, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            self.waited, self.stalls = 0, self.stalls + 1


@dataclass
class EpochFigures:
    """What one epoch showed; ``None`` where it was not validated."""

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    valid_loss: float | None
    valid_accuracy: float | None
    seconds: float


class Recorder(Callback):
    """Sets the learning rate, keeps every epoch's figures, shows them, and ends training where the recipe says so.

    Attributes:
        history: One entry an epoch.
    """

    def __init__(self, recipe: Recipe, progress: Progress) -> None:
        self.recipe, self.progress = recipe, progress
        self.history: list[EpochFigures] = []
        self.plateau = Stall(recipe.patience, 0.0)
        self.early = Stall(recipe.stop_after or 1, recipe.stop_delta)
        self._bars = ExitStack()
        self._batch_bar = ExitStack()
        self._epochs: Task | None = None
        self._batches: Task | None = None
        self._began = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Open the bar of the epochs."""
        self._epochs = self._bars.enter_context(self.progress.task("epochs", trainer.max_epochs, "epochs"))
        self._epochs.advance(trainer.current_epoch)

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Set the rate and open the bar of the batches."""
        if self.stopped:  # a resumed run that had already come to its early end
            raise StopIteration
        rate = learning_rate(self.recipe, trainer.current_epoch, self.plateau.stalls)
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = rate
        self._began = time.perf_counter()
        self._batches = self._batch_bar.enter_context(
            self.progress.task("batches", int(trainer.num_training_batches), "batches")
        )

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Count a batch."""
        if self._batches is not None:
            self._batches.advance()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the epoch's figures. Runs after the epoch's validation and before the checkpoint is written."""
        assert isinstance(pl_module, GenreModule)
        epoch = trainer.current_epoch
        validated = (epoch + 1) % validation_interval(self.recipe) == 0
        figures = EpochFigures(
            epoch=epoch + 1,
            lr=learning_rate(self.recipe, epoch, self.plateau.stalls),
            train_loss=float(pl_module.train_loss.compute()),
            train_accuracy=float(pl_module.train_accuracy.compute()),
            valid_loss=float(pl_module.valid_loss.compute()) if validated else None,
            valid_accuracy=float(pl_module.valid_accuracy.compute()) if validated else None,
            seconds=time.perf_counter() - self._began,
        )
        for metric in (
            pl_module.train_loss,
            pl_module.train_accuracy,
            pl_module.valid_loss,
            pl_module.valid_accuracy,
        ):
            metric.reset()
        self.history.append(figures)
        pl_module.log_dict({k: float(v) for k, v in vars(figures).items() if v is not None and k != "epoch"})
        self.plateau.update(figures.train_loss)
        self.early.update(figures.train_loss)
        trainer.should_stop = self.stopped
        if not math.isfinite(figures.train_loss):
            raise BandwiseError(
                f"the training loss is {figures.train_loss} in epoch {figures.epoch}: try a lower recipe.lr (now "
                f"{self.recipe.lr})"
            )
        self._batch_bar.close()
        if self._epochs is not None:
            valid = "" if figures.valid_accuracy is None else f", valid {100 * figures.valid_accuracy:.1f} %"
            self._epochs.describe(f"loss {figures.train_loss:.3f}{valid}")
            self._epochs.advance()

    @property
    def stopped(self) -> bool:
        """Whether the recipe's early end has come; never before weights were validated."""
        validated = any(figures.valid_accuracy is not None for figures in self.history)
        return self.recipe.stop_after is not None and self.early.stalls > 0 and validated

    def close(self) -> None:
        """Take the bars away."""
        self._batch_bar.close()
        self._bars.close()

    def state_dict(self) -> dict[str, Any]:
        """Go into the checkpoint, with the state of torch's generator."""
        return {
            "history": [vars(figures) for figures in self.history],
            "plateau": vars(self.plateau),
            "early": vars(self.early),
            "rng": torch.get_rng_state(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Come back from it."""
        self.history = [EpochFigures(**figures) for figures in state_dict["history"]]
        self.plateau, self.early = Stall(**state_dict["plateau"]), Stall(**state_dict["early"])
        torch.set_rng_state(state_dict["rng"].cpu())

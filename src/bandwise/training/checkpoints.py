"""What a fold keeps on disk while it is trained: the best weights, and the checkpoint to resume from."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback

from bandwise.files import replacing
from bandwise.progress import Progress
from bandwise.training.module import GenreModule


class BestWeights(Callback):
    """Keeps a real copy of the weights with the best validation accuracy; the first of equals stays."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "best.safetensors"
        self.accuracy, self.epoch = -math.inf, 0

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Compare and copy."""
        assert isinstance(pl_module, GenreModule)
        accuracy = float(pl_module.valid_accuracy.compute())
        if accuracy <= self.accuracy:
            return
        self.accuracy, self.epoch = accuracy, trainer.current_epoch + 1
        if trainer.is_global_zero:
            from safetensors.torch import save_file

            weights = {k: v.detach().cpu().contiguous() for k, v in pl_module.model.state_dict().items()}
            with replacing(self.path) as temporary:
                save_file(weights, temporary)

    def restore(self, model: torch.nn.Module) -> None:
        """Put the best weights into a model."""
        from safetensors.torch import load_file

        model.load_state_dict(load_file(self.path))

    def state_dict(self) -> dict[str, Any]:
        """Go into the checkpoint."""
        return {"accuracy": self.accuracy, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Come back from it."""
        self.accuracy, self.epoch = state_dict["accuracy"], state_dict["epoch"]


def readable_checkpoint(directory: Path, progress: Progress) -> Path | None:
    """Give the checkpoint to go on from, if there is a readable one."""
    path = directory / "resume.ckpt"
    if not path.exists():
        return None
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged zip file may cause
        progress.warn(f"{path} cannot be read ({type(error).__name__}); this fold starts anew")
        path.unlink()
        return None
    return path


class AtomicCheckpoint(TorchCheckpointIO):
    """Writes checkpoints like everything else here: a temporary file beside it, fsync, rename."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write a checkpoint."""
        with replacing(Path(path)) as temporary:
            torch.save(checkpoint, temporary)

"""The Lightning module: loss, optimiser, and one rule for validation and test."""

from __future__ import annotations

import lightning as L
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric
from torchmetrics.classification import MulticlassAccuracy

from bandwise.settings import Recipe


class GenreModule(L.LightningModule):
    """Trains one network on crops.

    Args:
        model: Takes (B, F, T), gives logits.
        recipe: How to train.
        num_classes: Genres.
        frontend: Turns waves into log-mel on the device where crops are cut from the wave; ``None`` for features.
    """

    def __init__(self, model: nn.Module, recipe: Recipe, num_classes: int, frontend: nn.Module | None = None) -> None:
        super().__init__()
        self.model, self.recipe, self.frontend = model, recipe, frontend
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        # Counted here and summed over processes once an epoch.
        self.train_loss, self.valid_loss = MeanMetric(), MeanMetric()
        self.train_accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.valid_accuracy = MulticlassAccuracy(num_classes, average="micro")

    def forward(self, x: Tensor) -> Tensor:
        """Give logits (B, classes) of stored features (B, T, F) or waves (B, N, 1)."""
        if self.frontend is not None:
            return self.model(self.frontend(x[..., 0].float()))  # type: ignore[no-any-return]
        return self.model(x.transpose(1, 2).float())  # type: ignore[no-any-return]

    def probabilities(self, clips: Tensor) -> Tensor:
        """Give each clip's probabilities (B, classes): softmax of its n crops, averaged. clips: (B, n, T, F)."""
        logits = self(clips.flatten(0, 1)).float()
        return torch.softmax(logits, dim=1).view(*clips.shape[:2], -1).mean(dim=1)

    def training_step(self, batch: tuple[Tensor, Tensor], _index: int) -> Tensor:
        """Give a batch's loss."""
        x, y = batch
        logits = self(x)
        loss: Tensor = self.loss(logits, y)
        self.train_loss.update(loss.detach(), weight=len(y))
        self.train_accuracy.update(logits.detach(), y)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], _index: int) -> None:
        """Count a batch of clips."""
        clips, y, _ = batch
        p = self.probabilities(clips)
        self.valid_accuracy.update(p, y)
        self.valid_loss.update(nn.functional.nll_loss(p.clamp(min=1e-12).log(), y), weight=len(y))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give Adam (weight decay in the gradient, as published) or AdamW; ``Recorder`` sets the rate."""
        kind = torch.optim.Adam if self.recipe.optimizer == "adam" else torch.optim.AdamW
        return kind(self.model.parameters(), lr=self.recipe.lr, weight_decay=self.recipe.weight_decay)

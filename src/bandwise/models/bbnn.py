"""Bottom-up broadcast neural network (rows #4 and #21): Liu et al., arXiv 1901.08928.

Three broadcast units look at the spectrogram with 1×1, 3×3 and 5×5 kernels in parallel, and each hands its input on
beside its output, so that features of every scale reach the classifier.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bandwise.errors import BandwiseError


@dataclass(frozen=True)
class BbnnConfig:
    """The knobs.

    Attributes:
        num_classes: Genres.
        mels: Mel bands of the input: 128 in the original (row #4), 48 on Melon (row #21).
        channels: Channels of every convolution: 32 in the original, 13 in the published Melon code.
        norm_eps: Batch norm's epsilon: 1e-3 in the original (Keras), 1e-5 on Melon (PyTorch).
        norm_momentum: Batch norm's momentum in PyTorch's sense: 0.01 in the original, 0.1 on Melon.
    """

    num_classes: int = 10
    mels: int = 128
    channels: int = 32
    norm_eps: float = 1e-3
    norm_momentum: float = 0.01

    def __post_init__(self) -> None:
        for name in ("num_classes", "channels"):
            if getattr(self, name) < 1:
                raise BandwiseError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.mels < 2:
            raise BandwiseError(f"mels must be at least 2, not {self.mels}")


class NormReluConv(nn.Module):
    """u(k): batch norm, ReLU, k×k convolution; the size is kept. (B, in, F, T) → (B, out, F, T)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, config: BbnnConfig) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs, config.norm_eps, config.norm_momentum)
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in turn."""
        return self.conv(torch.relu(self.bn(x)))  # type: ignore[no-any-return]


class BroadcastUnit(nn.Module):
    """Four branches side by side, concatenated with the input. (B, in, F, T) → (B, in + 4·channels, F, T)."""

    def __init__(self, inputs: int, config: BbnnConfig) -> None:
        super().__init__()
        c = config.channels
        self.branch1x1 = NormReluConv(inputs, c, 1, config)
        self.branch3x3_1 = NormReluConv(inputs, c, 1, config)
        self.branch3x3_2 = NormReluConv(c, c, 3, config)
        self.branch5x5_1 = NormReluConv(inputs, c, 1, config)
        self.branch5x5_2 = NormReluConv(c, c, 5, config)
        self.branch1x1_max = NormReluConv(inputs, c, 1, config)

    def forward(self, x: Tensor) -> Tensor:
        """Look at the map in four ways."""
        branches = [
            self.branch1x1(x),
            self.branch3x3_2(self.branch3x3_1(x)),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch1x1_max(nn.functional.max_pool2d(x, 3, stride=1, padding=1)),
        ]
        return torch.cat([x, *branches], dim=1)


class Bbnn(nn.Module):
    """Stem, three broadcast units, transition, global average, linear layer.

    Shape:
        Input: (B, F, T) log-mel, without any normalisation; T ≥ 8.
        Output: (B, num_classes) logits.
    """

    def __init__(self, config: BbnnConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.conv = nn.Conv2d(1, c, 3, padding=1)
        self.bn = nn.BatchNorm2d(c, config.norm_eps, config.norm_momentum)
        self.units = nn.Sequential(*(BroadcastUnit(c * (1 + 4 * i), config) for i in range(3)))
        self.transition = NormReluConv(13 * c, c, 1, config)
        self.bn1 = nn.BatchNorm2d(c, config.norm_eps, config.norm_momentum)
        self.classifier = nn.Linear(c, config.num_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Classify log-mel (B, F, T); returns logits (B, num_classes)."""
        return self.classifier(self.embed(x))  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Give the averaged features that the last layer sees, (B, channels)."""
        if x.shape[-1] < 8:
            raise BandwiseError(f"BBNN takes at least 8 frames, not {x.shape[-1]}")
        x = torch.relu(self.bn(self.conv(x.unsqueeze(1))))  # (B, c, F, T)
        x = nn.functional.max_pool2d(x, (1, 4))  # along time
        x = nn.functional.avg_pool2d(self.transition(self.units(x)), 2)
        return torch.relu(self.bn1(x)).mean(dim=(2, 3))

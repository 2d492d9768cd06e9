"""VGGNet over the spectrogram as a one-channel image (row #17)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bandwise.errors import BandwiseError


@dataclass(frozen=True)
class VggConfig:
    """The knobs.

    Attributes:
        num_classes: Genres.
        mels: Mel bands of the input.
        width: Channels of the first block; the others have 2, 4, 8 and 8 times as many.
        hidden: Width of the two fully connected layers.
        relu_on_logits: The published code's slip, kept for ``"#17-as-published"``.
        frames: The only input length accepted, as in the published code; ``None`` accepts 200 and more.
    """

    num_classes: int = 10
    mels: int = 48
    width: int = 64
    hidden: int = 4096
    relu_on_logits: bool = False
    frames: int | None = None

    def __post_init__(self) -> None:
        for name in ("num_classes", "width", "hidden"):
            if getattr(self, name) < 1:
                raise BandwiseError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.mels < 32:
            raise BandwiseError(f"five poolings by two need at least 32 mel bands, not {self.mels}")


GRID = (1, 6)  # what five poolings leave of 48 bands and 200 frames
MIN_FRAMES = 200


class VggBlock(nn.Module):
    """Two 3×3 convolutions, from the third block on a 1×1 one too, ReLU after each, then max-pooling by 2."""

    def __init__(self, inputs: int, outputs: int, third: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv3 = nn.Conv2d(outputs, outputs, 1) if third else None

    def forward(self, x: Tensor) -> Tensor:
        """Transform a feature map: (B, in, H, W) → (B, out, H/2, W/2)."""
        x = torch.relu(self.conv2(torch.relu(self.conv1(x))))
        if self.conv3 is not None:
            x = torch.relu(self.conv3(x))
        return nn.functional.max_pool2d(x, 2)


class Vgg(nn.Module):
    """Instance norm, five blocks, three fully connected layers.

    Shape:
        Input: (B, F, T) log-mel, T ≥ 200; each band is brought to zero mean and unit variance over time first.
        Output: (B, num_classes) logits.
    """

    def __init__(self, config: VggConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.norm = nn.InstanceNorm1d(config.mels)
        self.block1 = VggBlock(1, w, third=False)
        self.block2 = VggBlock(w, 2 * w, third=False)
        self.block3 = VggBlock(2 * w, 4 * w, third=True)
        self.block4 = VggBlock(4 * w, 8 * w, third=True)
        self.block5 = VggBlock(8 * w, 8 * w, third=True)
        self.fc1 = nn.Linear(8 * w * GRID[0] * GRID[1], config.hidden)
        self.fc2 = nn.Linear(config.hidden, config.hidden)
        self.fc3 = nn.Linear(config.hidden, config.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Classify log-mel (B, F, T); returns logits (B, num_classes)."""
        logits = self.fc3(self.embed(x))
        return torch.relu(logits) if self.config.relu_on_logits else logits

    def embed(self, x: Tensor) -> Tensor:
        """Give the features that the last layer sees, (B, hidden)."""
        frames, wanted = x.shape[-1], self.config.frames
        if (wanted is not None and frames != wanted) or frames < MIN_FRAMES:
            rule = f"exactly {wanted}" if wanted is not None else f"at least {MIN_FRAMES}"
            raise BandwiseError(f"this VGG takes {rule} frames, not {frames}")
        x = self.norm(x).unsqueeze(1)  # (B, 1, F, T)
        x = self.block5(self.block4(self.block3(self.block2(self.block1(x)))))
        x = nn.functional.adaptive_avg_pool2d(x, GRID).flatten(1)  # nothing changes at 200 frames
        return torch.relu(self.fc2(torch.relu(self.fc1(x))))

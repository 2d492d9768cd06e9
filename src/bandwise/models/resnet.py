"""ResNet18, ResNet34 and SE-ResNet34 over the spectrogram as a one-channel image (rows #5–#7, #18–#20).

Differences from the usual ResNet, all read in the authors' code: the stem has no padding, and runs convolution,
ReLU, batch norm in this order, as does the first half of every block; every stage starts with stride 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bandwise.errors import BandwiseError


@dataclass(frozen=True)
class ResNetConfig:
    """The knobs.

    Attributes:
        num_classes: Genres.
        mels: Mel bands of the input.
        width: Channels of the stem and the first stage; the later ones have 2, 4 and 8 times as many.
        depths: Blocks in each of the four stages.
        squeeze_excitation: Whether each block gates its channels before the addition.
    """

    num_classes: int = 10
    mels: int = 48
    width: int = 64
    depths: tuple[int, int, int, int] = (2, 2, 2, 2)
    squeeze_excitation: bool = False

    def __post_init__(self) -> None:
        if self.mels < 9 or self.num_classes < 1:
            raise BandwiseError(
                f"at least 9 mel bands and 1 class are needed, not {self.mels} and {self.num_classes}"
            )
        if self.width < 8:
            raise BandwiseError(f"width must be at least 8, not {self.width}")
        if len(self.depths) != 4 or min(self.depths) < 1:
            raise BandwiseError(f"depths are four positive numbers, not {self.depths!r}")


class Gate(nn.Module):
    """Squeeze-and-excitation with ELU between its two linear layers. (B, C, H, W) → (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.se = nn.Sequential(
            nn.Linear(channels, channels // 8), nn.ELU(), nn.Linear(channels // 8, channels), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scale each channel."""
        return x * self.se(x.mean(dim=(2, 3)))[:, :, None, None]  # type: ignore[no-any-return]


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut. (B, in, H, W) → (B, out, H/stride, W/stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int, squeeze_excitation: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.se: nn.Module = Gate(outputs) if squeeze_excitation else nn.Identity()
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Transform a feature map."""
        y = self.bn1(torch.relu(self.conv1(x)))
        y = self.se(self.bn2(self.conv2(y)))
        return torch.relu(y + self.downsample(x))


class ResNet(nn.Module):
    """Instance norm, stem, four stages, global average, linear layer.

    Shape:
        Input: (B, F, T) log-mel; each band is brought to zero mean and unit variance over time first.
        Output: (B, num_classes) logits.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.config = config
        w = config.width
        self.norm = nn.InstanceNorm1d(config.mels)
        self.conv1 = nn.Conv2d(1, w, 7, stride=2)
        self.bn1 = nn.BatchNorm2d(w)
        self.pool = nn.MaxPool2d(3, stride=2)
        channels = w
        stages = []
        for depth, outputs in zip(config.depths, (w, 2 * w, 4 * w, 8 * w), strict=True):
            blocks = [
                BasicBlock(channels if i == 0 else outputs, outputs, 2 if i == 0 else 1, config.squeeze_excitation)
                for i in range(depth)
            ]
            stages.append(nn.Sequential(*blocks))
            channels = outputs
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.fc = nn.Linear(channels, config.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Classify log-mel (B, F, T); returns logits (B, num_classes)."""
        return self.fc(self.embed(x))  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Give the averaged features that the last layer sees, (B, 8·width)."""
        if x.shape[-1] < 9:
            raise BandwiseError(f"ResNet takes at least 9 frames, not {x.shape[-1]}")
        x = self.norm(x).unsqueeze(1)  # (B, 1, F, T)
        x = self.pool(self.bn1(torch.relu(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return x.mean(dim=(2, 3))

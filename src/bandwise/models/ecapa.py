"""ECAPA-TDNN with convolution channel separation (CCS) and frequency sub-bands aggregation (FSA).

One model with three knobs: ``continuous`` (the paper's c), ``stop`` (s) and ``bands``. ``stop=0, bands=1`` is
the paper's section 2, ``stop>0`` its section 3.1 (CCS), ``bands=4`` its section 3.2 (FSA).

Symbols, used in every shape below:
    B batch, F mel bands, T frames, G sub-bands, k = 1, 2, 3 the number of a block,
    C continuous and S stop channels of one sub-band, P = C + S, D channels that enter the pooling layer.

Everywhere the order inside a layer is convolution, ReLU, batch norm, as in the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bandwise.errors import BandwiseError


@dataclass(frozen=True)
class EcapaConfig:
    """The knobs.

    Attributes:
        num_classes: Genres.
        mels: Mel bands of the input, F.
        continuous: Channels that go on to the next block and to Last-Conv, over all sub-bands (the paper's c).
        stop: Channels that every block sends straight to the pooling layer, over all sub-bands (s); 0 is no CCS.
        bands: Sub-bands with a feature extractor each (G); 1 is no FSA.
        band_width: Mel bins a sub-band sees; ``None`` lets neighbours share a sixth of F (18 of 48 for G = 4).
        band_hop: Mel bins from one sub-band to the next; ``None`` spreads them evenly (10 of 48 for G = 4).
        last_conv: ``"conv1"``, a 1×1 convolution, or ``"se_res2_k1"``, an SE-Res2Block with kernel 1 (the
            authors' FSA code). ``None`` takes the first for one band and the second for several.
        last_conv_width: Its output channels; ``None`` is 1.5·(c + s) for ``conv1``, 1.5·c for ``se_res2_k1``.
        attention: Hidden channels of the attentive statistics pooling.
        se: Hidden channels of the squeeze-and-excitation layers.
    """

    num_classes: int = 10
    mels: int = 48
    continuous: int = 1024
    stop: int = 0
    bands: int = 1
    band_width: int | None = None
    band_hop: int | None = None
    last_conv: str | None = None
    last_conv_width: int | None = None
    attention: int = 256
    se: int = 128

    def __post_init__(self) -> None:
        for name in ("num_classes", "mels", "continuous", "bands", "attention", "se"):
            if getattr(self, name) < 1:
                raise BandwiseError(f"{name} must be at least 1, not {getattr(self, name)}")
        if self.stop < 0:
            raise BandwiseError(f"stop must be 0 (no channel separation) or more, not {self.stop}")
        if self.continuous % self.bands or self.stop % self.bands:
            raise BandwiseError(
                f"continuous ({self.continuous}) and stop ({self.stop}) are shared out among the bands, "
                f"so both must be divisible by bands ({self.bands})"
            )
        if (self.continuous + self.stop) // self.bands < SCALE:
            raise BandwiseError(
                f"(continuous + stop) / bands is {(self.continuous + self.stop) // self.bands}, "
                f"but a block splits it into {SCALE} groups and needs at least {SCALE}"
            )
        if self.last_conv not in (None, "conv1", "se_res2_k1"):
            raise BandwiseError(f"last_conv is 'conv1' or 'se_res2_k1', not {self.last_conv!r}")
        if self.last_conv_width is not None and self.last_conv_width < SCALE:
            raise BandwiseError(f"last_conv_width must be at least {SCALE}, not {self.last_conv_width}")
        self.layout()

    def layout(self) -> list[slice]:
        """Give the mel bins of each sub-band: for the paper's four, [0:18], [10:28], [20:38], [30:48].

        Raises:
            BandwiseError: The bands would leave the spectrogram, or leave bins that no band sees.
        """
        g, f = self.bands, self.mels
        if g > f:
            raise BandwiseError(f"{g} bands cannot be cut out of {f} mel bins; use at most {f}")
        shared = 0 if g == 1 else f // 6
        hop = self.band_hop if self.band_hop is not None else max(1, (f - shared) // g)
        width = self.band_width if self.band_width is not None else f - (g - 1) * hop
        end = (g - 1) * hop + width
        if width < 1 or (g > 1 and hop < 1):
            raise BandwiseError(f"a band width of {width} and a hop of {hop} mel bins leave nothing to see")
        if end != f or (g > 1 and hop > width):
            trouble = (
                f"reach bin {end} of only {f}"
                if end > f
                else f"end at bin {end}, so bins {end} to {f - 1} would go unseen"
                if end < f
                else "leave gaps between them"
            )
            raise BandwiseError(
                f"{g} bands of {width} mel bins with hop {hop} {trouble}: "
                f"(bands − 1)·band_hop + band_width must equal mels ({f}) and band_hop must not exceed band_width; "
                "leave band_width and band_hop out to have them chosen"
            )
        return [slice(i * hop, i * hop + width) for i in range(g)]

    @property
    def aggregation(self) -> str:
        """The kind of Last-Conv, with the default resolved."""
        return self.last_conv or ("conv1" if self.bands == 1 else "se_res2_k1")

    @property
    def aggregation_width(self) -> int:
        """The output channels of Last-Conv, with the default resolved."""
        if self.last_conv_width is not None:
            return self.last_conv_width
        base = self.continuous + self.stop if self.aggregation == "conv1" else self.continuous
        return int(1.5 * base)


SCALE = 8  # Res2 groups in a block
DILATIONS = (2, 3, 4)  # of blocks 1, 2, 3


class ConvReluNorm(nn.Module):
    """Convolution over time, ReLU, batch norm; the length is kept. (B, in, T) → (B, out, T)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=dilation * (kernel // 2))
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the three in turn."""
        return self.norm(torch.relu(self.conv(x)))  # type: ignore[no-any-return]


class SqueezeExcitation(nn.Module):
    """Scale every channel by a gate computed from the channels' means over time. (B, P, T) → (B, P, T)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv1d(channels, hidden, 1)
        self.excite = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Apply the gate."""
        means = x.mean(dim=2, keepdim=True)  # (B, P, 1)
        return x * torch.sigmoid(self.excite(torch.relu(self.squeeze(means))))


class SERes2Block(nn.Module):
    """SE-Res2Block: 1×1 convolution, Res2 convolutions over 8 groups, 1×1 convolution, SE, plus the input.

    Shape: (B, C, T) → (B, P, T). Where C ≠ P the input is added through a 1×1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, se: int, kernel: int = 3, dilation: int = 1) -> None:
        super().__init__()
        self.group_width = outputs // SCALE
        self.reduce = ConvReluNorm(inputs, SCALE * self.group_width)
        self.res2 = nn.ModuleList(
            ConvReluNorm(self.group_width, self.group_width, kernel, dilation) for _ in range(SCALE - 1)
        )
        self.expand = ConvReluNorm(SCALE * self.group_width, outputs)
        self.se = SqueezeExcitation(outputs, se)
        self.shortcut = nn.Conv1d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Transform a feature map."""
        groups = self.reduce(x).split(self.group_width, dim=1)  # 8 of (B, P/8, T)
        outputs = [self.res2[0](groups[0])]
        for convolution, group in zip(self.res2[1:], groups[1:-1], strict=True):
            outputs.append(convolution(outputs[-1] + group))
        outputs.append(groups[-1])  # the last group passes through untouched
        return self.se(self.expand(torch.cat(outputs, dim=1))) + self.shortcut(x)  # type: ignore[no-any-return]


class FeatureExtractor(nn.Module):
    """Fst-Conv and three SE-Res2Blocks over one sub-band, with channel separation (Equations 1–3, Figure 2).

    Shape: (B, bins, T) → three continuous maps (B, C, T) and three stop maps (B, S, T).
    """

    def __init__(self, bins: int, continuous: int, stop: int, se: int) -> None:
        super().__init__()
        self.continuous = continuous
        self.first_conv = ConvReluNorm(bins, continuous, kernel=5)
        self.blocks = nn.ModuleList(SERes2Block(continuous, continuous + stop, se, dilation=d) for d in DILATIONS)

    def forward(self, band: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Extract short-term (stop) and long-term (continuous) features."""
        i_k = self.first_conv(band)  # I_1 = X
        continuous, stop = [], []
        for block in self.blocks:
            f_k = block(i_k)  # F_k (B, P, T)
            # Equations 2 and 3. The paper counts the stop channels first, the authors' code last; the two differ
            # by a permutation of channels, and the code's order lets checkpoints be exchanged.
            continuous.append(f_k[:, : self.continuous])
            stop.append(f_k[:, self.continuous :])
            i_k = i_k + continuous[-1]  # Equation 1: I_{k+1} = X + Σ_{i≤k} F_i^cont
        return continuous, stop


class AttentiveStatisticsPooling(nn.Module):
    """Mean and deviation over time, weighted per channel by an attention. (B, D, T) → (B, 2D)."""

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.channels = channels
        self.hidden = ConvReluNorm(3 * channels, hidden)
        self.score = nn.Conv1d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pool a feature map of at least two frames."""
        w = self._weights(x)  # (B, D, T)
        x = x.float()  # sums over thousands of frames need more than bf16's eight bits
        mean = (w * x).sum(dim=2)
        variance = (w * x * x).sum(dim=2) - mean * mean
        return torch.cat([mean, variance.clamp(min=1e-4).sqrt()], dim=1)

    def _weights(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x.float(), dim=2, keepdim=True)  # unbiased, (B, D, 1)
        context = torch.cat([mean, variance.clamp(min=1e-4).sqrt()], dim=1).to(x.dtype)  # (B, 2D, 1)
        # The published layer convolves [x, mean, std] with one (H, 3D, 1) kernel. Mean and std do not change over
        # time, so their share is computed for one frame and broadcast: the same sum with a third of the work.
        conv = self.hidden.conv
        of_x = nn.functional.conv1d(x, conv.weight[:, : self.channels])
        of_context = nn.functional.conv1d(context, conv.weight[:, self.channels :], conv.bias)
        hidden = torch.tanh(self.hidden.norm(torch.relu(of_x + of_context)))
        return torch.softmax(self.score(hidden).float(), dim=2)


class EcapaTdnn(nn.Module):
    """The paper's network: sub-bands, extractors, Last-Conv, pooling, classifier (Figures 1–3).

    Shape:
        Input: (B, F, T) log-mel as the front end gives it; each band's mean over time is subtracted first.
        Output: (B, num_classes) logits.
    """

    def __init__(self, config: EcapaConfig) -> None:
        super().__init__()
        self.config = config
        self.layout = config.layout()
        g = config.bands
        c, s = config.continuous // g, config.stop // g
        self.extractors = nn.ModuleList(
            FeatureExtractor(bins.stop - bins.start, c, s, config.se) for bins in self.layout
        )
        inputs, width = 3 * config.continuous, config.aggregation_width
        self.last_conv: nn.Module
        if config.aggregation == "conv1":
            self.last_conv = nn.Sequential(nn.Conv1d(inputs, width, 1), nn.ReLU())  # no batch norm
        else:
            self.last_conv = SERes2Block(inputs, width, config.se, kernel=1)
        pooled = width + 3 * config.stop
        self.pooling = AttentiveStatisticsPooling(pooled, config.attention)
        self.classifier = nn.Sequential(
            nn.BatchNorm1d(2 * pooled), nn.Linear(2 * pooled, config.num_classes), nn.BatchNorm1d(config.num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Classify log-mel (B, F, T); returns logits (B, num_classes)."""
        return self.classifier(self.embed(x))  # type: ignore[no-any-return]

    def embed(self, x: Tensor) -> Tensor:
        """Give the pooled statistics that the classifier sees, (B, 2D)."""
        if x.ndim != 3 or x.shape[1] != self.config.mels or x.shape[2] < 2:
            raise BandwiseError(
                f"the model takes (batch, {self.config.mels} mel bands, at least 2 frames), not {tuple(x.shape)}"
            )
        x = x - x.mean(dim=2, keepdim=True)
        per_band = [extractor(x[:, bins]) for extractor, bins in zip(self.extractors, self.layout, strict=True)]
        # Band-major: [b1k1, b1k2, b1k3, b2k1, …]
        continuous = torch.cat([f for band, _ in per_band for f in band], dim=1)  # (B, 3C over all bands, T)
        stops = [f for _, band in per_band for f in band]
        last = self.last_conv(continuous)
        # The authors' code puts the stop channels before Last-Conv with one band and after it with several.
        ordered = [*stops, last] if self.config.bands == 1 else [last, *stops]
        return self.pooling(torch.cat(ordered, dim=1))  # type: ignore[no-any-return]

"""Mono wave to log-mel: the paper's two front ends, and the one of the comparison system BBNN.

Symbols: B batch, N samples, F mel bands, T frames.

``gtzan``: rows #5–#16, as in the authors' code. Checked against golden figures.

``melon``: the arrays of the Melon Playlist Dataset, for one's own audio with a model trained on them. The data set's
publication (Ferraro et al., ICASSP 2021) gives 16 kHz, Hann frames of 512 every 256, and 48 bands in dB. The rest
comes from a public notebook that recovered the settings from the arrays ("MelonSignature"): Essentia's
``FrameGenerator`` (``startFromZero=False``), ``Windowing`` (hann, not normalised), ``MelBands`` (slaneyMel, linear,
unit_tri, power) and ``UnaryOperator`` (lin2db, scale 2). In figures, found by comparing with Essentia: a symmetric
Hann window, the first frame centred on the first sample, zeros beyond both ends, as many frames as reach the last
sample (1,876 for 30 s), and 2 · 10 · log10(max(power, 1e-10)). Assumed, for want of the recordings: the way they were
resampled and made mono, and that full scale is 1.

``bbnn``: row #4, as the authors' notebook has it with librosa. A GTZAN clip (661,794 samples) makes 647 frames;
30 s to the sample (661,500) make 646. At the ends the wave is reflected, as librosa did then (R: the version is not
stated).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from bandwise.audio.mel import mel_filters
from bandwise.errors import BandwiseError

CODE_VERSION = 1
"""Raise it whenever a change here or in ``mel.py`` changes the figures: stored features carry it in their key."""

# Spectrogram frames held at once (over the whole batch): bounds the memory that an hour of audio takes.
_FRAMES_AT_ONCE = 16_384


@dataclass(frozen=True)
class FrontEndConfig:
    """Every setting of a front end.

    Attributes:
        name: What it is called.
        sample_rate: Of the wave, in Hz.
        n_fft: Size of the Fourier transform, in samples.
        window: Size of the Hann window, zero-padded on both sides to ``n_fft``.
        symmetric: The window is symmetric, not periodic.
        hop: Samples from one frame to the next.
        padding: What lies beyond the ends of the wave, half an ``n_fft`` on each side: its reflection or zeros.
        cover_end: Add a frame where the last samples lie behind the last frame's centre.
        bands: Mel bands F.
        mel_scale: Slaney's (linear to 1 kHz) or HTK's (2595 · log10(1 + f / 700)).
        area_normalised: Each band's triangle has unit area over frequency in Hz; else unit height.
        f_min: Lower edge of the lowest band, in Hz.
        f_max: Upper edge of the highest band, in Hz.
        power: Exponent of the magnitude: 2 is power.
        compression: ``"log"``: ln(mel + floor); ``"db"``: scale · 10 · log10(max(mel, floor)).
        floor: See ``compression``.
        scale: See ``compression``.
        top_db: Raise what lies this far below a clip's maximum to that level; ``None`` leaves it.
        crop: Samples of the published training crop; ``None`` where it is cut in frames.
    """

    name: str
    sample_rate: int
    n_fft: int
    window: int
    hop: int
    bands: int
    mel_scale: Literal["htk", "slaney"]
    f_max: float
    compression: Literal["log", "db"]
    floor: float
    area_normalised: bool
    f_min: float = 0.0
    symmetric: bool = False
    padding: Literal["reflect", "zero"] = "reflect"
    cover_end: bool = False
    power: float = 2.0
    scale: float = 1.0
    top_db: float | None = None
    crop: int | None = None


_CONFIGS = {
    config.name: config
    for config in (
        FrontEndConfig(
            name="gtzan",
            sample_rate=22_050,
            n_fft=2048,
            window=512,
            hop=256,
            bands=48,
            mel_scale="htk",
            f_max=11_025.0,
            compression="log",
            floor=1e-6,
            area_normalised=False,
            crop=44_356,
        ),
        FrontEndConfig(
            name="melon",
            sample_rate=16_000,
            n_fft=512,
            window=512,
            hop=256,
            bands=48,
            mel_scale="slaney",
            f_max=8_000.0,
            compression="db",
            floor=1e-10,
            area_normalised=True,
            symmetric=True,
            padding="zero",
            cover_end=True,
            scale=2.0,
        ),
        FrontEndConfig(
            name="bbnn",
            sample_rate=22_050,
            n_fft=2048,
            window=2048,
            hop=1024,
            bands=128,
            mel_scale="slaney",
            f_max=11_025.0,
            compression="db",
            floor=1e-10,
            area_normalised=True,
            top_db=80.0,
        ),
    )
}


def list_frontends() -> list[str]:
    """Name the front ends that ``create_frontend`` makes."""
    return list(_CONFIGS)


def create_frontend(name: str) -> FrontEnd:
    """Make a front end by its name.

    >>> create_frontend("gtzan").frames(44_356)
    174

    Args:
        name: One of ``list_frontends()``.

    Returns:
        The module, on the CPU.

    Raises:
        BandwiseError: There is no such front end.
    """
    if name not in _CONFIGS:
        raise BandwiseError(f"there is no front end {name!r}; choose one of {', '.join(_CONFIGS)}")
    return FrontEnd(_CONFIGS[name])


class FrontEnd(torch.nn.Module):
    """Mono waves to log-mel, on the device it was moved to.

    It has no parameters and leaves nothing in a state dict. It computes in float32 even under autocast.

    Args:
        config: All its settings.

    Shape:
        wave (B, N) or (N,), floating point, full scale 1, at ``sample_rate`` → (B, F, T) or (F, T), float32, in the
        unit of ``config.compression``. NaN in the wave gives NaN.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, config: FrontEndConfig) -> None:
        super().__init__()
        self.config = config
        window = torch.hann_window(config.window, periodic=not config.symmetric, dtype=torch.float64)
        left = (config.n_fft - config.window) // 2
        window = torch.nn.functional.pad(window, (left, config.n_fft - config.window - left))
        filters = mel_filters(
            config.bands,
            config.n_fft,
            config.sample_rate,
            config.f_min,
            config.f_max,
            scale=config.mel_scale,
            area_normalised=config.area_normalised,
        )
        self.register_buffer("window", window.float(), persistent=False)
        self.register_buffer("filters", filters.float(), persistent=False)

    @property
    def sample_rate(self) -> int:
        """The rate of the wave it takes, in Hz."""
        return self.config.sample_rate

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.config.hop

    @property
    def bands(self) -> int:
        """Mel bands F."""
        return self.config.bands

    @property
    def min_samples(self) -> int:
        """The shortest wave it takes: one long enough to be reflected by half an ``n_fft``."""
        return self.config.n_fft // 2 + 1

    def frames(self, samples: int) -> int:
        """Count the frames T of a wave of N ``samples``."""
        whole, rest = divmod(samples, self.config.hop)
        return whole + 1 + (1 if self.config.cover_end and rest else 0)

    def samples(self, frames: int) -> int:
        """Give the length of a wave that makes so many ``frames``: the published crop's where it makes just these."""
        crop = self.config.crop
        if crop is not None and self.frames(crop) == frames:
            return crop
        return (frames - 1) * self.config.hop

    def key(self) -> str:
        """Name these settings and this code: features with the same key are the same features."""
        settings = json.dumps([CODE_VERSION, asdict(self.config)], sort_keys=True)
        return f"{self.config.name}-{hashlib.sha256(settings.encode()).hexdigest()[:12]}"

    def forward(self, wave: Tensor) -> Tensor:
        """Compute the log-mel of a batch of waves, or of one.

        Raises:
            BandwiseError: The wave has another shape, is of integers, or is shorter than ``min_samples``.
        """
        self._check(wave)
        batch = wave.reshape(-1, wave.shape[-1])  # (B, N)
        # Half precision would lose the quiet bands, so mixed-precision training must not reach in here.
        with torch.autocast(device_type=wave.device.type, enabled=False):
            mel = self._compress(self._mel(batch.float()))
        return mel if wave.ndim == 2 else mel[0]

    def _check(self, wave: Any) -> None:
        if not isinstance(wave, Tensor) or wave.ndim not in (1, 2):
            what = tuple(wave.shape) if hasattr(wave, "shape") else type(wave).__name__
            raise BandwiseError(f"the front end takes a tensor (B, N) or (N,), not {type(wave).__name__} {what}")
        if wave.shape[:-1] == (0,):
            raise BandwiseError(f"the batch of waves {tuple(wave.shape)} is empty; give at least one")
        if not wave.is_floating_point():
            raise BandwiseError(
                f"the wave is of {wave.dtype}; scale it to floating point first (audio.from_array does)"
            )
        if wave.shape[-1] < self.min_samples:
            raise BandwiseError(
                f"the wave has {wave.shape[-1]} samples; the front end {self.config.name} needs at least "
                f"{self.min_samples} ({self.min_samples / self.sample_rate:.3f} s)"
            )

    def _mel(self, wave: Tensor) -> Tensor:
        n_fft, hop = self.config.n_fft, self.config.hop
        frames = self.frames(wave.shape[1])
        half = n_fft // 2
        mode = "reflect" if self.config.padding == "reflect" else "constant"
        extra = max(0, (frames - 1) * hop - wave.shape[1])
        padded = torch.nn.functional.pad(wave, (half, half + extra), mode=mode)
        step = max(1, _FRAMES_AT_ONCE // max(1, len(wave)))
        mels = []
        for first in range(0, frames, step):
            last = min(first + step, frames) - 1
            piece = padded[:, first * hop : last * hop + n_fft]
            spectrum = torch.stft(piece, n_fft, hop, window=self.window, center=False, return_complex=True)
            if self.config.power == 2:
                magnitude = spectrum.real.square() + spectrum.imag.square()
            else:
                magnitude = spectrum.abs() ** self.config.power
            mels.append(self.filters @ magnitude)  # (F, bins) @ (B, bins, t)
        return torch.cat(mels, dim=-1)  # (B, F, T)

    def _compress(self, mel: Tensor) -> Tensor:
        if self.config.compression == "log":
            level = torch.log(mel + self.config.floor)
        else:
            level = self.config.scale * 10 * torch.log10(mel.clamp(min=self.config.floor))
        if self.config.top_db is not None:
            level = torch.maximum(level, level.amax(dim=(-2, -1), keepdim=True) - self.config.top_db)
        return level

    def extra_repr(self) -> str:
        """Show the settings' key."""
        return self.key()

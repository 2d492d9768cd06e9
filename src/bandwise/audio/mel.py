"""The mel scales of HTK and of Slaney, and banks of triangular filters on them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Slaney's scale: 3 mel for 200 Hz up to 1 kHz, then 27 mel for a factor of 6.4.
_KNEE_HERTZ, _KNEE_MEL = 1000.0, 15.0
_LOG_STEP = math.log(6.4) / 27


def hertz_to_mel(hertz: float, scale: str) -> float:
    """Convert a frequency to mel on the scale ``"htk"`` or ``"slaney"``.

    >>> hertz_to_mel(6400, "slaney")
    42.0
    """
    if scale == "htk":
        return 2595 * math.log10(1 + hertz / 700)
    return 3 * hertz / 200 if hertz < _KNEE_HERTZ else _KNEE_MEL + math.log(hertz / _KNEE_HERTZ) / _LOG_STEP


def mel_to_hertz(mel: float, scale: str) -> float:
    """Convert mel on the scale ``"htk"`` or ``"slaney"`` to a frequency."""
    if scale == "htk":
        return float(700 * (10 ** (mel / 2595) - 1))
    return 200 * mel / 3 if mel < _KNEE_MEL else _KNEE_HERTZ * math.exp((mel - _KNEE_MEL) * _LOG_STEP)


def mel_filters(
    bands: int, n_fft: int, sample_rate: int, f_min: float, f_max: float, *, scale: str, area_normalised: bool
) -> Tensor:
    """Build triangles over the bins of a Fourier transform, their corners evenly spaced in mel.

    Args:
        bands: How many, F.
        n_fft: Size of the Fourier transform.
        sample_rate: In Hz.
        f_min: Lower corner of the lowest band, in Hz.
        f_max: Upper corner of the highest band, in Hz.
        scale: ``"htk"`` or ``"slaney"``.
        area_normalised: Every triangle has unit area over frequency in Hz; else unit height.

    Returns:
        Weights (F, n_fft / 2 + 1), float64.
    """
    bins = torch.linspace(0, sample_rate / 2, n_fft // 2 + 1, dtype=torch.float64)
    low, high = hertz_to_mel(f_min, scale), hertz_to_mel(f_max, scale)
    step = (high - low) / (bands + 1)
    corners = [mel_to_hertz(low + i * step, scale) for i in range(bands + 2)]
    edges = torch.tensor(corners, dtype=torch.float64)
    lower, centre, upper = (edges[i : i + bands, None] for i in range(3))  # (F, 1) each
    triangles = torch.minimum((bins - lower) / (centre - lower), (upper - bins) / (upper - centre)).clamp(min=0)
    return triangles * 2 / (upper - lower) if area_normalised else triangles

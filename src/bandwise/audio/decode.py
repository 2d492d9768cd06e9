"""Any audio file, or an array, to a mono float32 wave at a wanted rate, in blocks.

Channels are averaged, then soxr resamples (quality HQ). A file is read, averaged and resampled block by block, so
that ten hours need no more memory than a song; the result does not depend on the size of the blocks.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from bandwise.audio.readers import (
    NOT_AUDIO,
    AvReader,
    Reader,
    UnreadableError,
    Wave,
    integers_to_float,
    open_file,
    readers,
)
from bandwise.errors import AudioError, BandwiseError

ARRAY = "<array>"
SILENCE = 1e-5
"""A wave whose peak lies below this (−100 dBFS) counts as silent."""

# Full scale is 1. Float files scaled as integers would reach 2e9, and squares of much more overflow float32.
_LOUDEST = 1e6
_LOWEST_RATE = 1000


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        duration: Seconds; an estimate for formats whose header has no length, ``None`` where nothing tells.
        sample_rate: In Hz.
        channels: How many there are.
        container: The file format in the decoder's word, such as ``"wav"`` or ``"matroska,webm"``.
        codec: The coding in the decoder's word, such as ``"pcm_16"`` or ``"aac"``.
    """

    duration: float | None
    sample_rate: int
    channels: int
    container: str
    codec: str


def stream(
    path: str | os.PathLike[str],
    sample_rate: int,
    *,
    start: float | None = None,
    end: float | None = None,
    block_seconds: float = 10.0,
) -> Iterator[Wave]:
    """Decode a file piece by piece.

    Args:
        path: The file; its content settles the format, whatever its suffix.
        sample_rate: The rate to resample to, in Hz.
        start: Where to begin, in seconds of the file; ``None`` is the beginning.
        end: Where to stop, in seconds of the file; ``None``, or past the end, is the end.
        block_seconds: About how much of the source is held at once.

    Yields:
        Blocks (n,) of float32, mono, none of them empty.

    Raises:
        AudioError: The file is missing, empty, no audio, damaged, truncated (more than a second, or 1 % and 0.2 s,
            shorter than its header promises), or holds no samples or such as are not finite. It is raised when the
            fault is met: as blocks are taken.
        BandwiseError: ``sample_rate`` or ``block_seconds`` make no sense.
    """
    if sample_rate < _LOWEST_RATE:
        raise BandwiseError(f"cannot resample to {sample_rate} Hz; give a rate of at least {_LOWEST_RATE} Hz")
    if not block_seconds > 0:
        raise BandwiseError(f"block_seconds is {block_seconds}; it must be above 0")
    name = os.fspath(path)
    begin = start or 0.0
    if not (0 <= begin < np.inf) or (end is not None and not end > begin):
        raise AudioError(
            name, f"cannot be cut from {start} to {end} s: a start of at least 0 and a later end are needed"
        )
    yield from _resample(_decode(name, begin, end, block_seconds), sample_rate)


def load(
    path: str | os.PathLike[str],
    sample_rate: int,
    *,
    start: float | None = None,
    end: float | None = None,
    max_seconds: float | None = None,
) -> Wave:
    """Decode a file, or a part of it, at once.

    Args:
        path: The file.
        sample_rate: The rate to resample to, in Hz.
        start: Where to begin, in seconds.
        end: Where to stop, in seconds.
        max_seconds: At most this much is read, counted from ``start``; the rest is not even decoded.

    Returns:
        The wave (N,), float32, mono. It may be silent or very short: see ``check_wave``.

    Raises:
        AudioError: As ``stream`` does.
    """
    if max_seconds is not None:
        if not max_seconds > 0:
            raise BandwiseError(f"max_seconds is {max_seconds}; it must be above 0")
        limit = (start or 0.0) + max_seconds
        end = limit if end is None else min(end, limit)
    blocks = list(stream(path, sample_rate, start=start, end=end))
    if not blocks:
        raise AudioError(os.fspath(path), f"is too short: it makes not one sample at {sample_rate} Hz")
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def probe(path: str | os.PathLike[str]) -> AudioInfo:
    """Read what a file's header says, without decoding it.

    Args:
        path: The file.

    Returns:
        Its length, rate, channels and format.

    Raises:
        AudioError: It is missing, empty or no audio in a known format.
    """
    name = os.fspath(path)
    reason = NOT_AUDIO
    with open_file(path) as file:
        for kind in readers(file):
            try:
                reader: Reader = kind(file)
            except UnreadableError as error:
                reason = _plainer(reason, error)
                continue
            reader.close()
            return AudioInfo(reader.duration, reader.sample_rate, reader.channels, reader.container, reader.codec)
    raise AudioError(name, reason)


def from_array(array: ArrayLike, sample_rate: int, target_rate: int) -> Wave:
    """Turn samples from memory into a mono wave at a wanted rate.

    Args:
        array: (N,), (N, channels) or (channels, N): the smaller of two sizes counts as the channels. Floating-point
            samples have full scale 1; int16, int32 and uint8 are scaled by their range.
        sample_rate: The array's rate in Hz.
        target_rate: The rate to resample to, in Hz.

    Returns:
        The wave (M,), float32, mono.

    Raises:
        AudioError: The array has another shape or type, is empty, or has values that are not finite.
    """
    samples = np.asarray(array)
    if samples.ndim not in (1, 2):
        raise AudioError(ARRAY, f"has the shape {samples.shape}; (N,), (N, channels) or (channels, N) is needed")
    if samples.size == 0:
        raise AudioError(ARRAY, f"holds no samples: its shape is {samples.shape}")
    if samples.dtype.kind != "f" and samples.dtype not in (np.int16, np.int32, np.uint8):
        raise AudioError(ARRAY, f"has samples of type {samples.dtype}; give float32, or int16, int32 or uint8")
    for rate in (sample_rate, target_rate):
        if rate < _LOWEST_RATE:
            raise AudioError(ARRAY, f"cannot have a sample rate of {rate} Hz; at least {_LOWEST_RATE} Hz is needed")
    mono = integers_to_float(samples)
    if mono.ndim == 2:
        with np.errstate(all="ignore"):  # What is not finite is reported below.
            mono = mono.mean(axis=int(np.argmin(mono.shape)), dtype=np.float64)
    mono = mono.astype(np.float32)
    _check_samples(mono, ARRAY)
    wave = np.concatenate([*_resample([(sample_rate, mono)], target_rate), mono[:0]])
    if not len(wave):
        raise AudioError(ARRAY, f"is too short: it makes not one sample at {target_rate} Hz")
    return wave


def check_wave(
    wave: Wave,
    path: str | os.PathLike[str] = ARRAY,
    *,
    min_samples: int,
    sample_rate: int | None = None,
    allow_silent: bool = False,
) -> None:
    """Refuse a wave that is too short, or silent.

    Args:
        wave: (N,).
        path: What to call it in the error.
        min_samples: The fewest samples that will do, such as ``FrontEnd.min_samples``.
        sample_rate: In Hz, so that the error can speak of seconds.
        allow_silent: Accept a wave whose peak is below ``SILENCE``.

    Raises:
        AudioError: It is too short or silent.
    """
    if len(wave) < min_samples:
        have, need = f"{len(wave)} samples", f"{min_samples} samples"
        if sample_rate:
            have, need = f"{len(wave) / sample_rate:.3g} s", f"{min_samples / sample_rate:.3g} s"
        raise AudioError(os.fspath(path), f"is too short: {have}, at least {need} is needed")
    if not allow_silent and max(wave.max(initial=0), -wave.min(initial=0)) < SILENCE:
        raise AudioError(os.fspath(path), "is silent")


def _decode(name: str, begin: float, end: float | None, block_seconds: float) -> Iterator[tuple[int, Wave]]:
    """Yield (the file's own rate, a checked mono block), changing the reader where one fails."""
    with open_file(name) as file:
        rate = start = position = 0
        promised: float | None = None
        reason = NOT_AUDIO
        for kind in readers(file):
            try:
                reader: Reader = kind(file)
            except UnreadableError as error:
                reason = _plainer(reason, error)
                continue
            with closing(reader):
                if not rate:
                    rate = reader.sample_rate
                    if rate < _LOWEST_RATE:
                        raise AudioError(name, f"says that its sample rate is {rate} Hz, which cannot be")
                    start = position = round(begin * rate)
                    promised = reader.promised
                elif reader.sample_rate != rate:
                    continue
                stop = None if end is None else round(end * rate)
                try:
                    for block in reader.blocks(position, stop, max(1, round(block_seconds * rate))):
                        _check_samples(block, name)
                        position += len(block)
                        yield rate, block
                except UnreadableError as error:
                    reason = _plainer(reason, error)
                    # Where libsndfile gives up, FFmpeg goes on from the same sample. FFmpeg skips all that can be
                    # skipped: what it gives up, nobody decodes.
                    if kind is AvReader:
                        break
                else:
                    _check_length(name, position / rate, begin, end, promised)
                    if position == start:
                        raise AudioError(name, f"ends before {begin:g} s" if start else "holds no samples")
                    return
        raise AudioError(name, reason)


def _plainer(reason: str, error: UnreadableError) -> str:
    """Of two readers' reasons keep the one that says more: a format unknown to one may be known to the other."""
    return reason if str(error) == NOT_AUDIO else str(error)


def _check_length(name: str, reached: float, begin: float, end: float | None, promised: float | None) -> None:
    """Compare where decoding stopped with the header's promise; all in seconds."""
    if promised is not None:
        wanted = promised if end is None else min(promised, end)
        # Paddings of codecs and rounded headers make small differences that mean nothing.
        tolerated = min(1.0, max(0.2, 0.01 * wanted))
        if begin < wanted and wanted - reached > tolerated:
            raise AudioError(name, f"is truncated or damaged: {reached:.1f} s of {wanted:.1f} s could be read")


def _check_samples(mono: Wave, name: str) -> None:
    if not np.isfinite(mono).all():
        raise AudioError(name, "holds NaN or infinite samples")
    peak = float(np.abs(mono).max(initial=0.0))
    if peak > _LOUDEST:
        raise AudioError(name, f"has samples of up to {peak:.2g}, where full scale is 1; scale it first")


def _resample(blocks: Iterable[tuple[int, Wave]], target_rate: int) -> Iterator[Wave]:
    """Resample the blocks of one signal, all of one rate, and leave out empty ones."""
    import soxr

    resampler: Any = None
    for rate, block in blocks:
        if rate != target_rate:
            if resampler is None:
                resampler = soxr.ResampleStream(rate, target_rate, 1, dtype="float32", quality="HQ")
            block = resampler.resample_chunk(block)
        if len(block):
            yield block
    if resampler is not None:
        rest = resampler.resample_chunk(np.zeros(0, np.float32), last=True)
        if len(rest):
            yield rest

"""The two libraries that decode, behind one shape: soundfile (libsndfile) and PyAV (FFmpeg).

Both read from a file that we opened ourselves, so that the operating system's reasons stay ours to tell, a name in
any script or in no encoding at all works, and the content, not the suffix, settles what the file is.
"""

from __future__ import annotations

import io
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bandwise.errors import AudioError

Wave = NDArray[np.float32]

NOT_AUDIO = "is not audio in a known format, or its beginning is damaged"
# Containers whose header states a length that can be believed. Elsewhere (ADTS, MPEG without a Xing header, WMA that
# is truncated) FFmpeg guesses it from the bit rate.
_HONEST_CONTAINERS = ("mov", "matroska", "flac")
# Programs that write into a pipe cannot know the length and put 0xFFFFFFFF, 0x80000000 or 0x7FFFF000 in the header.
_STREAMED_SIZE = 0x7FFF0000
_SIZE_MISMATCH = re.compile(
    r"^\s*(?:data size|data|ssnd)\s*: (\d+) \(should be (\d+)\)", re.IGNORECASE | re.MULTILINE
)


class UnreadableError(Exception):
    """One reader's reason for giving up, as a phrase; the caller may try the other one."""


class Reader(Protocol):
    """An open audio file.

    Attributes:
        sample_rate: In Hz.
        channels: How many there are.
        duration: Seconds, as the header says or as estimated; ``None`` where nothing tells.
        promised: Seconds that the header reliably promises; ``None`` where it does not.
        container: The file format's short name.
        codec: The coding's short name.
    """

    sample_rate: int
    channels: int
    duration: float | None
    promised: float | None
    container: str
    codec: str

    def blocks(self, start: int, stop: int | None, size: int) -> Iterator[Wave]:
        """Yield the samples from ``start`` to ``stop`` as mono blocks (n,), ``n`` about ``size``.

        Raises:
            UnreadableError: The rest cannot be decoded.
        """

    def close(self) -> None:
        """Free what the library holds; the file itself stays open."""


def open_file(path: str | os.PathLike[str]) -> io.BufferedReader:
    """Open an ordinary file for reading.

    Raises:
        AudioError: It is missing, a folder, a pipe or device, not readable, or empty.
    """
    name = os.fspath(path)
    try:
        # A FIFO without a writer would block for ever in open().
        mode = Path(name).stat().st_mode
        if stat.S_ISDIR(mode):
            raise AudioError(name, "is a folder, not an audio file")
        if not stat.S_ISREG(mode):
            raise AudioError(name, "is not an ordinary file")
        raw = io.FileIO(name)
    except FileNotFoundError:
        raise AudioError(name, "does not exist") from None
    except PermissionError:
        raise AudioError(name, "may not be read: permission denied") from None
    except OSError as error:
        raise AudioError(name, f"cannot be opened: {error.strerror}") from None
    except AudioError:
        raise
    except ValueError:  # A null character.
        raise AudioError(name, "is not a possible file name") from None
    # Both libraries look at the suffix of a file object's name, and may not be misled by it.
    raw.name = "audio"
    file: io.BufferedReader = io.BufferedReader(raw, buffer_size=1 << 16)
    if not file.peek(1):
        file.close()
        raise AudioError(name, "is empty (0 bytes)")
    return file


class SoundFileReader:
    """WAV, AU, AIFF, CAF, FLAC, Ogg Vorbis and Opus through libsndfile: see ``Reader``."""

    def __init__(self, file: io.BufferedReader) -> None:
        import soundfile

        self._error = soundfile.LibsndfileError
        file.seek(0)
        try:
            self._sound = soundfile.SoundFile(file)
        except self._error:
            raise UnreadableError(NOT_AUDIO) from None
        frames = self._sound.frames
        # A FLAC written into a pipe has no length, and a WAV of length 0 may be one that was never finished.
        if frames <= 0 or frames >= 1 << 62:
            self._sound.close()
            raise UnreadableError("holds no samples")
        self.sample_rate = int(self._sound.samplerate)
        self.channels = int(self._sound.channels)
        self.duration: float | None = frames / self.sample_rate
        self.promised: float | None = self.duration * self._claim()
        self.container = self._sound.format.lower()
        self.codec = self._sound.subtype.lower()

    def _claim(self) -> float:
        # libsndfile shortens a truncated PCM file silently; only its log keeps what the header said.
        found = _SIZE_MISMATCH.search(self._sound.extra_info)
        if found is None:
            return 1.0
        claimed, real = int(found[1]), int(found[2])
        return claimed / real if real < claimed < _STREAMED_SIZE and real > 0 else 1.0

    def blocks(self, start: int, stop: int | None, size: int) -> Iterator[Wave]:
        """Yield mono blocks; seeking is exact to the sample in these formats."""
        if start >= self._sound.frames:
            return
        left = self._sound.frames - start if stop is None else stop - start
        try:
            self._sound.seek(start)
            while left > 0:
                block = self._sound.read(min(size, left), dtype="float32", always_2d=True)  # (n, channels)
                if not len(block):
                    return
                left -= len(block)
                yield _mono(block, axis=1)
        except (self._error, RuntimeError):
            raise UnreadableError("is damaged") from None

    def close(self) -> None:
        """Free the decoder."""
        self._sound.close()


class AvReader:
    """Everything else (MP3, M4A/AAC, WMA, WebM, MP4, Matroska, …) through FFmpeg's libraries: see ``Reader``."""

    def __init__(self, file: io.BufferedReader) -> None:
        import av

        self._error: tuple[type[Exception], ...] = (av.FFmpegError, OSError)
        file.seek(0)
        try:
            # Playlists and concat scripts must not make FFmpeg open other files or addresses.
            self._container: Any = av.open(file, metadata_errors="replace", options={"protocol_whitelist": "none"})
        except (*self._error, ValueError):
            raise UnreadableError(NOT_AUDIO) from None
        try:
            if not self._container.streams.audio:
                raise UnreadableError("holds no audio stream")
            self._stream = self._container.streams.audio[0]
            context: Any = self._stream.codec_context
            if context is None:
                raise UnreadableError("is coded in a way that cannot be decoded here")
            if not context.sample_rate or not context.channels:
                raise UnreadableError("holds an audio stream without a sample rate or channels")
        except UnreadableError:
            self._container.close()
            raise
        self.sample_rate = int(context.sample_rate)
        self.channels = int(context.channels)
        self.container = self._container.format.name
        self.codec = context.name
        self.duration = self._length()
        self.promised = self.duration if self._is_honest() else None

    def _length(self) -> float | None:
        if self._stream.duration is not None and self._stream.time_base is not None:
            return float(self._stream.duration * self._stream.time_base)
        # The container's length is that of its longest stream, which may be the picture.
        if self._container.duration is not None and len(self._container.streams) == 1:
            return float(self._container.duration / 1_000_000)
        return None

    def _is_honest(self) -> bool:
        if self.container == "mp3":
            # An encoder delay is known only from the Xing header, which also counts the frames.
            return bool(self._stream.start_time)
        return any(self.container.startswith(name) for name in _HONEST_CONTAINERS)

    def blocks(self, start: int, stop: int | None, size: int) -> Iterator[Wave]:
        """Yield mono blocks; what lies before ``start`` is decoded and dropped, which is exact in every format."""
        waiting: list[Wave] = []
        held = 0
        position = 0
        for piece in self._pieces():
            begin, end = position, position + len(piece)
            position = end
            kept = piece[max(0, start - begin) : None if stop is None else max(0, stop - begin)]
            waiting.append(kept)
            held += len(kept)
            if held >= size:
                yield np.concatenate(waiting)
                waiting, held = [], 0
            if stop is not None and position >= stop:
                break
        if held:
            yield np.concatenate(waiting)

    def _pieces(self) -> Iterator[Wave]:
        good = bad = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except self._error:
                bad += 1
                break
            if packet is None:
                break
            # Players skip a packet that does not decode; so do we, and the caller compares the length at the end.
            try:
                frames = packet.decode()
            except self._error:
                bad += 1
                continue
            good += 1
            for frame in frames:
                if frame.sample_rate != self.sample_rate:
                    raise UnreadableError(f"changes from {self.sample_rate} to {frame.sample_rate} Hz in the middle")
                yield _frame_to_mono(frame)
        if bad > 0.05 * (good + bad):
            raise UnreadableError(f"is damaged: {bad} of {good + bad} packets could not be decoded")

    def close(self) -> None:
        """Free the decoder."""
        self._container.close()


def integers_to_float(samples: NDArray[Any]) -> NDArray[Any]:
    """Scale integer samples so that full scale is 1; floating-point samples pass unchanged."""
    if samples.dtype.kind == "f":
        return samples
    if samples.dtype == np.uint8:
        return (samples.astype(np.float32) - 128) / 128
    return samples.astype(np.float32) / np.float32(2 ** (8 * samples.dtype.itemsize - 1))


def _frame_to_mono(frame: Any) -> Wave:
    samples = frame.to_ndarray()  # Planar formats: (channels, n). Packed ones: (1, n · channels).
    channels = frame.layout.nb_channels
    if not frame.format.is_planar:
        samples = samples.reshape(-1, channels).T
    return _mono(integers_to_float(samples), axis=0)


def _mono(samples: NDArray[Any], axis: int) -> Wave:
    # What is not finite, or overflows here, is found and reported by the caller.
    with np.errstate(all="ignore"):
        mono: Wave = samples.mean(axis=axis, dtype=np.float32)
    return mono


def readers(file: io.BufferedReader) -> tuple[type[SoundFileReader] | type[AvReader], ...]:
    """Give the readers in the order to try them.

    libsndfile goes first, but not for MPEG audio: its MP3 decoder writes warnings to stderr that nothing can stop,
    gives up at damage that players skip, and takes ADTS for MP3. Both give the same samples.
    """
    file.seek(0)
    head = file.read(3)
    mpeg = head == b"ID3" or (len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0)
    return (AvReader, SoundFileReader) if mpeg else (SoundFileReader, AvReader)

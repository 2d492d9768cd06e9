"""From one track to its frames: a file is decoded and goes through the front end, a mel array is checked."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bandwise.corpora.base import Track
from bandwise.errors import AudioError
from bandwise.store import StoreMeta

Extract = Callable[[Track], NDArray[Any]]


def audio_extractor(meta: StoreMeta) -> Extract:
    """Give a function from a track's audio file to its frames, (T, width)."""
    import torch

    from bandwise.audio.decode import check_wave, load
    from bandwise.audio.frontend import create_frontend

    frontend = create_frontend(meta.frontend.removeprefix("wave@"))
    local = threading.local()

    def extract(track: Track) -> NDArray[Any]:
        if not hasattr(local, "ready"):  # one core a track: the tracks are what runs in parallel
            torch.set_num_threads(1)
            local.ready = True
        wave = load(track.path, frontend.sample_rate, start=track.start, end=track.end)
        check_wave(wave, track.path, min_samples=frontend.min_samples)
        if meta.frontend.startswith("wave@"):
            return wave[:, None]
        with torch.inference_mode():
            return frontend(torch.from_numpy(wave)).T.contiguous().numpy()  # type: ignore[no-any-return]

    return extract


def array_extractor(meta: StoreMeta) -> Extract:
    """Give a function from a track's mel array (48, T), in a file or inside a tar, to its frames (T, 48)."""

    def extract(track: Track) -> NDArray[Any]:
        name = track.path if track.member is None else f"{track.path} ({track.id}.npy)"
        try:
            if track.member is None:
                array = np.load(track.path, allow_pickle=False)
            else:
                offset, size = track.member
                with Path(track.path).open("rb") as tar:
                    tar.seek(offset)
                    array = np.load(io.BytesIO(tar.read(size)), allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise AudioError(name, f"is no readable array ({error})") from None
        if array.ndim != 2 or array.shape[0] != meta.width or array.shape[1] < 1:
            raise AudioError(name, f"is an array of shape {array.shape}, not ({meta.width}, frames)")
        if array.dtype.kind != "f":
            raise AudioError(name, f"holds {array.dtype} values, not floating-point decibels")
        if not np.isfinite(array).all():
            raise AudioError(name, "holds values that are not finite numbers")
        return np.asarray(array.T)

    return extract

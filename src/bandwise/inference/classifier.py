"""Files in, genres out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bandwise.errors import AudioError, BandwiseError
from bandwise.files import read_json

if TYPE_CHECKING:
    from bandwise.models.bundle import Bundle

WINDOW_SECONDS = 30.0  # the length of the clips that the paper's data sets have


@dataclass(frozen=True)
class Segment:
    """A stretch of a file.

    Attributes:
        start: In seconds.
        end: In seconds.
        genre: The likeliest genre.
        confidence: Its probability.
    """

    start: float
    end: float
    genre: str
    confidence: float

    def as_dict(self) -> dict[str, Any]:
        """Give everything as JSON can hold it."""
        return {
            "start": round(self.start, 3),
            "end": round(self.end, 3),
            "genre": self.genre,
            "confidence": round(self.confidence, 6),
        }


@dataclass(frozen=True)
class Prediction:
    """What a file sounds like.

    Attributes:
        path: The file, or ``"<array>"``.
        genre: The likeliest genre.
        probabilities: Of every genre, likeliest first; they add up to 1.
        timeline: Windows of 30 s, in order.
        seconds: Length of what was heard.
    """

    path: str
    genre: str
    probabilities: Mapping[str, float]
    timeline: tuple[Segment, ...]
    seconds: float

    @property
    def confidence(self) -> float:
        """The likeliest genre's probability."""
        return self.probabilities[self.genre]

    def top(self, k: int) -> list[tuple[str, float]]:
        """Give the k likeliest genres with their probabilities."""
        return list(self.probabilities.items())[:k]

    def as_dict(self) -> dict[str, Any]:
        """Give everything as JSON can hold it."""
        return {
            "path": self.path,
            "genre": self.genre,
            "confidence": round(self.confidence, 6),
            "probabilities": {genre: round(p, 6) for genre, p in self.probabilities.items()},
            "seconds": round(self.seconds, 3),
            "timeline": [segment.as_dict() for segment in self.timeline],
        }


@dataclass(frozen=True)
class Failure:
    """A file that could not be classified.

    Attributes:
        path: The file.
        reason: Why, as a phrase.
    """

    path: str
    reason: str


class Classifier:
    """One model, or several whose probabilities are averaged, with the front end they need.

    Args:
        bundles: Loaded models; all with the same labels and front end.
        device: Where they run; ``"auto"`` takes a GPU where there is one.

    Example::

        classifier = Classifier.load("runs/gtzan")
        print(classifier.predict("song.mp3").genre)
    """

    def __init__(self, bundles: Sequence[Bundle], device: str = "auto") -> None:
        import torch

        from bandwise.audio.frontend import create_frontend

        first = bundles[0]
        if any(b.labels != first.labels or b.frontend != first.frontend for b in bundles):
            raise BandwiseError("models that answer together must have the same genres and front end")
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self.device = torch.device(device)
            self.models = [bundle.model.to(self.device).eval() for bundle in bundles]
        except (RuntimeError, AssertionError) as error:
            raise BandwiseError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}") from None
        self.labels = first.labels
        self.about = first.about
        self.frontend = create_frontend(first.frontend).to(self.device)
        self.window = round(WINDOW_SECONDS * self.frontend.sample_rate)

    @classmethod
    def load(cls, path: str | Path, device: str = "auto") -> Classifier:
        """Read a model folder, or a run of ``bandwise train`` or ``bandwise crossval``.

        Of a cross-validation, the models of all finished folds answer together (their probabilities are averaged);
        ``run/folds/3`` is the third alone.

        Raises:
            BandwiseError: There is no model at ``path``.
        """
        from bandwise.models.bundle import load_bundle

        path = Path(path)
        if not path.exists():
            raise BandwiseError(f"{path} does not exist; --model takes a model folder or a run")
        if (path / "config.json").exists():
            return cls([load_bundle(path)], device)
        folds = sorted(
            (entry.parent for entry in path.glob("folds/*/config.json") if (entry.parent / "fold.json").exists()),
            key=lambda place: int(place.name),
        )
        if not folds:
            baseline = (path / "experiment.json").exists() and read_json(path / "experiment.json").get("system")
            why = (
                f" ({baseline} leaves no model to predict with)"
                if baseline and (path / "result.json").exists()
                else ""
            )
            raise BandwiseError(f"{path} holds no model: neither config.json nor finished folds{why}")
        return cls([load_bundle(fold) for fold in folds], device)

    def predict(self, audio: str | os.PathLike[str] | ArrayLike, sample_rate: int | None = None) -> Prediction:
        """Classify a file, or samples from memory.

        Args:
            audio: A path, or an array (N,), (N, channels) or (channels, N).
            sample_rate: The array's rate in Hz; not used for a path.

        Raises:
            AudioError: The file or array cannot be used; the message names it and says why.
        """
        if isinstance(audio, (str, os.PathLike)):
            name = os.fspath(audio)
            windows = self._windows(self._stream(name))
        else:
            from bandwise.audio.decode import ARRAY, from_array

            if sample_rate is None:
                raise BandwiseError("samples from memory need their sample_rate in Hz")
            name = ARRAY
            windows = self._windows(iter([from_array(audio, sample_rate, self.frontend.sample_rate)]))
        return self._judge(name, windows)

    def predict_many(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[Prediction | Failure]:
        """Classify files in order; a file that cannot be used gives a ``Failure`` and the others go on."""
        for path in paths:
            try:
                yield self.predict(path)
            except AudioError as error:
                yield Failure(os.fspath(path), error.reason)
            except (BandwiseError, OSError) as error:
                yield Failure(os.fspath(path), str(error))

    def _stream(self, name: str) -> Iterator[NDArray[np.float32]]:
        from bandwise.audio.decode import stream

        return stream(name, self.frontend.sample_rate)

    def _windows(self, blocks: Iterator[NDArray[np.float32]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Cut a stream into windows; what is left at the end is its own if long enough, else joins the last.

        Two windows are held at most, so a ten-hour file needs no more memory than a song.
        """
        held = np.zeros(0, np.float32)
        start = 0
        for block in blocks:
            held = np.concatenate([held, block])
            while len(held) >= 2 * self.window:
                yield start, held[: self.window]
                held, start = held[self.window :], start + self.window
        if len(held) >= self.window + self.window // 2:
            yield start, held[: self.window]
            held, start = held[self.window :], start + self.window
        yield start, held

    def _judge(self, name: str, windows: Iterator[tuple[int, NDArray[np.float32]]]) -> Prediction:
        from bandwise.audio.decode import SILENCE, check_wave

        rate = self.frontend.sample_rate
        segments: list[Segment] = []
        total = np.zeros(len(self.labels))
        weight = 0.0
        end = 0
        for start, wave in windows:
            end = start + len(wave)
            if start == 0:
                check_wave(wave, name, min_samples=self.frontend.min_samples, sample_rate=rate, allow_silent=True)
            if not len(wave) or np.abs(wave).max() < SILENCE:
                continue  # silence says nothing of the music around it
            p = self._probabilities(wave)
            best = int(p.argmax())
            segments.append(Segment(start / rate, end / rate, self.labels[best], float(p[best])))
            total += p * len(wave)
            weight += len(wave)
        if not weight:
            raise AudioError(name, "is silent")
        mean = total / weight
        order = np.argsort(-mean, kind="stable")
        probabilities = {self.labels[i]: float(mean[i]) for i in order}
        return Prediction(name, self.labels[int(order[0])], probabilities, tuple(segments), end / rate)

    def _probabilities(self, wave: NDArray[np.float32]) -> NDArray[np.float64]:
        import torch

        with torch.inference_mode():
            x = self.frontend(torch.from_numpy(np.ascontiguousarray(wave))[None].to(self.device))
            shortest = int(self.about.get("min_frames") or 2)
            if x.shape[-1] < shortest:  # repeated from its beginning, as in training
                x = x.repeat(1, 1, -(-shortest // x.shape[-1]))[..., :shortest]
            p = torch.stack([torch.softmax(model(x).float(), dim=1)[0] for model in self.models]).mean(dim=0)
        return p.double().cpu().numpy()

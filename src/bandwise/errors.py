"""The errors a user can cause; the command line prints them as one sentence, without a traceback."""

from __future__ import annotations

from pathlib import Path


class BandwiseError(ValueError):
    """Something the caller can put right: the message says what was wrong, the value received and the remedy."""


class AudioError(BandwiseError):
    """A file that cannot be used as audio.

    Args:
        path: The file, or a word such as ``"<array>"`` for audio that came from memory.
        reason: Why it cannot be used, as a phrase ("is empty", "holds no audio stream").
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path = str(path)
        self.reason = reason
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type[AudioError], tuple[str, str]]:
        """Let the error cross process boundaries unchanged."""
        return type(self), (self.path, self.reason)


class MissingExtra(BandwiseError):
    """An optional package is needed and absent."""

    def __init__(self, package: str, purpose: str, extra: str | None = None) -> None:
        how = f'pip install "bandwise[{extra}]"' if extra else f"pip install {package}"
        super().__init__(f"{purpose} needs the package {package}: {how}")

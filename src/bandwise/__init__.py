"""Music-genre classification with convolution channel separation and frequency sub-bands aggregation.

The names below are the public ones. They are loaded when first used, so that ``import bandwise`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bandwise.audio.frontend import create_frontend, list_frontends
    from bandwise.corpora import list_corpora, open_corpus
    from bandwise.errors import AudioError, BandwiseError
    from bandwise.inference.classifier import Classifier, Failure, Prediction, Segment
    from bandwise.models.published import load_published_state_dict
    from bandwise.models.registry import create_model, list_systems

__version__ = "0.1.0"

_HOMES = {
    "AudioError": "errors",
    "BandwiseError": "errors",
    "Classifier": "inference.classifier",
    "Failure": "inference.classifier",
    "Prediction": "inference.classifier",
    "Segment": "inference.classifier",
    "create_frontend": "audio.frontend",
    "create_model": "models.registry",
    "list_corpora": "corpora",
    "list_frontends": "audio.frontend",
    "list_systems": "models.registry",
    "load_published_state_dict": "models.published",
    "open_corpus": "corpora",
}
__all__ = [
    "AudioError",
    "BandwiseError",
    "Classifier",
    "Failure",
    "Prediction",
    "Segment",
    "__version__",
    "create_frontend",
    "create_model",
    "list_corpora",
    "list_frontends",
    "list_systems",
    "load_published_state_dict",
    "open_corpus",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bandwise' has no attribute {name!r}")
    return getattr(import_module(f"bandwise.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__

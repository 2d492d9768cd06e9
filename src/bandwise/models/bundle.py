"""A model on disk: a folder with ``model.safetensors``, ``config.json`` and ``labels.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from bandwise.errors import BandwiseError
from bandwise.files import read_json, replacing, write_json
from bandwise.models.registry import Config, build_model, config_from_dict, config_to_dict


@dataclass(frozen=True)
class Bundle:
    """A loaded model.

    Attributes:
        model: In evaluation mode.
        labels: Genres in the order of the logits.
        frontend: Name of the front end that makes its input.
        about: What else ``config.json`` says: system, size, clip length, caveat.
    """

    model: nn.Module
    labels: tuple[str, ...]
    frontend: str
    about: Mapping[str, Any]


def save_bundle(
    directory: Path, model: nn.Module, config: Config, labels: Sequence[str], about: Mapping[str, Any]
) -> None:
    """Write a model; ``about`` must name its ``frontend``."""
    from safetensors.torch import save_file

    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with replacing(directory / "model.safetensors") as temporary:
        save_file(weights, temporary, metadata={"format": "pt"})
    write_json(directory / "labels.json", list(labels))
    write_json(directory / "config.json", {"bandwise": 1, "model": config_to_dict(config), **about})


def load_bundle(directory: Path) -> Bundle:
    """Read a model.

    Raises:
        BandwiseError: The folder holds no model, or one this version cannot build.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    for name in ("config.json", "labels.json", "model.safetensors"):
        if not (directory / name).is_file():
            raise BandwiseError(f"{directory} holds no model: {name} is missing")
    about = read_json(directory / "config.json", dict)
    labels = tuple(read_json(directory / "labels.json", list))
    try:
        config = config_from_dict(about.pop("model"))
        model = build_model(config)
        frontend = about.pop("frontend")
    except (KeyError, TypeError) as error:
        raise BandwiseError(f"{directory / 'config.json'} describes no model ({error})") from None
    try:
        model.load_state_dict(load_file(directory / "model.safetensors"))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise BandwiseError(f"{directory / 'model.safetensors'} does not fit config.json: {reason}") from None
    if len(labels) != config.num_classes:
        raise BandwiseError(f"{directory} names {len(labels)} genres for {config.num_classes} classes")
    return Bundle(model.eval(), labels, str(frontend), about)

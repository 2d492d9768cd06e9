"""Names to networks: systems, the paper's rows, sizes and overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from fnmatch import fnmatch
from typing import Any

from torch import nn

from bandwise.errors import BandwiseError
from bandwise.models.bbnn import Bbnn, BbnnConfig
from bandwise.models.ecapa import EcapaConfig, EcapaTdnn
from bandwise.models.resnet import ResNet, ResNetConfig
from bandwise.models.vgg import Vgg, VggConfig
from bandwise.paper import ROWS, get_row

Config = EcapaConfig | ResNetConfig | VggConfig | BbnnConfig

# Architecture: its configuration, its module, and the widths that a smaller size divides.
ARCHITECTURES: dict[str, tuple[type[Config], type[nn.Module], tuple[str, ...]]] = {
    "ecapa": (EcapaConfig, EcapaTdnn, ("continuous", "stop", "attention", "se", "last_conv_width")),
    "resnet": (ResNetConfig, ResNet, ("width",)),
    "vgg": (VggConfig, Vgg, ("width", "hidden")),
    "bbnn": (BbnnConfig, Bbnn, ("channels",)),
}
SIZES = {"full": 1, "small": 4, "tiny": 16}
SMALLEST = 8  # no width is divided below this

_PLAIN: dict[str, Config] = {
    "resnet18": ResNetConfig(),
    "resnet34": ResNetConfig(depths=(3, 4, 6, 3)),
    "se-resnet34": ResNetConfig(depths=(3, 4, 6, 3), squeeze_excitation=True),
    "vgg": VggConfig(),
    "bbnn": BbnnConfig(),
}
_ECAPA = re.compile(r"ecapa(?P<ccs>-ccs)?(?P<fsa>-fsa)?(?:-s(?P<s>\d+)-c(?P<c>\d+))?")
_ROW = re.compile(r"(?P<row>#\d+)(?P<published>-as-published)?")


def list_systems(pattern: str = "*") -> list[str]:
    """List the systems that ``create_model`` knows by name, those of the paper.

    Args:
        pattern: A wildcard such as ``"ecapa*"``.

    Example:
        >>> list_systems("resnet*")
        ['resnet18', 'resnet34']
    """
    of_paper = {row.system for row in ROWS.values() if row.system.startswith("ecapa")} | {"ecapa-fsa"}
    return sorted(name for name in of_paper | set(_PLAIN) if fnmatch(name, pattern))


def system_config(name: str) -> Config:
    """Give a system's full-size configuration.

    Raises:
        BandwiseError: There is no such system.
    """
    if name in _PLAIN:
        return _PLAIN[name]
    match = _ECAPA.fullmatch(name)
    # CCS needs s and c in the name, and a name with s and c means CCS.
    if match is None or bool(match["ccs"]) != bool(match["s"]):
        raise BandwiseError(
            f"there is no system {name!r}; choose one of {', '.join(list_systems())}, "
            "a row of the paper such as '#15', or ecapa-ccs-s<stop>-c<continuous> with other numbers"
        )
    return EcapaConfig(continuous=int(match["c"] or 1024), stop=int(match["s"] or 0), bands=4 if match["fsa"] else 1)


def resolve_config(name: str, num_classes: int | None = None, size: str = "full", **overrides: Any) -> Config:
    """Turn a system's or row's name, a size and overrides into one configuration; ``create_model`` tells more."""
    match = _ROW.fullmatch(name)
    if match:
        row = get_row(match["row"])
        config = system_config(row.system)
        published = row.model_overrides(as_published=match["published"] is not None)
        config = _apply(config, published, name)
        classes = num_classes if num_classes is not None else row.classes
    else:
        config = system_config(name)
        classes = num_classes if num_classes is not None else 10
    config = _shrink(config, size)
    return _apply(config, {"num_classes": classes, **overrides}, name)


def create_model(name: str, num_classes: int | None = None, size: str = "full", **overrides: Any) -> nn.Module:
    """Build a network with fresh weights.

    Args:
        name: A system (``"ecapa"``, ``"ecapa-ccs-fsa-s512-c1024"``, ``"resnet18"``, …), a row as in the paper
            (``"#15"``) or its published variant (``"#17-as-published"``, ``"#21-…"``, ``"#24-…"``).
        num_classes: Genres; ``None`` takes the row's own (10 or 28), 10 for a plain name.
        size: ``"full"``; ``"small"`` divides channels, stop channels, attention and SE widths by 4, ``"tiny"``
            by 16, none below 8.
        **overrides: Fields of the configuration (``continuous``, ``stop``, ``bands``, ``band_width``,
            ``band_hop``, ``last_conv``, ``last_conv_width``, ``mels``, …), applied after the size.

    Returns:
        A module that takes (B, F, T) float log-mel, as the front end gives it, and returns logits
        (B, num_classes). Normalising the input is its first step. F is 48, and 128 for ``"bbnn"`` and ``"#4"``.

    Raises:
        BandwiseError: An unknown name, size or field, or settings that cannot be built.

    Example:
        >>> model = create_model("#15", size="tiny")
        >>> model.config.continuous, model.config.stop, model.config.bands
        (64, 32, 4)
    """
    return build_model(resolve_config(name, num_classes, size, **overrides))


def build_model(config: Config) -> nn.Module:
    """Build the network of a configuration, with fresh weights."""
    for config_type, module, _ in ARCHITECTURES.values():
        if type(config) is config_type:
            return module(config)
    raise BandwiseError(f"{type(config).__name__} is not the configuration of any network")


def config_to_dict(config: Config) -> dict[str, Any]:
    """Describe a configuration as JSON can hold it."""
    name = next(name for name, (kind, _, _) in ARCHITECTURES.items() if type(config) is kind)
    return {"architecture": name, **asdict(config)}


def config_from_dict(settings: Mapping[str, Any]) -> Config:
    """Rebuild what ``config_to_dict`` described."""
    settings = dict(settings)
    name = settings.pop("architecture", None)
    if name not in ARCHITECTURES:
        raise BandwiseError(f"unknown architecture {name!r}; this version knows {', '.join(ARCHITECTURES)}")
    if "depths" in settings:
        settings["depths"] = tuple(settings["depths"])
    config_type = ARCHITECTURES[name][0]
    _check_fields(config_type, settings, name)
    return config_type(**settings)


def _apply(config: Config, overrides: Mapping[str, Any], name: str) -> Config:
    overrides = dict(overrides)
    if isinstance(overrides.get("last_conv"), Mapping):  # {"kind": …, "width": …}, as the paper's rows write it
        last_conv = overrides.pop("last_conv")
        overrides |= {"last_conv": last_conv.get("kind")}
        if "width" in last_conv:
            overrides["last_conv_width"] = last_conv["width"]
    _check_fields(type(config), overrides, name)
    return replace(config, **overrides)


def _check_fields(config_type: type[Config], settings: Mapping[str, Any], name: str) -> None:
    known = [field.name for field in fields(config_type)]
    unknown = [key for key in settings if key not in known]
    if unknown:
        raise BandwiseError(f"{name} has no setting {unknown[0]!r}; it has {', '.join(known)}")
    for field in fields(config_type):
        if field.name in settings:
            _check_type(field.name, settings[field.name], str(field.type))


# What the fields of configurations may hold, by their annotation.
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,), "int | None": (int, type(None)), "str | None": (str, type(None)), "bool": (bool,),
    "float": (int, float), "tuple[int, int, int, int]": (tuple, list),
}  # fmt: skip


def _check_type(name: str, value: Any, annotation: str) -> None:
    if not isinstance(value, _KINDS[annotation]) or (isinstance(value, bool) and annotation != "bool"):
        raise BandwiseError(f"model setting {name}: {annotation.replace(' | None', '')} is needed, not {value!r}")


def _shrink(config: Config, size: str) -> Config:
    if size not in SIZES:
        raise BandwiseError(f"size is one of {', '.join(SIZES)}, not {size!r}")
    factor = SIZES[size]
    _, _, widths = next(entry for entry in ARCHITECTURES.values() if type(config) is entry[0])
    smaller = {
        name: max(SMALLEST, getattr(config, name) // factor) if factor > 1 else getattr(config, name)
        for name in widths
        if getattr(config, name)  # 0 stop channels stay none, and an unset width stays derived
    }
    return replace(config, **smaller)

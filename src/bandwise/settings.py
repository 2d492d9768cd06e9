"""Every setting of an experiment, the paper's recipe as the default; YAML files are short diffs over a base."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from bandwise.errors import BandwiseError
from bandwise.paper import ROWS, Row

Rule = Literal["whole", "crops"]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Recipe(_Settings):
    """How a network is trained and tested. The defaults are the paper's on GTZAN (section 4.2, and its code)."""

    epochs: int = Field(80, ge=1, description="passes over the training songs")
    batch: int = Field(64, ge=2, description="crops in a batch, over all devices")
    crops_per_song: int = Field(8, ge=1, description="random crops of every song in an epoch")
    crop_frames: int = Field(174, ge=2, description="frames of a training crop")
    crops: Literal["store", "wave"] = Field(
        "store",
        description="store: cut frames out of stored features; wave: cut the wave at any sample, as published",
    )
    optimizer: Literal["adam", "adamw"] = Field("adam", description="adam couples weight decay (L2), as published")
    lr: float = Field(1e-3, gt=0, description="first learning rate")
    lr_min: float = Field(1e-6, ge=0, description="where the cosine ends")
    schedule: Literal["cosine", "exponential", "plateau", "constant"] = Field(
        "cosine", description="stepped per epoch"
    )
    gamma: float = Field(0.95, gt=0, le=1, description="factor per epoch (exponential) or per stall (plateau)")
    patience: int = Field(
        3, ge=1, description="epochs without progress of the training loss that make a stall (plateau)"
    )
    stop_after: int | None = Field(None, ge=1, description="end training after so many epochs without progress")
    stop_delta: float = Field(0.01, ge=0, description="what counts as progress for stop_after")
    weight_decay: float = Field(1e-5, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    validate_every: int = Field(1, ge=1, description="epochs from one validation to the next")
    test: Rule = Field("whole", description="validate and test on the whole clip, or on evenly spaced crops")
    test_crops: int = Field(16, ge=1, description="crops of a clip where test = crops; their softmax is summed")
    seed: int = Field(3823, ge=0)
    precision: Literal["32", "bf16"] = Field("32", description="bf16: mixed precision where the device has it")
    sync_batch_norm: bool = Field(False, description="share batch statistics among several devices")

    @field_validator("precision", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value  # YAML reads 32 as a number


class Experiment(_Settings):
    """What is trained on what, and how it is tested."""

    system: str = Field(description="a name from `bandwise systems`, or a row such as #15")
    size: Literal["full", "small", "tiny"] = "full"
    overrides: dict[str, Any] = Field(default_factory=dict, description="model settings: stop, continuous, bands, …")
    corpus: str = Field(description="kind:/path, such as gtzan:/data/gtzan")
    frontend: str | None = Field(None, description="None takes the corpus' own")
    dtype: Literal["float16", "float32"] = Field("float16", description="of the stored features")
    store: Path | None = Field(None, description="folder of the feature store; None takes the cache")
    folds: int = Field(10, ge=3, description="number of folds where the corpus brings none")
    fold_lists: Path | None = Field(None, description="folder of published fold lists, or a run's folds.json")
    fold_seed: int = Field(0, ge=0)
    group: str = Field("auto", description="keep together what shares this (artist, groove, style); auto or none")
    recipe: Recipe = Recipe()
    devices: int = Field(1, ge=1, description="GPUs, or CPU processes")
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    logger: Literal["tensorboard", "mlflow", "wandb", "none"] = "tensorboard"


_SCHEDULES = {"cosine per epoch": "cosine", "x0.95 per epoch": "exponential"}


def paper_recipe(row: Row) -> dict[str, Any]:
    """Give the published training of a row as settings of ``Recipe``."""
    if row.epochs is None:
        raise BandwiseError(f"{row.name} ({row.system}) is not trained by this recipe")
    settings: dict[str, Any] = {
        "epochs": row.epochs,
        "batch": row.batch,
        "crops_per_song": row.crops_per_song_and_epoch,
        "crop_frames": row.crop_frames,
        "lr": row.lr,
        "weight_decay": row.weight_decay,
        "validate_every": row.validate_every,
        "seed": row.seed,
        "sync_batch_norm": row.sync_batch_norm,
        "schedule": _SCHEDULES.get(row.schedule or "", "plateau"),
    }
    if row.lr_min is not None:
        settings["lr_min"] = row.lr_min
    if settings["schedule"] == "plateau":
        settings |= {"gamma": 0.5, "patience": 3, "stop_after": 10, "stop_delta": 0.01}
    rule, _, _ = (row.test or "whole").partition(",")
    if rule.endswith("crops"):
        settings |= {"test": "crops", "test_crops": int(rule.split()[0])}
    return settings


def find_row(system: str, corpus: str) -> Row:
    """Give the row whose recipe fits a system (or is named by it) on a corpus.

    A system that the paper ran on the other data set only keeps its own recipe from there; one that the paper does
    not have is trained like the paper's own (#15 or #26).
    """
    if system.startswith("#"):
        number = system.removeprefix("#").removesuffix("-as-published")
        if number.isdecimal() and int(number) in ROWS:
            return ROWS[int(number)]
        raise BandwiseError(f"the paper has no row {system!r}; rows are #1 to #{max(ROWS)}")
    of_system = [row for row in ROWS.values() if row.system == system and row.epochs is not None]
    here = [row for row in of_system if row.corpus == corpus]
    return (here or of_system or [ROWS[26 if corpus == "melon" else 15]])[0]


def make_experiment(system: str, corpus: str, *, recipe: dict[str, Any] | None = None, **settings: Any) -> Experiment:
    """Build an experiment with the paper's recipe for its system and corpus, changed by what is given.

    Args:
        system: A system or row.
        corpus: ``kind:/path``.
        recipe: Settings of ``Recipe`` that differ from the published ones.
        **settings: Other fields of ``Experiment``.

    Raises:
        BandwiseError: A setting is unknown or impossible; the message names it.
    """
    for name, given, wanted in (("system", system, str), ("corpus", corpus, str), ("recipe", recipe or {}, dict)):
        if not isinstance(given, wanted):
            raise BandwiseError(
                f"setting {name}: a {'name' if wanted is str else 'mapping'} is needed, not {given!r}"
            )
    kind = "melon" if corpus.partition(":")[0].strip().lower().startswith("melon") else "gtzan"
    row = find_row(system, kind)
    published = paper_recipe(row) if row.epochs is not None else {}
    if row.frontend and "frontend" not in settings and kind == "gtzan":
        settings["frontend"] = row.frontend
    merged = {"system": system, "corpus": corpus, **settings, "recipe": published | (recipe or {})}
    return validate(merged)


def validate(settings: dict[str, Any]) -> Experiment:
    """Check settings and turn them into an experiment; errors say which setting and why."""
    try:
        return Experiment(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        value = first.get("input")
        shown = "" if first["type"] in ("missing", "extra_forbidden") else f", not {value!r}"
        if first["type"] == "extra_forbidden":
            model = Recipe if where.startswith("recipe.") else Experiment
            raise BandwiseError(f"there is no setting {where}; there are {', '.join(model.model_fields)}") from None
        raise BandwiseError(f"setting {where}: {first['msg'][0].lower()}{first['msg'][1:]}{shown}") from None


def load_yaml(path: Path) -> dict[str, Any]:
    """Read an experiment file: a mapping, laid over the file that its ``base`` names, if any.

    Raises:
        BandwiseError: The file is absent, no mapping, or its bases run in a circle.
    """
    return _load_yaml(path, ())


def _load_yaml(path: Path, above: tuple[Path, ...]) -> dict[str, Any]:
    import yaml

    path = path.resolve()
    if path in above:
        raise BandwiseError(f"{path} is its own base")
    try:
        read = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise BandwiseError(f"{path} is not a text file in UTF-8") from None
    except OSError as error:
        raise BandwiseError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except yaml.YAMLError as error:
        raise BandwiseError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(read, dict) or not all(isinstance(key, str) for key in read):
        raise BandwiseError(f"{path} must hold settings such as `system: ecapa`")
    base = read.pop("base", None)
    if read.get("recipe") == "paper":  # a way to say the default aloud
        del read["recipe"]
    if base is None:
        return read
    return merge(_load_yaml(path.parent / str(base), (*above, path)), read)


def merge(base: dict[str, Any], diff: dict[str, Any]) -> dict[str, Any]:
    """Lay one nested mapping over another.

    Example:
        >>> merge({"recipe": {"lr": 1, "batch": 2}}, {"recipe": {"lr": 3}})
        {'recipe': {'lr': 3, 'batch': 2}}
    """
    merged = dict(base)
    for key, value in diff.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged

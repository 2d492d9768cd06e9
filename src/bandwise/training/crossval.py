"""From a corpus to a cross-validated result, and from a corpus to one trained model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from bandwise.corpora import open_corpus
from bandwise.corpora.base import Corpus
from bandwise.errors import BandwiseError
from bandwise.evaluation.results import save_fold, summarise
from bandwise.files import read_json, write_json
from bandwise.models.registry import resolve_config
from bandwise.packing import pack, store_meta
from bandwise.progress import SILENT, Progress
from bandwise.settings import Experiment
from bandwise.splits import MELON_LISTS, Fold, Folds, hold_out, make_folds, write_versions
from bandwise.training.fold import Material, Outcome, train_fold

TrainFold = Callable[[Material, Fold, Path, Progress], Outcome]
# Systems that are no networks; each is a module of bandwise.baselines with a train_fold of its own.
ESTIMATORS = {"mfcc-svm": "bandwise.baselines.mfcc_svm"}
# Settings that change where or how fast a run is computed, not what: a resumed run may have others.
FREE_TO_CHANGE = ("accelerator", "devices", "logger", "store")


@dataclass(frozen=True)
class Prepared:
    """A corpus with its features, ready for training.

    Attributes:
        material: Experiment, corpus (without unreadable tracks), front end, store.
        left_out: ``(track id, reason)`` for each track that could not be read.
    """

    material: Material
    left_out: tuple[tuple[str, str], ...]


def prepare(experiment: Experiment, *, jobs: int | None = None, progress: Progress = SILENT) -> Prepared:
    """Open the corpus and build or update its feature store."""
    corpus = open_corpus(experiment.corpus)
    for what, why in corpus.skipped[:5]:
        progress.warn(f"left out {what}: {why}")
    if len(corpus.skipped) > 5:
        progress.warn(f"… and {len(corpus.skipped) - 5} more; `bandwise data info {experiment.corpus}` lists them")
    frontend = experiment.frontend or corpus.frontend
    meta = store_meta(corpus, frontend, experiment.dtype, wave=experiment.recipe.crops == "wave")
    packed = pack(corpus, meta, experiment.store, jobs=jobs, progress=progress)
    readable = tuple(track for track in corpus.tracks if track.id in packed.store)
    present = {track.genre for track in readable}
    genres = tuple(genre for genre in corpus.genres if genre in present)
    if len(genres) < 2:
        raise BandwiseError(f"{corpus.root} has readable tracks of {len(genres)} genre only; at least 2 are needed")
    corpus = replace(corpus, tracks=readable, genres=genres)
    return Prepared(Material(experiment, corpus, frontend, packed.store), packed.failures)


def cross_validate(
    experiment: Experiment,
    directory: Path,
    *,
    only: Sequence[int] | None = None,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Cross-validate a system on a corpus; goes on where an earlier call on the same folder was interrupted.

    Args:
        experiment: What to run.
        directory: The run's folder. Receives ``experiment.json``, ``folds.json``, ``folds/<k>/`` with a model and
            predictions each, and ``result.json``.
        only: Fold numbers (from 1) to run now; the others are left for another call or machine.
        jobs: Threads for feature extraction.
        progress: Where to show how far it is.

    Returns:
        What ``result.json`` holds: the figures of all finished folds.

    Raises:
        BandwiseError: The folder belongs to another experiment, or something in the settings cannot be.
    """
    check_experiment(experiment, directory)
    prepared = prepare(experiment, jobs=jobs, progress=progress)
    material = prepared.material
    folds = _folds(experiment, material.corpus, directory)
    for dropped in folds.dropped[:5]:
        progress.warn(f"{dropped} is in the fold lists but not in the corpus")
    wanted = list(only) if only else list(range(1, len(folds) + 1))
    for k in wanted:
        if not 1 <= k <= len(folds):
            raise BandwiseError(f"there is no fold {k}; folds are 1 to {len(folds)}")
    run_one = _fold_trainer(experiment.system)
    with progress.task("folds", len(wanted), "folds") as bar:
        for k in wanted:
            place = directory / "folds" / str(k)
            if not (place / "fold.json").exists():
                with _alone(place):
                    outcome = run_one(material, folds.folds[k - 1], place, progress)
                    save_fold(place, k, outcome.best, outcome.last, outcome.labels, outcome.details)
            result = _write_result(prepared, folds, directory)
            bar.describe(f"accuracy {100 * result['figures']['best']['accuracy_mean']:.1f} %")
            bar.advance()
    return result


def train(
    experiment: Experiment, directory: Path, *, jobs: int | None = None, progress: Progress = SILENT
) -> dict[str, Any]:
    """Train one model on a whole corpus, but for a tenth that picks the best weights.

    Returns:
        What ``training.json`` holds: history, best epoch, accuracy on the tenth held out for validation.
    """
    if experiment.system in ESTIMATORS:
        raise BandwiseError(
            f"{experiment.system} leaves no model to keep; cross-validate it with `bandwise crossval`"
        )
    check_experiment(experiment, directory)
    done = directory / "training.json"
    if done.exists():
        summary: dict[str, Any] = read_json(done, dict)
        return summary
    prepared = prepare(experiment, jobs=jobs, progress=progress)
    corpus = prepared.material.corpus
    path = directory / "folds.json"
    if path.exists():  # the same tenth, also where the corpus has changed since
        fold = Folds.load(path).folds[0]
    else:
        group = None if experiment.group == "none" else experiment.group
        fold = hold_out(corpus, seed=experiment.fold_seed, group=group)
        _keep(experiment, Folds((fold,), "a tenth held out for validation", group), directory)
    with _alone(directory):
        outcome = train_fold(prepared.material, fold, directory, progress)
    summary = {"tracks": {"train": len(fold.train), "valid": len(fold.valid)}, "genres": list(corpus.genres)}
    summary |= outcome.details | {"caveat": corpus.caveat, "left_out": [list(item) for item in prepared.left_out]}
    write_json(done, summary)
    return summary


def check_experiment(experiment: Experiment, directory: Path) -> None:
    """Check that a run being resumed is this one, and that its network can be built, before any work is done."""
    if experiment.system not in ESTIMATORS:
        resolve_config(experiment.system, None, experiment.size, **experiment.overrides)
    path = directory / "experiment.json"
    if not path.exists():
        return
    earlier, now = (_flat(read_json(path, dict)), _flat(experiment.model_dump(mode="json")))
    for key in now:
        if key not in FREE_TO_CHANGE and earlier.get(key) != now[key]:
            raise BandwiseError(
                f"{directory} holds a run with {key} = {earlier.get(key)!r}, not {now[key]!r}; "
                "choose another --out, or delete it to start anew"
            )


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    recipe = settings.get("recipe")
    nested = {f"recipe.{key}": value for key, value in recipe.items()} if isinstance(recipe, dict) else {}
    return {key: value for key, value in settings.items() if key != "recipe"} | nested


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep a second command from training the same fold; this training's own other processes are none."""
    if os.environ.get("LOCAL_RANK", "0") != "0":
        yield
        return
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / "lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise BandwiseError(f"another command is training in {place}; wait for it, or stop it") from None
    try:
        yield
    finally:
        lock.release()
        (place / "lock").unlink(missing_ok=True)


def _keep(experiment: Experiment, folds: Folds, directory: Path) -> None:
    """Write what a resumed run must agree with. The folds come last: their presence says that both are there."""
    write_json(directory / "experiment.json", experiment.model_dump(mode="json"))
    folds.save(directory / "folds.json")


def _folds(experiment: Experiment, corpus: Corpus, directory: Path) -> Folds:
    path = directory / "folds.json"
    if path.exists():
        return make_folds(corpus, lists=path)
    group = None if experiment.group == "none" else experiment.group
    folds = make_folds(corpus, experiment.folds, seed=experiment.fold_seed, group=group, lists=experiment.fold_lists)
    _keep(experiment, folds, directory)
    if corpus.content == "mel" and not folds.published:
        write_versions(folds, directory / MELON_LISTS)  # in the form that the authors' code reads
    return folds


def _fold_trainer(system: str) -> TrainFold:
    if system not in ESTIMATORS:
        return train_fold
    from importlib import import_module

    trainer: TrainFold = import_module(ESTIMATORS[system]).train_fold
    return trainer


def _write_result(prepared: Prepared, folds: Folds, directory: Path) -> dict[str, Any]:
    places = sorted((directory / "folds").glob("*/fold.json"), key=lambda path: int(path.parent.name))
    results = [read_json(path) for path in places]
    material = prepared.material
    result = summarise(material.experiment, material.corpus, folds, results, prepared.left_out)
    write_json(directory / "result.json", result)
    return result

"""Testing the models of a cross-validation again, under another rule (row #16 is #15 tested on 16 crops)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bandwise.errors import BandwiseError
from bandwise.evaluation.results import load_result, save_fold, summarise
from bandwise.files import read_json, write_json
from bandwise.models.bundle import load_bundle
from bandwise.paper import ROWS
from bandwise.progress import SILENT, Progress
from bandwise.settings import Experiment, find_row, merge, paper_recipe, validate
from bandwise.splits import make_folds
from bandwise.training.crossval import prepare
from bandwise.training.fold import Loaders, frontend_of, predict
from bandwise.training.module import GenreModule


def retest(
    run: Path, test: str, test_crops: int = 16, *, system: str | None = None, progress: Progress = SILENT
) -> tuple[Path, dict[str, Any]]:
    """Test every finished fold's best weights on its test part under another rule.

    Args:
        run: A cross-validation.
        test: ``"whole"`` or ``"crops"``.
        test_crops: Crops of a clip.
        system: What to call the result, where it is another row of the paper (``"#16"``).
        progress: Where to show folds.

    Returns:
        The folder ``run/evaluations/<rule>`` and what its ``result.json`` holds.

    Raises:
        BandwiseError: The run is no cross-validation of a network, or the rule is unknown.
    """
    load_result(run)
    earlier = read_json(run / "experiment.json")
    experiment: Experiment = validate(merge(earlier, {"recipe": {"test": test, "test_crops": test_crops}}))
    experiment = experiment.model_copy(update={"system": system or _row_of(experiment) or experiment.system})
    prepared = prepare(experiment, progress=progress)
    material = prepared.material
    folds = make_folds(material.corpus, lists=run / "folds.json")
    directory = run / "evaluations" / (f"{test}-{test_crops}" if test == "crops" else test)
    places = sorted((run / "folds").glob("*/fold.json"), key=lambda path: int(path.parent.name))
    results = []
    with progress.task("folds", len(places), "folds") as bar:
        for done in places:
            k = int(done.parent.name)
            if not (done.parent / "config.json").exists():
                raise BandwiseError(f"{run} is a run of {earlier['system']}, which has no network to test again")
            fold = folds.folds[k - 1]
            bundle = load_bundle(done.parent)
            if bundle.labels != material.corpus.genres:
                raise BandwiseError(f"{done.parent} was trained on other genres than {experiment.corpus} has now")
            model = bundle.model
            module = GenreModule(model, experiment.recipe, len(material.corpus.genres), frontend_of(material))
            probabilities = predict(module, Loaders(material, fold), fold.test)
            place = directory / "folds" / str(k)
            # Only the best weights were kept, so there is no last epoch to stand beside them.
            trained = {k: v for k, v in read_json(done).items() if k not in ("best", "last")} | {"history": []}
            save_fold(place, k, probabilities, probabilities, material.labels(fold.test), trained)
            results.append(read_json(place / "fold.json"))
            bar.advance()
    result = summarise(experiment, material.corpus, folds, results, prepared.left_out)
    write_json(directory / "result.json", result)
    return directory, result


def _row_of(experiment: Experiment) -> str | None:
    """Give the row of the paper that tests this system's weights under this rule (#16 for #15), if there is one."""
    trained = find_row(experiment.system, "gtzan")
    for row in ROWS.values():
        if row.weights_of_row == trained.row and experiment.system in (trained.system, trained.name):
            rule = paper_recipe(row)
            if (rule["test"], rule["test_crops"]) == (experiment.recipe.test, experiment.recipe.test_crops):
                return row.name
    return None

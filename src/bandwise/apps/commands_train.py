"""``bandwise systems | features | train | crossval | evaluate | reproduce``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandwise.apps.console import ConsoleProgress, err, out, percent, print_json, table

if TYPE_CHECKING:
    from bandwise.settings import Experiment

System = Annotated[str | None, typer.Option(help="A name from `bandwise systems`, or a row such as '#15'.")]
CorpusOption = Annotated[str | None, typer.Option(help="kind:/path; kinds are listed by `bandwise data list`.")]
Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the run; the same folder again goes on where it stopped.")
]
Config = Annotated[Path | None, typer.Option(help="Experiment file (YAML, or a run's experiment.json).")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting, such as recipe.lr=0.002 or overrides.stop=256.")
]
Size = Annotated[str | None, typer.Option(help="full, small (widths ÷ 4) or tiny (÷ 16).")]
Epochs = Annotated[int | None, typer.Option(help="Short for --set recipe.epochs=…")]
Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]
Jobs = Annotated[int | None, typer.Option(help="Threads that decode audio; one a core by default.")]
FoldCount = Annotated[int | None, typer.Option("--folds", help="Number of folds where the corpus brings none.")]
FoldLists = Annotated[Path | None, typer.Option(help="Folder of published fold lists, or a run's folds.json.")]
Group = Annotated[
    str | None, typer.Option(help="Keep together what shares this (artist, groove, style); auto or none.")
]
Seed = Annotated[int | None, typer.Option(help="Short for --set recipe.seed=…")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (systems, features, train, crossval, evaluate, reproduce):
        app.command()(command)


def systems(
    pattern: Annotated[str, typer.Argument(help="Wildcard, such as 'ecapa*'.")] = "*",
    size: Annotated[str, typer.Option(help="Size to count parameters at.")] = "full",
    as_json: Json = False,
) -> None:
    """List the systems with their parameters and the rows of the paper that they are."""
    import torch

    from bandwise.models.registry import create_model, list_systems
    from bandwise.paper import ROWS
    from bandwise.training.crossval import ESTIMATORS

    listed: list[dict[str, Any]] = []
    for name in list_systems(pattern):
        with torch.device("meta"):
            model = create_model(name, size=size)
        rows = {row.name: row.published_accuracy for row in ROWS.values() if row.system == name}
        listed.append({"system": name, "parameters": sum(p.numel() for p in model.parameters()), "rows": rows})
    if as_json:
        print_json(listed)
        return
    table(
        ["system", ">parameters", "rows of the paper (published accuracy, %)"],
        [
            (entry["system"], f"{entry['parameters']:,}", ", ".join(f"{r} ({a})" for r, a in entry["rows"].items()))
            for entry in listed
        ],
    )
    err.print(f"[dim]Also, for reference: {', '.join(ESTIMATORS)} (no network).[/dim]")


def features(
    corpus: Annotated[str, typer.Argument(help="kind:/path")],
    frontend: Annotated[str | None, typer.Option(help="Front end; the corpus' own by default.")] = None,
    dtype: Annotated[str, typer.Option(help="float16, or float32 for exact values.")] = "float16",
    wave: Annotated[bool, typer.Option("--wave", help="Keep waves, for crops = wave.")] = False,
    to: Annotated[Path | None, typer.Option(help="Folder of the store; the cache by default.")] = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Build a corpus' feature store, or bring it up to date. Training does this by itself."""
    from bandwise.corpora import open_corpus
    from bandwise.packing import pack, store_meta

    progress = ConsoleProgress()
    opened = open_corpus(corpus, progress)
    packed = pack(
        opened, store_meta(opened, frontend or opened.frontend, dtype, wave), to, jobs=jobs, progress=progress
    )
    store = packed.store
    figures: dict[str, Any] = {
        "store": str(store.path),
        "tracks": len(store),
        "added": packed.added,
        "frames": int(store.lengths.sum()),
        "bytes": (store.path / "frames.bin").stat().st_size,
        "failures": [list(failure) for failure in packed.failures],
    }
    if as_json:
        print_json(figures)
    else:
        out.print(
            f"{len(store)} tracks, {figures['bytes'] / 1e6:.1f} MB, {packed.added} extracted now: {store.path}",
            soft_wrap=True,
        )
    if packed.failures:
        raise typer.Exit(1)


def train(
    system: System = None,
    corpus: CorpusOption = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder of the model.")] = None,
    config: Config = None,
    size: Size = None,
    epochs: Epochs = None,
    seed: Seed = None,
    group: Group = None,
    sets: Sets = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Train one model on a whole corpus; a tenth, held out by groups, picks the best weights."""
    from bandwise.training import crossval as training

    experiment = _experiment(
        config, sets, system=system, corpus=corpus, size=size, epochs=epochs, seed=seed, group=group
    )
    directory = out_dir or Path("runs") / f"train-{_name(experiment)}"
    summary = training.train(experiment, directory, jobs=jobs, progress=ConsoleProgress())
    if as_json:
        print_json({"model": str(directory), **summary})
        return
    out.print(
        f"best epoch {summary.get('best_epoch', '–')}, accuracy {percent(summary['valid_accuracy'])} % on the "
        f"{summary['tracks']['valid']} tracks held out to pick it (not a test figure)",
        soft_wrap=True,
    )
    if summary["caveat"]:
        out.print(summary["caveat"], style="yellow", soft_wrap=True)
    out.print(f"model: {directory}\nuse it: bandwise predict FILE --model {directory}", soft_wrap=True)


def crossval(
    system: System = None,
    corpus: CorpusOption = None,
    out_dir: Out = None,
    config: Config = None,
    size: Size = None,
    folds: FoldCount = None,
    fold_lists: FoldLists = None,
    group: Group = None,
    epochs: Epochs = None,
    seed: Seed = None,
    only: Annotated[str | None, typer.Option(help="Fold numbers to run now, such as 1,2,5.")] = None,
    sets: Sets = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Cross-validate a system on a corpus and write a report; the paper's recipe unless told otherwise."""
    from bandwise.training.crossval import cross_validate

    experiment = _experiment(
        config, sets, system=system, corpus=corpus, size=size, epochs=epochs, seed=seed, group=group, folds=folds,
        fold_lists=fold_lists,
    )  # fmt: skip
    directory = out_dir or Path("runs") / _name(experiment)
    progress = ConsoleProgress()
    result = cross_validate(experiment, directory, only=_numbers(only), jobs=jobs, progress=progress)
    _show(result, directory, as_json)


def evaluate(
    run: Annotated[Path, typer.Argument(help="A run of `bandwise crossval`.")],
    test: Annotated[
        str, typer.Option(help="whole, or crops: evenly spaced ones, softmax summed (row #16).")
    ] = "crops",
    test_crops: Annotated[int, typer.Option(help="Crops of a clip.")] = 16,
    as_json: Json = False,
) -> None:
    """Test a run's models again under another rule, without training (test-time augmentation)."""
    from bandwise.training.retest import retest

    directory, result = retest(run, test, test_crops, progress=ConsoleProgress())
    _show(result, directory, as_json)


def reproduce(
    table_number: Annotated[int, typer.Option("--table", help="2 (GTZAN) or 3 (Melon).")],
    corpus: CorpusOption = None,
    rows: Annotated[str | None, typer.Option(help="Rows, such as 8,15,16; all by default.")] = None,
    out_dir: Annotated[Path | None, typer.Option("--out", help="Folder of the runs.")] = None,
    fold_lists: FoldLists = None,
    config: Config = None,
    size: Size = None,
    epochs: Epochs = None,
    sets: Sets = None,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Run rows of the paper's Table 2 or 3 and print published against measured."""
    from bandwise.training.reproduce import reproduce_rows

    directory = out_dir or Path("runs") / f"table{table_number}"
    changes = _changes(config, sets, size=size, epochs=epochs, fold_lists=fold_lists)
    changes.pop("system", None)  # the rows say which
    from_file = changes.pop("corpus", None)
    corpus = corpus or from_file
    lines = []
    for line in reproduce_rows(table_number, corpus, _numbers(rows), directory, changes, jobs, ConsoleProgress()):
        if line.result is not None and line.directory is not None:
            _draw(line.result, line.directory)
        lines.append(line)
    if as_json:
        print_json([line.as_dict() for line in lines])
    else:
        table(
            ["row", "system", ">published %", ">measured %", "95 % interval", "remarks"],
            [
                (
                    line.row.name,
                    line.row.system,
                    f"{line.row.published_accuracy:.1f}",
                    percent(line.accuracy),
                    "–".join(percent(v) for v in line.interval) if line.interval else "",
                    line.remark,
                )
                for line in lines
            ],
            title=f"Table {table_number}",
        )
    if any(line.result is None and line.is_network for line in lines):
        raise typer.Exit(1)


def _draw(result: dict[str, Any], directory: Path) -> Path:
    from bandwise.evaluation.plots import write_plots
    from bandwise.evaluation.report import write_report

    write_plots(result, directory / "plots")
    return write_report(result, directory)


def _show(result: dict[str, Any], directory: Path, as_json: bool) -> None:
    from bandwise.evaluation.report import text_summary

    report = _draw(result, directory)
    if as_json:
        print_json(result)
        return
    out.print(text_summary(result), soft_wrap=True, markup=False)
    out.print(f"report: {report}", soft_wrap=True, markup=False)


def _changes(config: Path | None, sets: list[str] | None, **given: Any) -> dict[str, Any]:
    """Lay flags over --set over the experiment file."""
    import yaml

    from bandwise.errors import BandwiseError
    from bandwise.settings import load_yaml, merge

    changes = load_yaml(config) if config else {}
    for item in sets or []:
        key, equals, text = item.partition("=")
        if not equals:
            raise BandwiseError(f"--set takes name=value, not {item!r}")
        try:
            value: Any = yaml.safe_load(text)
            if isinstance(value, str):
                value = float(value)  # YAML takes 1e-3 for a word
        except (yaml.YAMLError, ValueError):
            value = text
        for part in reversed(key.split(".")):
            value = {part: value}
        changes = merge(changes, value)
    for name in ("epochs", "seed"):
        if given.get(name) is not None:
            changes = merge(changes, {"recipe": {name: given[name]}})
    return changes | {k: v for k, v in given.items() if v is not None and k not in ("epochs", "seed")}


def _experiment(config: Path | None, sets: list[str] | None, **given: Any) -> Experiment:
    from bandwise.errors import BandwiseError
    from bandwise.settings import make_experiment

    changes = _changes(config, sets, **given)
    for name in ("system", "corpus"):
        if name not in changes:
            raise BandwiseError(f"say which {name}: --{name} on the command line, or in the experiment file")
    return make_experiment(changes.pop("system"), changes.pop("corpus"), **changes)


def _name(experiment: Experiment) -> str:
    return f"{experiment.system.replace('#', 'row')}-{experiment.size}-{experiment.corpus.partition(':')[0]}"


def _numbers(text: str | None) -> list[int] | None:
    from bandwise.errors import BandwiseError

    if text is None:
        return None
    try:
        return [int(part.strip().removeprefix("#")) for part in text.split(",")]
    except ValueError:
        raise BandwiseError(f"expected numbers such as 1,2,5, not {text!r}") from None

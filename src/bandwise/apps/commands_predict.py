"""``bandwise predict``."""

from __future__ import annotations

import csv
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bandwise.apps.console import ConsoleProgress, err, json_text, out, percent, print_json, table

if TYPE_CHECKING:
    from bandwise.inference.classifier import Prediction


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.command()(predict)


def predict(
    files: Annotated[list[str], typer.Argument(help="Files, or folders that are searched with all they hold.")],
    model: Annotated[Path, typer.Option(help="A model folder, or a run.")],
    top_k: Annotated[int, typer.Option(min=1, help="Genres to show.")] = 3,
    form: Annotated[str, typer.Option("--format", help="table, json, jsonl or csv.")] = "table",
    as_json: Annotated[bool, typer.Option("--json", help="Short for --format json.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Say which genre files are of. A file that cannot be used is named, and the others go on."""
    from bandwise.errors import BandwiseError
    from bandwise.inference.classifier import Classifier, Prediction

    form = "json" if as_json else form
    if form not in ("table", "json", "jsonl", "csv"):
        raise BandwiseError(f"--format is table, json, jsonl or csv, not {form!r}")
    classifier = Classifier.load(model, device)
    failures = 0

    def cannot_look(error: OSError) -> None:
        nonlocal failures
        failures += 1
        err.print(f"{error.filename}: {(error.strerror or str(error)).lower()}", style="red", markup=False)

    paths = list(find_audio(files, cannot_look))
    if not paths and not failures:
        raise BandwiseError(f"no audio files in {', '.join(files)}")
    if classifier.about.get("caveat"):
        err.print(str(classifier.about["caveat"]), style="yellow", markup=False, soft_wrap=True)
    progress = ConsoleProgress()

    def results() -> Iterator[Prediction]:
        nonlocal failures
        with progress.task("files", len(paths), "files") as bar:
            for outcome in classifier.predict_many(paths):
                bar.advance()
                if isinstance(outcome, Prediction):
                    yield outcome
                else:
                    failures += 1
                    err.print(f"{outcome.path}: {outcome.reason}", style="red", markup=False, soft_wrap=True)

    _WRITERS[form](results(), top_k)
    if failures:
        raise typer.Exit(1)


def find_audio(names: Iterable[str], cannot_look: Callable[[OSError], None]) -> Iterator[str]:
    """Give files as they are named, and of folders every audio file below, sorted, hidden ones left out.

    Args:
        names: Files and folders.
        cannot_look: Is told of every folder that cannot be read.
    """
    from bandwise.corpora.base import AUDIO_SUFFIXES

    for name in names:
        if not os.path.isdir(name):  # noqa: PTH112 - never raises, whatever the name
            yield name
            continue
        for folder, folders, files in os.walk(name, onerror=cannot_look):
            folders[:] = sorted(f for f in folders if not f.startswith("."))
            for file in sorted(files):
                if Path(file).suffix.lower() in AUDIO_SUFFIXES and not file.startswith("."):
                    yield str(Path(folder) / file)


def _write_table(results: Iterator[Prediction], top_k: int) -> None:
    rows = []
    for result in results:
        best, *others = result.top(top_k)
        rest = ", ".join(f"{genre} {percent(p)}" for genre, p in others)
        rows.append((result.path, best[0], percent(best[1]), rest))
    if rows:
        table(["file", "genre", ">%", "next (%)"], rows)
    else:
        out.print("no file could be classified")


def _write_json(results: Iterator[Prediction], top_k: int) -> None:
    documents = [_document(result, top_k) for result in results]
    print_json(documents)


def _write_jsonl(results: Iterator[Prediction], top_k: int) -> None:
    for result in results:
        sys.stdout.write(json_text(_document(result, top_k)) + "\n")
        sys.stdout.flush()


def _write_csv(results: Iterator[Prediction], top_k: int) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    places = [f"{what}_{i}" for i in range(2, top_k + 1) for what in ("genre", "confidence")]
    writer.writerow(["path", "genre", "confidence", "seconds", *places])
    for result in results:
        (genre, p), *others = result.top(top_k)
        more = [cell for name, q in others for cell in (name, f"{q:.6f}")]
        more += [""] * (len(places) - len(more))
        writer.writerow([result.path, genre, f"{p:.6f}", f"{result.seconds:.3f}", *more])


def _document(result: Prediction, top_k: int) -> dict[str, Any]:
    return {**result.as_dict(), "top": [[genre, round(p, 6)] for genre, p in result.top(top_k)]}


_WRITERS = {"table": _write_table, "json": _write_json, "jsonl": _write_jsonl, "csv": _write_csv}

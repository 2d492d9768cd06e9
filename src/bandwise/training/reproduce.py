"""Running the rows of the paper's tables, published against measured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bandwise.corpora import corpus_info
from bandwise.errors import BandwiseError
from bandwise.paper import Row, get_row, table_rows
from bandwise.progress import SILENT, Progress
from bandwise.settings import make_experiment
from bandwise.training.crossval import cross_validate
from bandwise.training.retest import retest

FIRST_NETWORK = 4  # rows #1 to #3 are no networks


@dataclass(frozen=True)
class Line:
    """One row's outcome.

    Attributes:
        row: The row.
        result: What its ``result.json`` holds, or ``None`` where it could not be run.
        directory: Where.
        remark: Why it could not be run, or in which ways it departs from the paper's protocol.
    """

    row: Row
    result: dict[str, Any] | None
    directory: Path | None
    remark: str

    @property
    def is_network(self) -> bool:
        """Whether this version can run the row; #1 to #3 are figures of other publications."""
        return self.row.row >= FIRST_NETWORK

    @property
    def accuracy(self) -> float | None:
        """Mean over folds, best weights by validation."""
        return None if self.result is None else float(self.result["figures"]["best"]["accuracy_mean"])

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 95 % interval over folds."""
        found = None if self.result is None else self.result["figures"]["best"]["accuracy_interval"]
        return tuple(found) if found else None

    def as_dict(self) -> dict[str, Any]:
        """Give everything as JSON can hold it."""
        return {
            "row": self.row.row,
            "system": self.row.system,
            "published_accuracy": self.row.published_accuracy,
            "measured_accuracy": None if self.accuracy is None else 100 * self.accuracy,
            "interval": [100 * v for v in self.interval] if self.interval else None,
            "run": str(self.directory) if self.directory else None,
            "remark": self.remark,
        }


def reproduce_rows(
    table: int,
    corpus: str | None,
    rows: Sequence[int] | None,
    directory: Path,
    changes: dict[str, Any] | None = None,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> Iterator[Line]:
    """Run rows one after the other and give each as it is done; finished ones are not run again.

    Args:
        table: 2 or 3.
        corpus: ``kind:/path``; without it every row says what to get and from where.
        rows: Numbers, or ``None`` for the whole table.
        directory: Receives a run a row, ``row-8`` and so on.
        changes: Settings that differ from the published ones (size, recipe).
        jobs: Threads for feature extraction.
        progress: Where to show how far it is.

    Raises:
        BandwiseError: A row is not in the table.
    """
    in_table = table_rows(table)
    chosen = [get_row(number) for number in rows] if rows else in_table
    for row in chosen:
        if row not in in_table:
            raise BandwiseError(f"{row.name} is in Table {row.table}, not {table}")
    for row in chosen:
        progress.note(f"{row.name} {row.system}: published {row.published_accuracy} %")
        if row.row < FIRST_NETWORK:
            yield Line(row, None, None, "not a network; this version does not run it" + _note(row))
        elif corpus is None:
            yield Line(row, None, None, _how_to_get(row))
        else:
            # The paper's folds are random by song, even where the artist is known (Melon).
            yield _run(row, corpus, directory, {"group": "none"} | (changes or {}), jobs, progress)


def _run(
    row: Row, corpus: str, directory: Path, changes: dict[str, Any], jobs: int | None, progress: Progress
) -> Line:
    trained = row.weights_of_row or row.row
    experiment = make_experiment(f"#{trained}", corpus, **changes)
    place = directory / f"row-{trained}"
    result = cross_validate(experiment, place, jobs=jobs, progress=progress)
    if row.weights_of_row is not None:
        rule = make_experiment(row.name, corpus, **changes).recipe
        place, result = retest(place, rule.test, rule.test_crops, system=row.name, progress=progress)
    differences = result["paper"]["differences"]
    remark = "the paper's protocol" if not differences else "not comparable: " + "; ".join(differences)
    return Line(row, result, place, remark + _note(row))


def _how_to_get(row: Row) -> str:
    info = corpus_info(row.corpus)
    return f"needs {info.title}: --corpus {row.corpus}:/path ({info.get})"


def _note(row: Row) -> str:
    return f" ({row.note})" if row.note else ""

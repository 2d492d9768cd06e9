"""A table of files: CSV, TSV, JSON Lines or Parquet with ``path``, ``genre`` and what else is known."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from bandwise.corpora.base import Corpus, CorpusInfo, Track
from bandwise.corpora.folder import short_names
from bandwise.corpora.scan import Skip, capped, expanded
from bandwise.errors import BandwiseError, MissingExtra

SPLITS = {"training": "train", "train": "train", "validation": "valid", "valid": "valid", "val": "valid"} | {
    "test": "test",
    "testing": "test",
}
_GROUPS = ("artist", "group")
_COLUMNS = ("path", "genre", *_GROUPS, "split", "fold", "start", "end", "id")

# Row as people count it in the file, and its cells as text; an empty cell is absent.
Row = tuple[int, dict[str, str]]


def load(root: Path) -> Corpus:
    """Read a table of tracks.

    Args:
        root: A ``.csv``, ``.tsv``, ``.jsonl``/``.ndjson`` or ``.parquet`` file, text in UTF-8. Columns ``path``
            (relative to the table's folder) and ``genre``; optionally ``artist`` or ``group``, ``split``, ``fold``,
            ``start`` and ``end`` in seconds, and ``id``.

    Returns:
        Tracks in the table's order, genres by name. Rows without path or genre, and missing files, stand in
        ``skipped`` with the row's number (a CSV's header is row 1).

    Raises:
        BandwiseError: Columns are missing, or a cell cannot be what its column says; the message names the row.
    """
    if not root.is_file():
        raise BandwiseError(f"{root} is not a file; for a folder with a folder for each genre write folder:{root}")
    skipped: list[Skip] = []
    tracks: list[Track] = []
    texts: list[str] = []  # each track's path as the table gives it
    rows: dict[tuple[str, float | None, float | None], tuple[int, str]] = {}
    for number, row in _rows(root, skipped):
        empty = [column for column in ("path", "genre") if column not in row]
        if empty:
            skipped.append((f"row {number}", f"no {' and no '.join(empty)}"))
            continue
        track = _track(root, number, row)
        first, genre = rows.setdefault((track.path, track.start, track.end), (number, track.genre))
        if genre != track.genre:
            raise BandwiseError(
                f"{root}: row {number} calls {row['path']} {track.genre!r} and row {first} {genre!r}; "
                "keep one genre a file"
            )
        if first != number:
            skipped.append((f"row {number}", f"the same item as row {first}"))
        elif not Path(track.path).is_file():
            skipped.append((f"row {number}", f"{row['path']} does not exist"))
        else:
            tracks.append(track)
            texts.append(row["path"])
    tracks, caveat = _with_groups(_with_ids(tracks, texts))
    known = [name for name in _GROUPS if tracks and name in tracks[0].groups]
    return Corpus(
        name="table",
        root=root,
        tracks=tuple(tracks),
        genres=tuple(sorted({track.genre for track in tracks})),
        group=known[0] if known else None,
        skipped=tuple(capped(skipped)),
        caveat=caveat,
    )


def _track(table: Path, number: int, row: Mapping[str, str]) -> Track:
    """One row as a track; its id may be empty."""
    where = f"{table}: row {number}"
    split = None
    if "split" in row:
        split = SPLITS.get(row["split"].lower())
        if split is None:
            raise BandwiseError(f"{where}: split is {row['split']!r}; use train, valid or test")
    fold = _number(row, "fold", where)
    if fold is not None and fold != int(fold):
        raise BandwiseError(f"{where}: fold is {row['fold']!r}; use a whole number")
    start, end = _number(row, "start", where), _number(row, "end", where)
    if end is not None and end <= (start or 0.0):
        raise BandwiseError(f"{where}: end ({end:g} s) must lie after start ({start or 0.0:g} s)")
    return Track(
        id=row.get("id", ""),
        genre=row["genre"],
        path=str(table.parent / expanded(row["path"])),
        groups={name: row[name] for name in _GROUPS if name in row},
        split=split,
        fold=None if fold is None else int(fold),
        start=start,
        end=end,
    )


def _number(row: Mapping[str, str], column: str, where: str) -> float | None:
    if column not in row:
        return None
    try:
        value = float(row[column])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise BandwiseError(f"{where}: {column} is {row[column]!r}; use a number, not negative")
    return value


def _with_ids(tracks: list[Track], texts: list[str]) -> list[Track]:
    """Name the tracks that the table does not name: path without suffix, and the stretch where one is given."""
    names = dict(zip(dict.fromkeys(texts), short_names(list(dict.fromkeys(texts))), strict=True))
    named = []
    for track, text in zip(tracks, texts, strict=True):
        stretch = "" if track.start is None and track.end is None else f"#{track.start or 0:g}-"
        stretch += "" if track.end is None else f"{track.end:g}"
        named.append(track if track.id else replace(track, id=names[text] + stretch))
    return named


def _with_groups(tracks: list[Track]) -> tuple[list[Track], str]:
    """Give a group of its own to each track whose artist is not known while others' are, and say so."""
    sentences = []
    for name in _GROUPS:
        missing = sum(name not in track.groups for track in tracks)
        if 0 < missing < len(tracks):
            tracks = [replace(track, groups={name: f"unknown ({track.id})", **track.groups}) for track in tracks]
            sentences.append(f"The {name} of {missing} of {len(tracks)} tracks is not known; each counts as its own.")
    return tracks, " ".join(sentences)


def _rows(table: Path, skipped: list[Skip]) -> Iterator[Row]:
    """Yield the table's rows, whatever its format, after looking at its columns."""
    suffix = table.suffix.lower()
    if suffix == ".parquet":
        yield from _parquet(table)
    elif suffix in (".jsonl", ".ndjson"):
        yield from _json_lines(table)
    elif suffix in (".csv", ".tsv"):
        yield from _delimited(table, skipped)
    else:
        raise BandwiseError(f"{table} is not a table that can be read: use .csv, .tsv, .jsonl or .parquet")


def _delimited(table: Path, skipped: list[Skip]) -> Iterator[Row]:
    text = _text(table)
    header = text.split("\n", 1)[0]
    delimiter = "\t" if table.suffix.lower() == ".tsv" else ";" if header.count(";") > header.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        columns = [name.strip().lower() for name in next(reader, [])]
        _check_columns(table, columns)
        for number, cells in enumerate(reader, start=2):
            if len(cells) > len(columns):
                skipped.append((f"row {number}", f"{len(cells)} cells under {len(columns)} columns: quote the path?"))
            elif cells:
                yield number, _known(dict(zip(columns, cells, strict=False)))
    except csv.Error as error:
        raise BandwiseError(f"{table}: line {reader.line_num} cannot be read ({error})") from None


def _json_lines(table: Path) -> Iterator[Row]:
    seen: set[str] = set()
    rows = []
    for number, line in enumerate(_text(table).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise BandwiseError(f"{table}: line {number} is not JSON ({error})") from None
        if not isinstance(value, dict):
            raise BandwiseError(f"{table}: line {number} is not a JSON object: {line[:60]}")
        cells = {str(name).strip().lower(): cell for name, cell in value.items()}
        seen.update(cells)
        rows.append((number, _known(cells)))
    _check_columns(table, sorted(seen))
    yield from rows


def _parquet(table: Path) -> Iterator[Row]:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtra("pyarrow", "Reading a Parquet table", "parquet") from None
    try:
        file = parquet.ParquetFile(table)
        names = {name.strip().lower(): name for name in file.schema_arrow.names}
        _check_columns(table, list(names))
        columns = [name for lower, name in names.items() if lower in _COLUMNS]
        number = 0
        for batch in file.iter_batches(columns=columns):
            for row in batch.to_pylist():
                number += 1
                yield number, _known({str(name).strip().lower(): cell for name, cell in row.items()})
    except (arrow.ArrowException, OSError) as error:
        raise BandwiseError(f"{table} is not a Parquet file that can be read ({error})") from None


def _known(cells: Mapping[str, Any]) -> dict[str, str]:
    """Keep the cells that mean something here and are not empty, as text."""
    texts = {name: _as_text(cells[name]) for name in _COLUMNS if name in cells}
    return {name: text for name, text in texts.items() if text}


def _as_text(cell: Any) -> str:
    """A cell as text; a whole number that pandas turned into ``12.0`` on the way is ``12`` again."""
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip()


def _check_columns(table: Path, columns: list[str]) -> None:
    missing = [name for name in ("path", "genre") if name not in columns]
    if missing:
        found = ", ".join(columns) or "none"
        raise BandwiseError(f"{table} has no column {' and no column '.join(missing)}; columns found: {found}")


def _text(table: Path) -> str:
    try:
        return table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BandwiseError(
            f"{table} is not UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8"
        ) from None


INFO = CorpusInfo(
    name="table",
    title="Table: your own audio, listed in CSV, TSV, JSON Lines or Parquet",
    get="Write a table with the columns path and genre; artist, split, fold, start, end and id are optional.",
    layout="path,genre[,artist|group][,split][,fold][,start,end][,id]; paths relative to the table's folder",
    license="yours",
    citation="",
    load=load,
)

"""Building mma10: which groove each clip plays, and rendering them so that a kill costs at most the clips under way.

Each clip carries its own record (a JSON text in the comment of its FLAC file), so file and record are written by one
rename. A second run keeps every clip whose record and samples are as they should be; the manifest is written last.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from bandwise import files
from bandwise.corpora.mma_grooves import GENRES, Groove, list_grooves
from bandwise.corpora.mma_render import SAMPLE_RATE, Programs, RenderError, draw, find_programs, render
from bandwise.errors import BandwiseError
from bandwise.progress import SILENT, Progress

SETTINGS = "mma10.json"
MANIFEST = "manifest.jsonl"
FORMAT = 1
ABOUT = (
    "mma10 is synthesised accompaniment (MMA grooves, one General MIDI soundfont): "
    "no melody, no voice, no recordings."
)
LICENSE = (
    "The grooves are part of MMA (GPL-2 or later, Bob van der Poel and others), the samples of TimGM6mb.sf2 (GPL-2, "
    "Tim Brechbill). Use on your own machine is free. Whether audio rendered from them counts as derived from them "
    "is not settled: pass clips on under the GPL with these names, or not at all, since anyone can build the set."
)


@dataclass
class _Job:
    """What the clips of one build share between threads."""

    target: Path
    seed: int
    seconds: float
    programs: Programs
    schedules: dict[str, list[list[Groove]]]
    progress: Progress
    failed: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)


def build(
    target: Path,
    *,
    clips_per_genre: int = 100,
    genres: Iterable[str] | None = None,
    seed: int = 1,
    jobs: int | None = None,
    progress: Progress = SILENT,
    seconds: float = 30.0,
) -> Path:
    """Build mma10, or go on with a build that was interrupted, or add clips to a finished one.

    Args:
        target: The folder to build in.
        clips_per_genre: How many; a finished set can be built again with more, never with fewer.
        genres: Some of ``mma_grooves.GENRES``; all ten by default.
        seed: Decides order of grooves, tempo, key, chords and level. The same seed gives the same waves where the
            programs are the same.
        jobs: Clips rendered at once; by default one for each processor.
        progress: Where to show the bar, and a warning for each groove that could not be rendered.
        seconds: Exact length of every clip.

    Returns:
        ``target``, which now holds ``audio/<genre>/<genre>.00000.flac`` …, ``manifest.jsonl`` and ``mma10.json``.

    Raises:
        BandwiseError: MMA, fluidsynth or the soundfont is missing, an argument is out of range, ``target`` was begun
            with other settings, or no groove of a genre can be rendered.
    """
    chosen = _checked(clips_per_genre, genres, seed, jobs, seconds)
    programs = find_programs()
    settings = {
        "name": "mma10",
        "format": FORMAT,
        "seed": seed,
        "seconds": float(seconds),
        "sample_rate": SAMPLE_RATE,
        "genres": list(chosen),
        "programs": programs.versions,
        "clips_per_genre": clips_per_genre,
        "about": ABOUT,
        "license": LICENSE,
    }
    _claim(target, settings)
    for leftover in (target / "audio").glob("*/.*.tmp"):  # half clips of a build that was killed
        leftover.unlink(missing_ok=True)
    grooves = list_grooves()
    schedules = {genre: schedule([g for g in grooves if g.genre == genre], seed) for genre in chosen}
    job = _Job(target, seed, float(seconds), programs, schedules, progress)
    # Number by number, so that a build that was stopped early holds the genres in equal parts.
    wanted = [(genre, number) for number in range(clips_per_genre) for genre in chosen]
    records = _make_all(job, wanted, jobs or os.cpu_count() or 1)
    records.sort(key=lambda record: str(record["id"]))
    lines = (json.dumps(record, ensure_ascii=False) for record in records)
    files.write_text(target / MANIFEST, "\n".join(lines) + "\n")
    return target


def schedule(grooves: Sequence[Groove], seed: int) -> list[list[Groove]]:
    """Order the grooves of a genre: style files at random, and in each file families in turn.

    Clip ``n`` plays from style file ``n mod F`` the groove ``n div F`` (from the start again when they run out), so
    that every style file gives as many clips as any other, however many grooves it holds.

    Args:
        grooves: All of one genre.
        seed: The seed of the set.

    Returns:
        One list for each style file.
    """
    by_style: dict[str, dict[str, list[Groove]]] = {}
    for groove in grooves:
        by_style.setdefault(groove.style, {}).setdefault(groove.family, []).append(groove)
    ordered = []
    for style in sorted(by_style):
        families = list(by_style[style].values())
        random.Random(f"mma10/{seed}/{style}").shuffle(families)
        turns = chain.from_iterable(zip_longest(*families))
        ordered.append([groove for groove in turns if groove is not None])
    random.Random(f"mma10/{seed}/styles").shuffle(ordered)
    return ordered


def candidates(ordered: list[list[Groove]], number: int) -> list[Groove]:
    """The groove of clip ``number``, then those that take its place if it fails, from the same file first."""
    first, turn = number % len(ordered), number // len(ordered)
    found = []
    for own in ordered[first:] + ordered[:first]:
        start = turn % len(own)
        found += own[start:] + own[:start]
    return found


def _checked(
    clips_per_genre: int, genres: Iterable[str] | None, seed: int, jobs: int | None, seconds: float
) -> tuple[str, ...]:
    """Check the arguments of ``build`` and give the genres in their fixed order."""
    chosen = set(GENRES if genres is None else genres)
    if unknown := sorted(chosen - set(GENRES)):
        raise BandwiseError(f"mma10 has no genre {unknown[0]!r}; its genres are {', '.join(GENRES)}")
    if not chosen:
        raise BandwiseError(f"no genre was asked for; choose from {', '.join(GENRES)}")
    # Five digits number the clips of a genre.
    for name, value, low, high in (
        ("clips_per_genre", clips_per_genre, 1, 100_000),
        ("seed", seed, 0, 2**63 - 1),
        ("jobs", 1 if jobs is None else jobs, 1, 1024),
        ("seconds", seconds, 0.5, 600.0),
    ):
        if not low <= value <= high:
            raise BandwiseError(f"{name} must be between {low} and {high}, not {value}")
    return tuple(genre for genre in GENRES if genre in chosen)


def _claim(target: Path, settings: dict[str, Any]) -> None:
    """Write the settings into the target, or make sure that those already there are the same."""
    path = target / SETTINGS
    if path.exists():
        begun = files.read_json(path)
        if not isinstance(begun, dict):
            raise BandwiseError(f"{path} is not the settings of an mma10 build: build in another folder")
        for name in ("name", "format", "seed", "seconds", "sample_rate", "genres", "programs"):
            if begun.get(name) != settings[name]:
                raise BandwiseError(
                    f"{target} was begun with {name} = {begun.get(name)!r}, not {settings[name]!r}: "
                    "use the same, or build in another folder"
                )
        if int(begun.get("clips_per_genre", 0)) > int(settings["clips_per_genre"]):
            raise BandwiseError(
                f"{target} was begun with clips_per_genre = {begun['clips_per_genre']}, more than "
                f"{settings['clips_per_genre']}: use as many, or build in another folder"
            )
    elif (target / "audio").exists():
        raise BandwiseError(f"{target} holds a folder audio but no {SETTINGS}: build in another folder")
    files.write_json(path, settings)


def _make_all(job: _Job, wanted: list[tuple[str, int]], jobs: int) -> list[dict[str, Any]]:
    """Make or keep every clip; threads suffice, since the work is done by the programs."""
    records: list[dict[str, Any]] = []
    pool = ThreadPoolExecutor(jobs)
    try:
        with job.progress.task("mma10", len(wanted), "clips") as task:
            for done in as_completed([pool.submit(_make, job, genre, number) for genre, number in wanted]):
                records.append(done.result())
                task.advance()
    finally:
        pool.shutdown(cancel_futures=True)
    return records


def _make(job: _Job, genre: str, number: int) -> dict[str, Any]:
    """Keep the clip that is there, or render it, taking the next groove where one fails."""
    import soundfile

    name = f"{genre}.{number:05d}"
    path = job.target / "audio" / genre / f"{name}.flac"
    # A draw of its own for every clip. Were the same draws repeated in each genre, the clips most alike in tempo, key
    # and chords would always have another label, and what learns from them would fall below chance.
    drawn = draw(job.seed, number * len(GENRES) + GENRES.index(genre))
    grooves = candidates(job.schedules[genre], number)
    fixed = {"id": f"{genre}/{name}", "genre": genre, "seconds": job.seconds, **asdict(drawn)}
    if kept := _kept(path, fixed, {groove.address for groove in grooves}):
        return kept
    fault = ""
    for groove in grooves:
        if groove.address in job.failed:
            continue
        try:
            wave = render(groove, drawn, job.seconds, job.programs)
        except RenderError as error:
            fault = str(error)
            _report(job, groove, fault)
            continue
        record = fixed | {
            "groove": groove.address,
            "family": groove.family,
            "style": groove.style,
            "sha256": hashlib.sha256(wave.tobytes()).hexdigest(),
        }
        with (
            files.replacing(path) as temporary,
            soundfile.SoundFile(temporary, "w", SAMPLE_RATE, 1, "PCM_16", format="FLAC") as clip,
        ):
            clip.comment = json.dumps(record, ensure_ascii=False)
            clip.write(wave)
        return record
    raise BandwiseError(f"no groove of {genre} could be rendered; the last one: {fault or 'failed before'}")


def _kept(path: Path, fixed: dict[str, Any], addresses: set[str]) -> dict[str, Any] | None:
    """The record of a clip that is already there, whole and as this build wants it; otherwise ``None``."""
    import soundfile

    try:
        with soundfile.SoundFile(path) as clip:
            record = json.loads(clip.comment)
            wave = clip.read(dtype="int16")
    except (soundfile.SoundFileError, OSError, ValueError):
        return None
    if not isinstance(record, dict) or record | fixed != record or record.get("groove") not in addresses:
        return None
    return record if record.get("sha256") == hashlib.sha256(wave.tobytes()).hexdigest() else None


def _report(job: _Job, groove: Groove, fault: str) -> None:
    """Say once that a groove is left out of this build."""
    with job.lock:
        if groove.address not in job.failed:
            job.failed.add(groove.address)
            job.progress.warn(f"groove {groove.address} is left out: {fault}; the next groove takes its place")

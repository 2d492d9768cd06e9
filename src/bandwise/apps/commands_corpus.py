"""``bandwise data list | info | check | build | download``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from bandwise.apps.console import ConsoleProgress, duration, err, out, print_json, table

Json = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]
Spec = Annotated[str, typer.Argument(help="kind:/path, such as folder:~/Music")]
Jobs = Annotated[int | None, typer.Option(help="How many at once; one a core by default.")]
_KIND_FIELDS = ("name", "title", "get", "layout", "license", "citation")
data = typer.Typer(no_args_is_help=True, help="Look at, check, build and download corpora.")


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(data, name="data")


@data.command("list")
def list_kinds(as_json: Json = False) -> None:
    """List the kinds of corpora and where each comes from."""
    from bandwise.corpora import list_corpora

    kinds = list_corpora()
    if as_json:
        print_json([{field: getattr(kind, field) for field in _KIND_FIELDS} for kind in kinds])
        return
    table(["kind", "what", "how to have it"], [(kind.name, kind.title, kind.get) for kind in kinds])


@data.command()
def info(
    corpus: Annotated[str, typer.Argument(help="kind:/path for what is there, or a kind alone for what it is.")],
    as_json: Json = False,
) -> None:
    """Tell what a corpus holds: tracks per genre, groupings, what was left out and why."""
    from bandwise.corpora import list_corpora, open_corpus

    for kind in list_corpora():
        if kind.name == corpus:
            about = {field: getattr(kind, field) for field in _KIND_FIELDS}
            if as_json:
                print_json(about)
            else:
                out.print("\n".join(f"{k}: {v}" for k, v in about.items()), soft_wrap=True, markup=False)
            return
    opened = open_corpus(corpus, ConsoleProgress())
    described: dict[str, Any] = {
        "corpus": opened.name,
        "root": str(opened.root),
        "content": opened.content,
        "frontend": opened.frontend,
        "tracks": len(opened.tracks),
        "genres": opened.counts(),
        "groupings": {name: len({track.groups[name] for track in opened.tracks}) for name in opened.groupings},
        "default_group": opened.group,
        "caveat": opened.caveat,
        "left_out": [list(item) for item in opened.skipped],
    }
    if as_json:
        print_json(described)
        return
    out.print(
        f"{opened.name} at {opened.root}: {len(opened.tracks)} tracks, {len(opened.genres)} genres", soft_wrap=True
    )
    table(["genre", ">tracks"], opened.counts().items())
    for name, count in described["groupings"].items():
        kept = " (kept together by folds)" if name == opened.group else ""
        out.print(f"grouping {name}: {count} groups{kept}", soft_wrap=True)
    if opened.caveat:
        out.print(opened.caveat, style="yellow", soft_wrap=True, markup=False)
    for what, why in opened.skipped:
        out.print(f"left out {what}: {why}", soft_wrap=True, markup=False)


@data.command()
def check(
    corpus: Spec,
    decode: Annotated[bool, typer.Option("--decode", help="Read every sample, not only headers.")] = False,
    jobs: Jobs = None,
    as_json: Json = False,
) -> None:
    """Open every track and name the ones that are unreadable, empty or too short."""
    from bandwise.corpora import open_corpus
    from bandwise.corpora.check import check_corpus

    progress = ConsoleProgress()
    report = check_corpus(open_corpus(corpus, progress), progress, jobs=jobs, decode=decode)
    if as_json:
        print_json(report.as_dict())
    else:
        how = "read to the end" if report.decoded else "looked at (headers; --decode reads every sample)"
        out.print(f"{report.checked} tracks {how}: {report.usable} usable, {duration(report.seconds)} of music")
        table(
            ["genre", ">tracks", ">length"],
            [(genre, g.tracks, duration(g.seconds)) for genre, g in report.genres.items()],
        )
        for problem in report.problems:
            err.print(f"{problem[0]}: {problem[-1]}", style="red", markup=False, soft_wrap=True)
    if report.problems:
        raise typer.Exit(1)


@data.command()
def build(
    name: Annotated[str, typer.Argument(help="mma10")],
    to: Annotated[Path, typer.Option(help="Folder to build in.")] = Path("data/mma10"),
    clips_per_genre: Annotated[int, typer.Option(min=1, help="Clips of each of the ten genres.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same waves.")] = 1,
    jobs: Jobs = None,
) -> None:
    """Render the corpus that anyone can build; goes on where an earlier build was interrupted."""
    from bandwise.corpora.mma_build import build as build_mma
    from bandwise.errors import BandwiseError

    if name not in ("mma10", "mma"):
        raise BandwiseError(f"only mma10 can be built, not {name!r}")
    place = build_mma(to, clips_per_genre=clips_per_genre, seed=seed, jobs=jobs, progress=ConsoleProgress())
    out.print(f"mma10 is built; use it as --corpus mma10:{place}", soft_wrap=True)


@data.command()
def download(
    name: Annotated[str, typer.Argument(help="fma-small, fma-medium, fma-large or fma-metadata")],
    to: Annotated[Path, typer.Option(help="Folder to unpack into.")] = Path("data/fma"),
    base_url: Annotated[str | None, typer.Option(help="A mirror that has the same files.")] = None,
) -> None:
    """Fetch FMA from its public archive, checked by SHA-1; goes on where an earlier call was interrupted."""
    from bandwise.corpora.download import FMA_URL, fetch_fma

    place = fetch_fma(name, to, base_url or FMA_URL, ConsoleProgress())
    out.print(f"{name} is complete; use it as --corpus {name}:{place}", soft_wrap=True)

"""The command line.

Exit codes: 0 done, 1 some inputs failed (named on standard error), 2 the call was wrong, 70 a fault of bandwise
itself, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from bandwise.apps import commands_corpus, commands_predict, commands_train

app = typer.Typer(
    name="bandwise",
    help="Music-genre classification with convolution channel separation and frequency sub-bands aggregation.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
commands_train.register(app)
commands_corpus.register(app)
commands_predict.register(app)


def _version(asked: bool) -> None:
    if asked:
        from bandwise import __version__

        print(f"bandwise {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; an error that the caller can put right is one sentence, not a traceback."""
    from bandwise.errors import BandwiseError

    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:  # a file name that is not UTF-8 must not end the run
            reconfigure(errors="backslashreplace")
    try:
        app()
    except SystemExit as stop:
        if stop.code == 130:  # Ctrl-C
            print("bandwise: interrupted; the same command goes on from here", file=sys.stderr)
        raise
    except BandwiseError as error:
        print(f"bandwise: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        print(f"bandwise: {what}{(error.strerror or str(error)).lower()}", file=sys.stderr)
        sys.exit(2)
    except Exception as error:
        if os.environ.get("BANDWISE_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"bandwise: unexpected {what} (BANDWISE_TRACEBACK=1 shows where; please report it)", file=sys.stderr)
        sys.exit(70)


if __name__ == "__main__":
    main()

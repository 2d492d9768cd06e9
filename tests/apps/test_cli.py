"""The command line as a person and a script use it."""

import csv
import io
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from bandwise.apps import cli
from bandwise.apps.console import ConsoleProgress, duration, percent


def call(*arguments, expect=0):
    """Run a command in this process, through ``main`` so that errors become sentences."""
    out, err = io.StringIO(), io.StringIO()
    saved = sys.argv, sys.stdout, sys.stderr
    from bandwise.apps import console

    sys.argv, sys.stdout, sys.stderr = ["bandwise", *map(str, arguments)], out, err
    console.out.file, console.err.file = out, err
    try:
        cli.main()
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    finally:
        sys.argv, sys.stdout, sys.stderr = saved
        console.out.file, console.err.file = None, None
    assert code == expect, err.getvalue() + out.getvalue()
    assert "Traceback" not in err.getvalue()
    return out.getvalue(), err.getvalue()


def test_help_lists_the_commands():
    result = CliRunner().invoke(cli.app, ["--help"])
    for command in ("systems", "data", "features", "train", "crossval", "evaluate", "reproduce", "predict"):
        assert command in result.output
    assert call("--version")[0].startswith("bandwise 0.")


def test_starting_is_light():
    """`import bandwise` and `bandwise --help` load none of the heavy libraries."""
    code = (
        "import sys, bandwise, bandwise.apps.cli;"
        "names = {'torch', 'lightning', 'pandas', 'sklearn', 'scipy', 'matplotlib', 'numpy', 'av'};"
        "heavy = names & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.slow
def test_starting_is_quick():
    def best(*command):
        times = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            times.append(time.perf_counter() - began)
        return min(times)

    bare = best(sys.executable, "-c", "pass")
    assert best(sys.executable, "-c", "import bandwise") - bare < 0.15
    assert best(sys.executable, "-m", "bandwise.apps.cli", "--help") < 1.0  # 0.4 on an idle machine


def test_systems_count_parameters():
    out, _ = call("systems", "ecapa*", "--json")
    listed = {entry["system"]: entry for entry in json.loads(out)}
    assert listed["ecapa-ccs-fsa-s512-c1024"]["parameters"] == 21_722_270
    assert listed["ecapa-ccs-fsa-s512-c1024"]["rows"] == {"#15": 90.2, "#16": 91.1}
    assert "21,722,270" in call("systems")[0]


def test_crossval_predict_and_evaluate(toy_settings, toy_corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("BANDWISE_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    settings = ["--set", "recipe.batch=8", "--set", "recipe.crop_frames=100", "--set", "recipe.lr=3e-3"]
    arguments = ["--system", "ecapa", "--corpus", f"folder:{toy_corpus}", "--size", "tiny", "--folds", "3"]
    arguments += ["--out", run, "--epochs", "2", "--set", "logger=none", *settings]
    out, _ = call("crossval", *arguments)
    assert "accuracy" in out
    assert str(run / "report.html") in out.replace("\n", "")
    assert (run / "report.html").exists()
    assert {p.name for p in (run / "plots").iterdir()} >= {"confusion.png", "recall.png", "folds.png"}
    experiment = json.loads((run / "experiment.json").read_text())
    assert experiment["recipe"]["lr"] == 0.003
    result = json.loads(call("crossval", *arguments, "--json")[0])  # finished: only read again
    assert result["figures"]["best"]["clips"] == 18
    call("crossval", *arguments, "--size", "small", expect=2)
    retested = json.loads(call("evaluate", run, "--test-crops", "3", "--json")[0])
    assert retested["experiment"]["recipe"]["test"] == "crops"
    # The report's own command repeats the run.
    again = json.loads(
        call("crossval", "--config", run / "experiment.json", "--out", tmp_path / "again", "--json")[0]
    )
    assert again["figures"]["best"] == result["figures"]["best"]

    # predict: every format, a folder, a bad file
    bad = toy_corpus.parent / "bad.mp3"
    bad.write_text("x")
    out, err = call("predict", toy_corpus, bad, "--model", run / "folds" / "1", "--format", "jsonl", expect=1)
    lines = [json.loads(line) for line in out.splitlines()]
    assert len(lines) == 18
    assert str(bad) in err
    out, _ = call("predict", toy_corpus / "low", "--model", run, "--format", "csv", "--top-k", "2")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert len(rows) == 6
    assert set(rows[0]) == {"path", "genre", "confidence", "seconds", "genre_2", "confidence_2"}
    out, _ = call("predict", toy_corpus / "low" / "0.wav", "--model", run, "--json")
    assert json.loads(out)[0]["genre"] in ("high", "low", "mid")
    out, _ = call("predict", toy_corpus / "low" / "0.wav", "--model", run)
    assert "0.wav" in out
    assert "no file could be classified" in call("predict", bad, "--model", run, expect=1)[0]


def test_a_mistake_leaves_no_trace_and_a_resumed_run_may_move(toy_corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("BANDWISE_CACHE", str(tmp_path / "cache"))
    run = tmp_path / "run"
    small = ["--size", "tiny", "--folds", "3", "--epochs", "1", "--set", "recipe.batch=8", "--out", run]
    call("crossval", "--system", "ecapa", "--corpus", f"folder:{toy_corpus}x", *small, expect=2)
    call("crossval", "--system", "ecapa", "--corpus", f"folder:{toy_corpus}", *small, "--folds", "40", expect=2)
    assert not (run / "experiment.json").exists()
    settings = ["--system", "ecapa", "--corpus", f"folder:{toy_corpus}", *small, "--only", "1"]
    call("crossval", *settings, "--set", "logger=none", "--set", "recipe.precision=32")
    call("crossval", *settings, "--set", "logger=tensorboard")  # where it is logged is no other experiment
    _, err = call("crossval", *settings, "--set", "recipe.lr=0.5", expect=2)
    assert "recipe.lr = 0.001, not 0.5" in err
    _, err = call("crossval", *settings[:-1], "2", "--set", "logger=none", "--set", "accelerator=gpu", expect=2)
    assert "accelerator = gpu" in err
    (run / "experiment.json").write_text("[]")
    _, err = call("crossval", *settings, expect=2)
    assert "is damaged" in err


def test_a_path_with_brackets_is_no_markup(toy_corpus, tmp_path):
    odd = tmp_path / "a [/b] c"
    shutil.copytree(toy_corpus, odd)
    assert "[/b]" in call("data", "info", f"folder:{odd}")[0]
    assert "[/b]" in call("features", f"folder:{odd}", "--to", tmp_path / "s [/x]")[0] + str(odd)


def test_train_features_reproduce(toy_corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("BANDWISE_CACHE", str(tmp_path / "cache"))
    corpus = f"folder:{toy_corpus}"
    first = json.loads(call("features", corpus, "--json")[0])
    assert (first["tracks"], first["added"], first["failures"]) == (18, 18, [])
    assert "0 extracted now" in call("features", corpus)[0]
    small = ["--set", "recipe.batch=8", "--set", "logger=none", "--epochs", "1", "--size", "tiny"]
    out, _ = call("train", "--system", "ecapa", "--corpus", corpus, "--out", tmp_path / "model", *small)
    assert "not a test figure" in out
    out, _ = call("train", "--system", "ecapa", "--corpus", corpus, "--out", tmp_path / "model", *small, "--json")
    assert json.loads(out)["tracks"]["valid"] == 3
    call("predict", toy_corpus / "low", "--model", tmp_path / "model")
    config = tmp_path / "small.yaml"
    config.write_text(
        "system: ignored\ncorpus: ignored\nfolds: 3\nlogger: none\nsize: tiny\nrecipe: {epochs: 1, batch: 8}\n"
    )
    out, _ = call("reproduce", "--table", "2", "--corpus", corpus, "--rows", "8", "--out", tmp_path / "t",
                  "--config", config)  # fmt: skip
    assert "87.9" in out
    assert "not comparable" in out
    out, _ = call("reproduce", "--table", "3", "--rows", "22,27", "--json", expect=1)
    assert [line["row"] for line in json.loads(out)] == [22, 27]


def test_data_commands(toy_corpus, tmp_path):
    kinds = {entry["name"] for entry in json.loads(call("data", "list", "--json")[0])}
    assert {"gtzan", "melon", "fma-small", "folder", "table", "mma10"} <= kinds
    assert "gtzan" in call("data", "list")[0]
    assert "Tzanetakis" in call("data", "info", "gtzan")[0]
    assert json.loads(call("data", "info", "melon", "--json")[0])["name"] == "melon"
    out, _ = call("data", "info", f"folder:{toy_corpus}", "--json")
    assert json.loads(out)["genres"] == {"high": 6, "low": 6, "mid": 6}
    assert "18 tracks" in call("data", "info", f"folder:{toy_corpus}")[0]
    out, _ = call("data", "check", f"folder:{toy_corpus}", "--decode", "--json")
    assert json.loads(out)["usable"] == 18
    broken = tmp_path / "music"
    for genre in ("a", "b"):
        (broken / genre).mkdir(parents=True)
        (broken / genre / "x.wav").write_text("junk")
    _, err = call("data", "check", f"folder:{broken}", expect=1)
    assert "a/x" in err


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("mma") and shutil.which("fluidsynth")), reason="mma, fluidsynth not installed")
def test_building_mma10(tmp_path):
    out, _ = call("data", "build", "mma10", "--to", tmp_path / "mma10", "--clips-per-genre", "1")
    assert f"mma10:{tmp_path / 'mma10'}" in out
    described = json.loads(call("data", "info", f"mma10:{tmp_path / 'mma10'}", "--json")[0])
    assert described["tracks"] == 10
    assert described["default_group"] == "groove"
    assert "synthesised" in described["caveat"]
    call("data", "build", "mma10", "--to", tmp_path / "mma10", "--clips-per-genre", "1", "--seed", "2", expect=2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["crossval", "--corpus", "folder:/nowhere", "--system", "ecapa"], "/nowhere does not exist"),
        (["crossval", "--corpus", "folder:/tmp"], "say which system"),
        (["crossval", "--system", "ecapa"], "say which corpus"),
        (["crossval", "--system", "ecapa", "--corpus", "/tmp"], "kind of corpus"),
        (["crossval", "--system", "ecappa", "--corpus", "folder:/tmp", "--set", "lr"], "--set takes name=value"),
        (["crossval", "--system", "ecapa", "--corpus", "x:/tmp", "--set", "recipe.lr=fast"], "setting recipe.lr"),
        (["crossval", "--system", "ecapa", "--corpus", "x:/tmp", "--only", "one"], "expected numbers"),
        (["predict", "x.wav", "--model", "/nowhere"], "/nowhere does not exist"),
        (["predict", "x.wav", "--model", "/", "--format", "xml"], "--format is table"),
        (["reproduce", "--table", "5"], "tables are 2"),
        (["data", "build", "gtzan"], "only mma10 can be built"),
        (["data", "download", "gtzan"], "FMA has no archive"),
        (["evaluate", "/nowhere"], "no result.json"),
        (["crossval", "--system", "ecapa", "--corpus", "x:/tmp", "--set", "recipe=3"], "setting recipe: a mapping"),
        (["crossval", "--corpus", "x:/tmp", "--set", "system=15"], "setting system: a name is needed, not 15"),
        (["crossval", "--system", "#²", "--corpus", "x:/tmp"], "the paper has no row"),
        (["crossval", "--system", "ecapa", "--corpus", "x:/", "--set", "overrides.stop=abc"], "stop: int is needed"),
        (["crossval", "--system", "nonsense", "--corpus", "x:/tmp"], "there is no system 'nonsense'"),
        (["train", "--system", "mfcc-svm", "--corpus", "x:/tmp"], "leaves no model"),
        (["predict", "x" * 5000, "--model", "/"], "holds no model"),
    ],
)
def test_mistakes_get_a_sentence(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, err = call(*arguments, expect=2)
    assert words in err.replace("\n", " ")
    assert len(err.strip().splitlines()) <= 2


def test_interruption_and_faults_say_what_to_do(monkeypatch, toy_corpus):
    import bandwise.corpora as corpora

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(corpora, "open_corpus", interrupt)
    _, err = call("data", "info", f"folder:{toy_corpus}", expect=130)
    assert "goes on from here" in err

    def fault(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(corpora, "open_corpus", fault)
    _, err = call("data", "info", f"folder:{toy_corpus}", expect=70)
    assert "unexpected ZeroDivisionError: oops" in err
    monkeypatch.setenv("BANDWISE_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        call("data", "info", f"folder:{toy_corpus}")


def test_progress_on_a_terminal_and_in_a_pipe(monkeypatch, capsys):
    from rich.console import Console

    from bandwise.apps import console

    monkeypatch.setenv("TERM", "xterm")  # rich draws no bars on a dumb terminal
    drawn = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=drawn, force_terminal=True, width=120, highlight=False))
    progress = ConsoleProgress()
    with progress.task("folds", 2, "folds") as outer:
        outer.describe("accuracy 50 % [not markup]")
        with progress.task("epochs", 3, "epochs") as inner:
            inner.advance()
        outer.advance(2)
    progress.warn("careful [x]")
    progress.note("note [y]")
    assert "folds" in drawn.getvalue()
    assert "careful [x]" in drawn.getvalue()

    piped = io.StringIO()
    monkeypatch.setattr(console, "err", Console(file=piped, width=120))
    monkeypatch.setattr(console, "PLAIN_EVERY", 0.0)
    with ConsoleProgress().task("tracks", 4, "tracks") as bar:
        bar.describe("busy")
        bar.advance(2)
        bar.advance()
    assert "tracks: 3 of 4 tracks, about 0 s left (busy)" in piped.getvalue()


def test_words():
    assert [duration(x) for x in (0.4, 59, 120, 7200)] == ["0 s", "59 s", "2 min", "2.0 h"]
    assert percent(None) == "–"
    assert np.isclose(float(percent(0.5)), 50)

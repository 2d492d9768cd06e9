"""SIGKILL, as the machine's own memory guard or a power cut would: the same command goes on to the same result."""

import os
import signal
import subprocess
import sys
import time

import pytest
from safetensors.torch import load_file

from bandwise.corpora import open_corpus
from bandwise.errors import BandwiseError
from bandwise.packing import pack, store_meta
from bandwise.store import FeatureStore


def start(*arguments, cache):
    command = [sys.executable, "-m", "bandwise.apps.cli", *map(str, arguments)]
    environment = dict(os.environ, BANDWISE_CACHE=str(cache), OMP_NUM_THREADS="1")
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors.decode()[-2000:]


@pytest.mark.slow
def test_a_killed_cross_validation_ends_at_the_same_weights(toy_corpus, tmp_path):
    arguments = [
        "crossval",
        "--system",
        "ecapa",
        "--corpus",
        f"folder:{toy_corpus}",
        "--size",
        "tiny",
        "--folds",
        "3",
    ]
    arguments += ["--only", "1", "--epochs", "12", "--set", "recipe.batch=8", "--set", "logger=none", "--out"]
    finish(start(*arguments, tmp_path / "whole", cache=tmp_path))
    process = start(*arguments, tmp_path / "killed", cache=tmp_path)
    checkpoint = tmp_path / "killed" / "folds" / "1" / "resume.ckpt"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "result.json").exists()
    finish(start(*arguments, tmp_path / "killed", cache=tmp_path))
    whole, resumed = (load_file(tmp_path / run / "folds/1/model.safetensors") for run in ("whole", "killed"))
    assert all((whole[name] == resumed[name]).all() for name in whole)
    litter = [path.name for path in (tmp_path / "killed").rglob("*") if path.suffix in (".tmp", ".ckpt")]
    assert len(litter) <= 1  # a temporary file of the killed process may remain; no checkpoint does
    assert not [name for name in litter if name.endswith(".ckpt")]


@pytest.mark.slow
def test_a_killed_packing_is_never_taken_for_a_whole_one(tmp_path, write_audio, music):
    root = tmp_path / "music"
    for genre in ("a", "b"):
        (root / genre).mkdir(parents=True)
        for i in range(150):
            write_audio(root / genre / f"{i}.flac", music(2.0, 22050, seed=i), 22050)
    store = tmp_path / "store"
    process = start("features", f"folder:{root}", "--to", store, "--jobs", "1", cache=tmp_path)
    journal = store / "journal.jsonl"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if journal.exists() and journal.stat().st_size:  # something is vouched for, the rest is not
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(BandwiseError, match="no finished feature store"):
        FeatureStore(store)
    corpus = open_corpus(f"folder:{root}")
    packed = pack(corpus, store_meta(corpus, "gtzan"), store)
    assert 0 < packed.added < 300
    fresh = pack(corpus, store_meta(corpus, "gtzan"), tmp_path / "fresh").store
    for track in corpus.tracks[::7]:
        difference = packed.store.features(track.id).astype(float) - fresh.features(track.id).astype(float)
        assert abs(difference).max() <= 0.008  # a unit in the last place of float16

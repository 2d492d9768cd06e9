"""Results of invented runs: who is mistaken for whom is chosen by hand, so that every figure is known beforehand."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bandwise.corpora.base import Corpus, Track
from bandwise.evaluation.results import save_fold, summarise
from bandwise.files import read_json
from bandwise.settings import make_experiment
from bandwise.splits import Folds, rotate

GENRES = ("blues", "R&B <b>", "A$AP $ \\frac", "jazz")
CAVEAT = 'Nobody sings <here>: "synthesised" & cheap.'


def make_corpus(genres, per_genre, name="folder", caveat="", groups=True):
    tracks = tuple(
        Track(f"{g}/{i:04d}", g, f"/music/{g}/{i}.wav", {"artist": f"{g} {i // 2}"} if groups else {})
        for g in genres
        for i in range(per_genre)
    )
    return Corpus(
        name, Path("/music"), tracks, tuple(genres), group="artist" if groups else None, caveat=caveat,
        skipped=(("bad <name>.wav", "is empty & short"),),
    )  # fmt: skip


def make_folds(corpus, count, group=None):
    parts = [[track.id for track in corpus.tracks[k::count]] for k in range(count)]
    folds = rotate(parts) if count > 1 else rotate([[t.id for t in corpus.tracks[k::3]] for k in range(3)])[:1]
    return Folds(folds, "dealt in turn, seed 0", group)


def one_hot(predicted, classes):
    return np.eye(classes, dtype=np.float32)[predicted]


def make_history(epochs, offset=0.0):
    """Validated every second epoch only."""
    return [
        {
            "epoch": e, "lr": 1e-3, "train_loss": 2.0 / e + offset, "train_accuracy": 1 - 0.5 / e,
            "valid_loss": 1.0 if e % 2 == 0 else None, "valid_accuracy": 0.8 - 0.2 / e if e % 2 == 0 else None,
            "seconds": 2.0,
        }
        for e in range(1, epochs + 1)
    ]  # fmt: skip


@pytest.fixture
def run(tmp_path):
    """Give ``run(...) -> result``; in fold k the first ``wrong[k - 1]`` clips are taken for the next genre.

    By default 3 folds of 8 clips: 7, 6 and 8 hits with the best weights, 6, 6 and 7 with the last.
    """

    def make(
        genres=GENRES, per_genre=6, count=3, finished=None, wrong=(1, 2, 0), wrong_last=(2, 2, 1), history=6,
        group=None, system="ecapa", left_out=(("lost/1", "holds no audio stream"),), corpus=None, experiment=None,
        **about,
    ):  # fmt: skip
        corpus = corpus or make_corpus(genres, per_genre, **about)
        folds = make_folds(corpus, count, group)
        experiment = experiment or make_experiment(system, f"{corpus.name}:/music")
        number = {genre: i for i, genre in enumerate(corpus.genres)}
        genre_of = {track.id: number[track.genre] for track in corpus.tracks}
        results = []
        for k, fold in enumerate(folds.folds[: finished or count], start=1):
            labels = np.array([genre_of[i] for i in fold.test])
            probabilities = []
            for mistakes in (wrong, wrong_last):
                predicted = labels.copy()
                first = mistakes[(k - 1) % len(mistakes)]
                predicted[:first] = (predicted[:first] + 1) % len(corpus.genres)
                probabilities.append(one_hot(predicted, len(corpus.genres)))
            details = {"train_seconds": 3700.0, "device": "a <fast> CPU"}
            if history:
                details |= {"history": make_history(history, 0.1 * k), "best_epoch": 4, "valid_accuracy": 0.75,
                            "parameters": 1_234_567}  # fmt: skip
            else:
                probabilities[1] = probabilities[0]
            place = tmp_path / "folds" / str(k)
            save_fold(place, k, *probabilities, labels, details)
            results.append(read_json(place / "fold.json"))
        return summarise(experiment, corpus, folds, results, left_out)

    return make


@pytest.fixture
def gtzan(run):
    """Give ``gtzan(**changes) -> result`` of a run by the paper's protocol: nothing keeps it from comparison."""
    genres = "blues classical country disco hiphop jazz metal pop reggae rock".split()

    def make(**changes):
        return run(**{"genres": genres, "per_genre": 100, "count": 10, "name": "gtzan", "groups": False,
                      "wrong": (8, 12), "wrong_last": (9, 10), **changes})  # fmt: skip

    return make


@pytest.fixture
def parts():
    """Give the builders to tests that need the pieces."""
    return SimpleNamespace(corpus=make_corpus, folds=make_folds, one_hot=one_hot, genres=GENRES, caveat=CAVEAT)

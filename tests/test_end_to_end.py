"""The whole way, on rendered music in every container format: files, store, cross-validation, report, prediction."""

import json
import shutil

import numpy as np
import pytest
import soundfile
import soxr

from bandwise import Classifier, Prediction, open_corpus
from bandwise.evaluation.report import write_report
from bandwise.settings import make_experiment
from bandwise.training.crossval import cross_validate

FORMATS = "wav au aiff caf flac ogg opus mp3 m4a mp4 aac wma webm mka".split()
GENRES = ("jazz", "march")

needs_programs = pytest.mark.skipif(
    not (shutil.which("mma") and shutil.which("fluidsynth")), reason="mma and fluidsynth are not installed"
)


@pytest.fixture(scope="module")
def collection(tmp_path_factory, write_audio):
    """Four seconds of accompaniment a file, one file a format and genre, named in several scripts."""
    from bandwise.corpora.mma_build import build

    rendered = build(tmp_path_factory.mktemp("mma"), clips_per_genre=len(FORMATS), genres=GENRES, seconds=4.0, jobs=2)
    root = tmp_path_factory.mktemp("collection")
    for genre in GENRES:
        (root / genre / "深い フォルダ").mkdir(parents=True)
        for suffix, clip in zip(FORMATS, sorted((rendered / "audio" / genre).glob("*.flac")), strict=True):
            wave, rate = soundfile.read(clip, dtype="float32")
            wanted = 48_000 if suffix == "opus" else 44_100
            folder = root / genre / ("深い フォルダ" if suffix in ("mp3", "m4a") else ".")
            write_audio(folder / f"{suffix} ☂.{suffix}", soxr.resample(wave, rate, wanted), wanted, channels=2)
    return root


@pytest.mark.slow
@needs_programs
def test_from_files_of_every_format_to_a_report_and_back(collection, tmp_path):
    (collection / "jazz" / "broken.mp3").write_bytes(b"ID3\x04 not really")
    corpus = open_corpus(f"folder:{collection}")
    assert len(corpus.tracks) == 2 * len(FORMATS) + 1
    experiment = make_experiment(
        "ecapa-ccs-fsa-s512-c1024", f"folder:{collection}", size="tiny", folds=3, store=str(tmp_path / "store"),
        logger="none", recipe={"epochs": 8, "batch": 8, "crops_per_song": 6, "lr": 3e-3},
    )  # fmt: skip
    result = cross_validate(experiment, tmp_path / "run")
    assert result["figures"]["best"]["clips"] == 2 * len(FORMATS)  # every format was decoded, trained on and tested
    assert [item[0] for item in result["corpus"]["left_out"]] == ["jazz/broken"]
    assert result["figures"]["best"]["accuracy_mean"] >= 0.6  # marches are not jazz; chance is 0.5
    page = write_report(result, tmp_path / "run").read_text()
    assert "jazz/broken" in page

    folds = json.loads((tmp_path / "run" / "folds.json").read_text())["folds"]
    classifier = Classifier.load(tmp_path / "run" / "folds" / "1")
    paths = {track.id: track.path for track in corpus.tracks}
    outcomes = list(classifier.predict_many([paths[name] for name in folds[0]["test"]]))
    assert all(isinstance(outcome, Prediction) for outcome in outcomes)
    right = np.mean([o.genre == name.split("/")[0] for o, name in zip(outcomes, folds[0]["test"], strict=True)])
    assert right == pytest.approx(result["per_fold"][0]["best"]["accuracy"])


@pytest.mark.slow
@needs_programs
def test_the_format_hardly_changes_the_answer(collection, tmp_path, write_audio, toy_run):
    """One clip in every format: what the codec does to it is small beside what the music says."""
    classifier = Classifier.load(toy_run[0])
    clip = next((collection / "jazz").glob("wav*.wav"))
    wave, rate = soundfile.read(clip, dtype="float32")
    reference = classifier.predict(clip).probabilities
    for suffix in FORMATS:
        wanted = 48_000 if suffix == "opus" else rate
        path = write_audio(tmp_path / f"x.{suffix}", soxr.resample(wave, rate, wanted), wanted)
        probabilities = classifier.predict(path).probabilities
        assert max(abs(probabilities[g] - reference[g]) for g in reference) < 0.15, suffix

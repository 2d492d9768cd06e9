"""``result.json``: figures of an invented run by hand, and what keeps a run from comparison with the paper."""

import json
import math
import subprocess

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, f1_score

from bandwise.errors import BandwiseError
from bandwise.evaluation import results
from bandwise.evaluation.results import (
    environment,
    load_predictions,
    load_result,
    protocol_differences,
    save_fold,
    summarise,
)
from bandwise.files import read_json, write_json
from bandwise.settings import make_experiment


def test_a_fold_is_kept_with_predictions_and_figures(tmp_path, parts):
    labels = np.array([0, 0, 1, 2])
    best, last = parts.one_hot([0, 1, 1, 2], 3), parts.one_hot([0, 0, 0, 0], 3)
    save_fold(tmp_path / "2", 2, best, last, labels, {"device": "x"})
    kept = read_json(tmp_path / "2" / "fold.json")
    assert (kept["fold"], kept["clips"], kept["device"]) == (2, 4, "x")
    assert kept["best"]["accuracy"] == 0.75
    assert kept["best"]["confusion"] == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert kept["best"]["recall"] == [0.5, 1.0, 1.0]
    assert (kept["last"]["accuracy"], kept["last"]["recall"]) == (0.5, [1.0, 0.0, 0.0])
    probabilities, read = load_predictions(tmp_path / "2")
    assert np.array_equal(probabilities, best)
    assert np.array_equal(read, labels)


def test_figures_by_hand(run):
    best, last = (run()["figures"][weights] for weights in ("best", "last"))
    assert best["accuracies"] == [7 / 8, 6 / 8, 8 / 8]
    assert best["accuracy_mean"] == pytest.approx(0.875)
    assert best["accuracy_sd"] == pytest.approx(0.125)
    # t(2 degrees) = 4.3027; the upper end is cut off at 1.
    assert best["accuracy_interval"] == pytest.approx([0.875 - 4.302653 * 0.125 / math.sqrt(3), 1.0], abs=1e-6)
    assert best["interval_method"] == "Student's t over folds"
    # All three mistakes are among the first clips of the folds, which are of the first genre.
    assert best["confusion"] == [[3, 3, 0, 0], [0, 6, 0, 0], [0, 0, 6, 0], [0, 0, 0, 6]]
    assert best["recall"] == [0.5, 1.0, 1.0, 1.0]
    assert best["macro_f1"] == pytest.approx((2 * 3 / 9 + 2 * 6 / 15 + 1 + 1) / 4)
    assert (best["clips"], best["accuracy_pooled"]) == (24, 21 / 24)
    assert last["accuracy_mean"] == pytest.approx(19 / 24)


def test_figures_agree_with_scikit_learn_on_saved_predictions(run, tmp_path):
    result = run(per_genre=9, count=4, wrong=(3, 5, 0, 4))
    saved = [load_predictions(tmp_path / "folds" / str(k)) for k in range(1, 5)]
    accuracies = [accuracy_score(labels, p.argmax(1)) for p, labels in saved]
    labels = np.concatenate([labels for _, labels in saved])
    predicted = np.concatenate([p.argmax(1) for p, _ in saved])
    best = result["figures"]["best"]
    assert best["accuracies"] == pytest.approx(accuracies)
    assert best["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    low, high = stats.t.interval(0.95, 3, np.mean(accuracies), stats.sem(accuracies))
    assert best["accuracy_interval"] == pytest.approx([max(low, 0), min(high, 1)])


def test_one_split_has_wilsons_interval_and_no_deviation(run):
    best = run(count=1, wrong=(2,))["figures"]["best"]
    expected = stats.binomtest(6, 8).proportion_ci(0.95, method="wilson")
    assert best["accuracy_interval"] == pytest.approx([expected.low, expected.high])
    assert best["accuracy_sd"] is None
    assert best["interval_method"].startswith("Wilson")


def test_what_the_report_needs_is_there_and_is_json(run):
    result = run(history=0)
    json.dumps(result, allow_nan=False)
    assert result["corpus"]["counts"] == dict.fromkeys(("blues", "R&B <b>", "A$AP $ \\frac", "jazz"), 6)
    assert result["corpus"]["left_out"] == [
        ["bad <name>.wav", "is empty & short"],
        ["lost/1", "holds no audio stream"],
    ]
    assert result["corpus"]["groupings"] == ["artist"]
    assert result["cost"] == {"parameters": None, "train_seconds": 3 * 3700.0, "device": "a <fast> CPU"}
    assert result["experiment"]["recipe"]["epochs"] == 80


def test_unfinished_folds_are_told_and_none_at_all_is_an_error(run, parts):
    result = run(finished=2)
    assert (result["folds"]["count"], result["folds"]["finished"]) == (3, 2)
    assert "2 of 3 folds finished" in result["paper"]["differences"]
    corpus = parts.corpus(parts.genres, 6)
    with pytest.raises(BandwiseError, match="none of the 3 folds is finished"):
        summarise(make_experiment("ecapa", "folder:/x"), corpus, parts.folds(corpus, 3), [], [])


def test_the_papers_protocol_is_comparable(gtzan):
    paper = gtzan(system="ecapa-ccs-fsa-s512-c1024")["paper"]
    assert paper == {"row": 15, "system": "ecapa-ccs-fsa-s512-c1024", "published_accuracy": 90.2, "comparable": True,
                     "differences": []}  # fmt: skip


@pytest.mark.parametrize("settings", [{"recipe": {"crops": "wave"}}, {"store": "/tmp/x"}, {"devices": 2}], ids=str)
def test_what_does_not_matter_is_no_difference(gtzan, settings):
    experiment = make_experiment("ecapa", "gtzan:/x", **settings)
    assert gtzan(experiment=experiment)["paper"]["comparable"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"size": "tiny"}, "size tiny"),
        ({"overrides": {"stop": 64}}, "stop=64"),
        ({"frontend": "melon"}, "front end melon instead of gtzan"),
        ({"recipe": {"epochs": 3}}, "recipe: epochs=3"),
        ({"recipe": {"test": "crops"}}, "recipe: test=crops"),
        ({"recipe": {"label_smoothing": 0.1}}, "recipe: label_smoothing=0.1"),
        ({"recipe": {"optimizer": "adamw"}}, "recipe: optimizer=adamw"),
    ],
    ids=str,
)
def test_every_changed_setting_is_a_difference(gtzan, settings, says):
    paper = gtzan(experiment=make_experiment("ecapa", "gtzan:/x", **settings))["paper"]
    assert not paper["comparable"]
    assert [line for line in paper["differences"] if says in line]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "folder"}, "the corpus is folder, the paper's is gtzan"),
        ({"count": 5}, "5 folds instead of ten"),
        ({"group": "artist"}, "folds grouped by artist"),
        ({"finished": 9}, "9 of 10 folds finished"),
        ({"per_genre": 20}, "200 tracks of the corpus' 1,000"),
        ({"genres": ["blues", "jazz"], "per_genre": 500}, "2 genres, the paper's gtzan has 10"),
        ({"system": "mfcc-svm"}, "mfcc-svm is not in the paper"),
    ],
    ids=str,
)
def test_every_other_protocol_is_a_difference(gtzan, changes, says):
    differences = gtzan(**changes)["paper"]["differences"]
    assert [line for line in differences if says in line]


def test_a_published_variant_is_in_the_paper(parts):
    corpus = parts.corpus(parts.genres, 6)
    differences = protocol_differences(
        make_experiment("#17-as-published", "melon:/x"), corpus, parts.folds(corpus, 10)
    )
    assert not [line for line in differences if "not in the paper" in line]


def test_a_few_unreadable_files_do_not_matter(gtzan):
    genres = "blues classical country disco hiphop jazz metal pop reggae rock".split()
    assert gtzan(genres=genres, per_genre=99)["paper"]["comparable"]


def test_a_result_is_read_back_from_folder_or_file(run, tmp_path):
    result = run()
    write_json(tmp_path / "result.json", result)
    assert load_result(tmp_path) == result
    assert load_result(tmp_path / "result.json") == result


def test_what_is_no_result_is_refused(tmp_path):
    with pytest.raises(BandwiseError, match=r"holds no result\.json"):
        load_result(tmp_path)
    write_json(tmp_path / "result.json", {"format": 99})
    with pytest.raises(BandwiseError, match="no result of this version"):
        load_result(tmp_path)


def test_environment_names_versions():
    versions = environment()["versions"]
    assert versions["numpy"] == np.__version__
    assert set(versions) == set(results.PACKAGES)


def test_an_installed_package_does_not_report_the_commit_of_the_project_around_it(tmp_path, monkeypatch):
    def git(*words):
        subprocess.run(["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True,
                       capture_output=True)  # fmt: skip

    package = tmp_path / ".venv" / "lib" / "site-packages" / "bandwise" / "evaluation"
    package.mkdir(parents=True)
    git("init")
    git("commit", "--allow-empty", "-m", "somebody else's")
    monkeypatch.setattr(results, "__file__", str(package / "results.py"))
    assert environment()["commit"] is None
    own = tmp_path / "src" / "bandwise" / "evaluation"
    own.mkdir(parents=True)
    monkeypatch.setattr(results, "__file__", str(own / "results.py"))
    assert len(environment()["commit"]) == 12

"""Figures of merit, against scikit-learn, scipy and textbook values."""

import json

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from bandwise.evaluation.metrics import confusion_matrix, figures, interval_over_folds, wilson


def draw(classes, clips, seed):
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, clips)
    predicted = np.where(random.random(clips) < 0.6, labels, random.integers(0, classes, clips))
    return labels, predicted


@pytest.mark.parametrize(("classes", "clips"), [(2, 30), (10, 1000), (28, 500)])
def test_agrees_with_scikit_learn(classes, clips):
    labels, predicted = draw(classes, clips, seed=classes)
    confusion = confusion_matrix(labels, predicted, classes)
    ours = figures(confusion)
    assert np.array_equal(confusion, reference.confusion_matrix(labels, predicted, labels=range(classes)))
    assert ours["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted), abs=1e-12)
    assert ours["macro_f1"] == pytest.approx(reference.f1_score(labels, predicted, average="macro"), abs=1e-12)
    assert ours["recall"] == pytest.approx(list(reference.recall_score(labels, predicted, average=None)), abs=1e-12)


def test_rows_are_true_and_columns_predicted_genres():
    assert confusion_matrix(np.array([0, 0, 1]), np.array([2, 2, 1]), 3).tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("predicted_too", [False, True], ids=["never predicted", "predicted"])
def test_a_genre_without_clips_counts_in_no_mean(predicted_too):
    labels, predicted = draw(5, 200, seed=1)
    if predicted_too:
        predicted[:7] = 5
    ours = figures(confusion_matrix(labels, predicted, 6))
    expected = reference.f1_score(labels, predicted, labels=range(5), average="macro")
    assert ours["macro_f1"] == pytest.approx(expected, abs=1e-12)
    assert ours["recall"][5] is None
    assert None not in ours["recall"][:5]


def test_a_genre_never_recognised_counts_as_nought():
    ours = figures(np.array([[4, 0], [2, 0]]))
    # F1 of the first genre is 2·4 / (4 + 6), of the second 0.
    assert ours == {"accuracy": pytest.approx(4 / 6), "macro_f1": pytest.approx(0.4), "recall": [1.0, 0.0]}


def test_no_clips_at_all_is_plain_json():
    assert json.loads(json.dumps(figures(np.zeros((2, 2), np.int64)), allow_nan=False)) == {
        "accuracy": 0.0, "macro_f1": 0.0, "recall": [None, None],
    }  # fmt: skip


def test_interval_over_folds_is_students():
    values = [0.81, 0.79, 0.88, 0.84, 0.83, 0.80, 0.86, 0.85, 0.79, 0.82]
    low, high = interval_over_folds(values)
    assert (low, high) == pytest.approx(stats.t.interval(0.95, 9, np.mean(values), stats.sem(values)), abs=1e-12)
    # By hand: sum of squared deviations 0.00841, t(9 degrees) = 2.2622.
    assert (high - low) / 2 == pytest.approx(2.2622 * (0.00841 / 9 / 10) ** 0.5, abs=1e-5)


def test_interval_stays_between_nought_and_one():
    assert interval_over_folds([0.99, 1.0, 0.9]) == (pytest.approx(0.826, abs=1e-3), 1.0)
    assert interval_over_folds([0.0, 0.1])[0] == 0.0


def test_equal_folds_have_a_narrow_interval_and_one_fold_has_none():
    assert interval_over_folds([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert interval_over_folds([0.5]) is None


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_textbook_values(hits, total, low, high):
    assert wilson(hits, total) == pytest.approx((low, high), abs=5e-5)


def test_wilson_agrees_with_scipy_and_knows_nothing_of_no_clips():
    expected = stats.binomtest(170, 200).proportion_ci(0.9, method="wilson")
    assert wilson(170, 200, level=0.9) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert wilson(0, 0) == (0.0, 1.0)

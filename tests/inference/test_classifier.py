"""Files in, genres out: equal to the evaluation, equal for path and array, never dead on one bad file."""

import json

import numpy as np
import pytest
import soundfile

import bandwise
from bandwise import AudioError, BandwiseError, Classifier, Failure
from bandwise.models.bundle import load_bundle, save_bundle
from bandwise.models.registry import build_model, resolve_config


@pytest.fixture(scope="module")
def classifier(toy_run):
    return Classifier.load(toy_run[0] / "folds" / "1")


def test_predictions_equal_the_evaluation(toy_run, toy_corpus, classifier):
    """The command that tags a file must say what the cross-validation measured."""
    from safetensors.numpy import load_file

    directory, _ = toy_run
    tested = json.loads((directory / "folds.json").read_text())["folds"][0]["test"]
    measured = load_file(directory / "folds" / "1" / "predictions.safetensors")["best"]
    for name, expected in zip(tested, measured, strict=True):
        prediction = classifier.predict(toy_corpus / f"{name}.wav")
        mine = [prediction.probabilities[label] for label in classifier.labels]
        np.testing.assert_allclose(mine, expected, atol=5e-3)  # the evaluation reads float16 features


def test_a_path_and_an_array_give_the_same(classifier, toy_corpus):
    path = toy_corpus / "low" / "0.wav"
    wave, rate = soundfile.read(path, dtype="float32")
    from_path, from_array = classifier.predict(path), classifier.predict(wave, rate)
    assert from_path.probabilities == pytest.approx(from_array.probabilities, abs=1e-5)
    stereo = classifier.predict(np.stack([wave, wave]), rate)
    assert stereo.probabilities == pytest.approx(from_path.probabilities, abs=1e-5)
    with pytest.raises(BandwiseError, match="sample_rate"):
        classifier.predict(wave)


def test_a_prediction_is_complete(classifier, toy_corpus):
    p = classifier.predict(str(toy_corpus / "mid" / "1.wav"))
    assert sum(p.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert list(p.probabilities.values()) == sorted(p.probabilities.values(), reverse=True)
    assert p.genre == next(iter(p.probabilities))
    assert p.confidence == p.top(1)[0][1]
    assert p.seconds == pytest.approx(3.1, abs=0.01)
    assert json.loads(json.dumps(p.as_dict()))["timeline"][0]["genre"] == p.genre


def test_a_run_answers_with_all_its_folds(toy_run, toy_corpus):
    together = Classifier.load(toy_run[0])
    alone = [Classifier.load(toy_run[0] / "folds" / str(k)) for k in (1, 2, 3)]
    path = toy_corpus / "high" / "2.wav"
    for genre in together.labels:
        mean = np.mean([one.predict(path).probabilities[genre] for one in alone])
        assert together.predict(path).probabilities[genre] == pytest.approx(mean, abs=1e-6)


def test_long_files_get_a_timeline(classifier, toy_corpus, tmp_path, write_audio):
    low = soundfile.read(toy_corpus / "low" / "0.wav", dtype="float32")[0]
    high = soundfile.read(toy_corpus / "high" / "0.wav", dtype="float32")[0]
    mix = np.concatenate(
        [np.tile(low, 20)[: 22050 * 40], np.zeros(22050 * 32, np.float32), np.tile(high, 20)[: 22050 * 30]]
    )
    p = classifier.predict(write_audio(tmp_path / "mix.wav", mix, 22050))
    assert [(s.start, s.end) for s in p.timeline] == [(0, 30), (30, 60), (60, 102)]
    assert p.seconds == 102
    longer = classifier.predict(np.concatenate([mix, np.zeros(22050 * 60, np.float32), low]), 22050)
    starts = [s.start for s in longer.timeline]
    assert 120.0 not in starts  # a silent window says nothing
    weights = np.array([s.end - s.start for s in p.timeline])
    assert weights.sum() == pytest.approx(102)


def test_short_files_are_repeated(classifier, toy_corpus):
    wave, rate = soundfile.read(toy_corpus / "low" / "0.wav", dtype="float32")
    assert classifier.predict(wave[: rate // 4], rate).seconds == pytest.approx(0.25, abs=1e-4)
    with pytest.raises(AudioError, match="too short"):
        classifier.predict(wave[:200], rate)


def test_many_files_never_die_on_a_bad_one(classifier, toy_corpus, tmp_path, write_audio):
    (tmp_path / "text.mp3").write_text("no music")
    (tmp_path / "empty.wav").touch()
    bad = np.full(30000, np.nan, np.float32)
    paths = [
        tmp_path / "missing.wav",
        "x" * 5000,
        toy_corpus / "low" / "0.wav",
        tmp_path / "text.mp3",
        tmp_path / "empty.wav",
        tmp_path,
        write_audio(tmp_path / "nan.wav", bad, 22050, subtype="FLOAT"),
        write_audio(tmp_path / "silent.wav", np.zeros(40000, np.float32), 22050),
        write_audio(tmp_path / "音楽 🎵.wav", soundfile.read(toy_corpus / "low" / "1.wav")[0], 22050),
    ]
    outcomes = list(classifier.predict_many(paths))
    assert [o.path for o in outcomes] == [str(p) for p in paths]
    assert [isinstance(o, Failure) for o in outcomes] == [True, True, False, True, True, True, True, True, False]
    assert "silent" in outcomes[7].reason


def test_loading_says_what_is_missing(tmp_path, toy_run, toy_settings):
    with pytest.raises(BandwiseError, match="does not exist"):
        Classifier.load(tmp_path / "no")
    with pytest.raises(BandwiseError, match="holds no model"):
        Classifier.load(tmp_path)
    with pytest.raises(BandwiseError, match="device 'tpu9' cannot be used"):
        Classifier.load(toy_run[0] / "folds" / "1", device="tpu9")


def test_a_bundle_round_trips_and_damage_is_named(tmp_path):
    import torch

    config = resolve_config("#15", 4, "tiny")
    model = build_model(config).eval()
    save_bundle(tmp_path, model, config, "abcd", {"frontend": "gtzan", "caveat": "x"})
    bundle = load_bundle(tmp_path)
    x = torch.randn(1, 48, 60)
    with torch.no_grad():
        assert torch.equal(bundle.model(x), model(x))
    assert (bundle.labels, bundle.frontend, bundle.about["caveat"]) == (("a", "b", "c", "d"), "gtzan", "x")
    (tmp_path / "model.safetensors").write_bytes(b"junk")
    with pytest.raises(BandwiseError, match="does not fit config"):
        load_bundle(tmp_path)
    (tmp_path / "labels.json").unlink()
    with pytest.raises(BandwiseError, match="is missing"):
        load_bundle(tmp_path)


def test_models_that_answer_together_must_agree(toy_run):
    one = load_bundle(toy_run[0] / "folds" / "1")
    other = type(one)(one.model, ("x", "y", "z"), one.frontend, one.about)
    with pytest.raises(BandwiseError, match="same genres"):
        Classifier([one, other])


def test_public_names():
    assert "Classifier" in dir(bandwise)
    for name in bandwise.__all__:
        assert getattr(bandwise, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = bandwise.nonsense

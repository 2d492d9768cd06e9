"""Fixtures that every test may use: audio files of many formats, and something like music to put in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

# suffix: (libsndfile format, subtype)
SOUNDFILE = {
    ".wav": ("WAV", "PCM_16"),
    ".au": ("AU", "PCM_16"),
    ".aiff": ("AIFF", "PCM_16"),
    ".caf": ("CAF", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
# suffix: (FFmpeg format, encoder, sample rate or None for the wave's own)
AV = {
    ".m4a": ("ipod", "aac", None),
    ".mp4": ("mp4", "aac", None),
    ".aac": ("adts", "aac", None),
    ".wma": ("asf", "wmav2", 44_100),
    ".webm": ("webm", "libopus", 48_000),
    ".mka": ("matroska", "pcm_s16le", None),
}


def _write_with_soundfile(path, wave, rate, kind, subtype):
    import soundfile

    with (
        path.open("wb") as file,
        soundfile.SoundFile(file, "w", rate, wave.shape[1], subtype=subtype, format=kind) as out,
    ):
        # libsndfile crashes the process when minutes are written as Ogg or MP3 in one call.
        for first in range(0, len(wave), rate):
            out.write(wave[first : first + rate])


def _write_with_av(path, wave, rate, kind, encoder, encoded_rate):
    import av

    layout = {1: "mono", 2: "stereo"}[wave.shape[1]]
    with path.open("wb") as file, av.open(file, "w", format=kind) as out:
        stream = out.add_stream(encoder, rate=encoded_rate or rate, layout=layout)
        stream.bit_rate = 128_000
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, encoded_rate or rate)
        for first in range(0, len(wave), rate):
            planes = np.ascontiguousarray(wave[first : first + rate].T, np.float32)
            frame = av.AudioFrame.from_ndarray(planes, "fltp", layout)
            frame.sample_rate, frame.pts = rate, first
            for piece in resampler.resample(frame):
                out.mux(stream.encode(piece))
        for piece in resampler.resample(None):
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))


@pytest.fixture(scope="session")
def write_audio():
    """Give ``write_audio(path, wave, sample_rate, channels=1, subtype=None) -> Path``.

    The suffix chooses the format. ``wave`` is (N,), repeated in every channel, or (N, channels).
    """

    def write(path, wave, sample_rate, channels=1, subtype=None):
        path = Path(path)
        wave = np.asarray(wave)
        if wave.ndim == 1:
            wave = np.repeat(wave[:, None], channels, axis=1)
        suffix = path.suffix.lower()
        if suffix in SOUNDFILE:
            kind, usual = SOUNDFILE[suffix]
            _write_with_soundfile(path, wave, sample_rate, kind, subtype or usual)
        else:
            _write_with_av(path, wave, sample_rate, *AV[suffix])
        return path

    return write


@pytest.fixture(scope="session")
def music():
    """Give ``music(seconds, sample_rate=22050, seed=0) -> (N,) float32``: plucked notes and noise, on a beat."""

    def make(seconds, sample_rate=22_050, seed=0):
        random = np.random.default_rng(seed)
        count = round(seconds * sample_rate)
        wave = np.zeros(count)
        beat = random.uniform(0.2, 0.4)
        for number in range(int(seconds / beat) + 1):
            first = round(number * beat * sample_rate)
            time = np.arange(min(count - first, round(1.5 * sample_rate))) / sample_rate
            if not len(time):
                break
            root = 55 * 2 ** (random.integers(0, 25) / 12)
            for harmonic in range(1, 13):
                if root * harmonic < 0.45 * sample_rate:
                    vibrato = 1 + 0.003 * np.sin(2 * np.pi * 5 * time)
                    tone = np.sin(2 * np.pi * root * harmonic * time * vibrato + random.uniform(0, 6))
                    wave[first : first + len(time)] += tone * np.exp(-time * (2 + harmonic)) / harmonic
            hit = random.normal(0, 0.5, len(time)) * np.exp(-time * random.uniform(20, 60))
            wave[first : first + len(time)] += hit
        wave += random.normal(0, 0.001, count)
        return (0.5 * wave / np.abs(wave).max()).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def toy_corpus(tmp_path_factory, write_audio):
    """A folder corpus that a tiny network learns in seconds: three pitches as genres, six clips of 3 s each."""
    root = tmp_path_factory.mktemp("toy") / "music"
    rng = np.random.default_rng(0)
    for genre, pitch in (("high", 3000), ("low", 200), ("mid", 900)):
        (root / genre).mkdir(parents=True)
        for i in range(6):
            t = np.arange(int(22050 * (3 + 0.1 * (i % 2)))) / 22050
            beat = 0.5 + 0.5 * np.sin(2 * np.pi * (2 + i / 3) * t)
            wave = 0.3 * beat * np.sin(2 * np.pi * pitch * (1 + 0.1 * rng.random()) * t)
            write_audio(root / genre / f"{i}.wav", wave + 0.02 * rng.standard_normal(len(t)), 22050)
    return root


@pytest.fixture(scope="session")
def toy_settings(toy_corpus, tmp_path_factory):
    """Settings under which the toy corpus is learnt in seconds."""
    return {
        "corpus": f"folder:{toy_corpus}",
        "size": "tiny",
        "folds": 3,
        "store": str(tmp_path_factory.mktemp("toy-store") / "store"),
        "logger": "none",
        "accelerator": "cpu",
        "recipe": {"epochs": 4, "batch": 8, "crops_per_song": 4, "crop_frames": 100, "lr": 3e-3},
    }


@pytest.fixture(scope="session")
def toy_run(toy_settings, tmp_path_factory):
    """A finished cross-validation of the toy corpus: (folder, result)."""
    from bandwise.settings import make_experiment
    from bandwise.training.crossval import cross_validate

    directory = tmp_path_factory.mktemp("toy-run") / "run"
    settings = dict(toy_settings)
    experiment = make_experiment("ecapa-ccs-fsa-s512-c1024", settings.pop("corpus"), **settings)
    return directory, cross_validate(experiment, directory)

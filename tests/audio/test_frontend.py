from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from bandwise.audio import frontend
from bandwise.audio.frontend import FrontEnd, create_frontend, list_frontends
from bandwise.audio.mel import hertz_to_mel, mel_filters, mel_to_hertz
from bandwise.errors import BandwiseError

GOLDEN = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference" / "golden.json"
NAMES = ["gtzan", "melon", "bbnn"]


@pytest.fixture(scope="module", params=NAMES)
def front(request):
    return create_frontend(request.param)


def noise(samples, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, 0.1, samples).astype(np.float32))


def test_golden_gtzan():
    if not GOLDEN.exists():
        pytest.skip("needs the shared folder with golden.json beside the checkout")
    golden = json.loads(GOLDEN.read_text())["mel"]["gtzan_a"]
    time = np.arange(44_356) / 22_050
    wave = 0.4 * np.sin(2 * np.pi * (220 * time + 300 * time**2))
    wave += 0.2 * np.sign(np.sin(2 * np.pi * 3 * time)) * np.sin(2 * np.pi * 1760 * time)
    mel = create_frontend("gtzan")(torch.tensor(wave, dtype=torch.float32))
    assert list(mel.shape) == golden["shape"] == [48, 174]
    assert mel.mean().item() == pytest.approx(golden["mean"], abs=1e-3)
    assert mel.std().item() == pytest.approx(golden["std"], abs=1e-3)
    for band, frame, value in golden["samples"]:
        assert mel[band, frame].item() == pytest.approx(value, abs=4e-2 if value < -12 else 2e-3)


def essentia_melon(wave):
    es = pytest.importorskip("essentia.standard", reason="essentia has no wheel here")
    window = es.Windowing(type="hann", normalized=False, zeroPadding=0)
    spectrum = es.Spectrum()
    bands = es.MelBands(
        numberBands=48,
        sampleRate=16_000,
        lowFrequencyBound=0,
        highFrequencyBound=8000,
        inputSize=257,
        weighting="linear",
        normalize="unit_tri",
        warpingFormula="slaneyMel",
        type="power",
    )
    decibel = es.UnaryOperator(type="lin2db", scale=2)
    frames = es.FrameGenerator(wave, frameSize=512, hopSize=256, startFromZero=False)
    return np.array([decibel(bands(spectrum(window(frame)))) for frame in frames]).T


@pytest.mark.parametrize("seed", [0, 1])
def test_melon_equals_essentia(music, seed):
    waves = {
        "music": music(8, 16_000, seed),
        "noise": noise(100_001, seed).numpy(),
        "faint": noise(30_000, seed).numpy() * 1e-4,
        "odd length": music(1.2345, 16_000, seed),
    }
    for name, wave in waves.items():
        expected = essentia_melon(wave)
        mel = create_frontend("melon")(torch.from_numpy(wave)).numpy()
        assert mel.shape == expected.shape, name
        assert (expected > -199).mean() > 0.5, name
        assert np.abs(mel - expected)[expected > -195].max() < 1e-2, name


def test_melon_shapes_and_floor_equal_essentia():
    melon = create_frontend("melon")
    for samples in (257, 511, 512, 513, 767, 768, 769, 4095, 4096, 4097, 480_000):
        assert essentia_melon(np.zeros(samples, np.float32)).shape == (48, melon.frames(samples))
    assert melon.frames(480_000) == 1876
    silent = melon(torch.zeros(2000)).numpy()
    assert np.allclose(silent, -200, atol=1e-3)
    assert np.allclose(essentia_melon(np.zeros(2000, np.float32)), silent, atol=1e-3)


def by_hand(config, wave, frame):
    """One frame of the mel spectrum before compression, in float64, with numpy alone."""
    size = config.window
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / (size - 1 if config.symmetric else size))
    first = frame * config.hop - size // 2
    mode = {"reflect": "reflect", "zero": "constant"}[config.padding]
    padded = np.pad(np.asarray(wave, np.float64), 4096, mode=mode)
    piece = padded[4096 + first : 4096 + first + size] * window
    power = np.abs(np.fft.rfft(piece, config.n_fft)) ** 2
    bins = np.arange(config.n_fft // 2 + 1) * config.sample_rate / config.n_fft
    if config.mel_scale == "htk":
        corners = 700 * (10 ** (np.linspace(0, 2595 * np.log10(1 + config.f_max / 700), config.bands + 2) / 2595) - 1)
    else:
        top = 15 + 27 * np.log(config.f_max / 1000) / np.log(6.4)
        mels = np.linspace(0, top, config.bands + 2)
        corners = np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))
    mel = np.zeros(config.bands)
    for band in range(config.bands):
        low, mid, high = corners[band : band + 3]
        weights = np.interp(bins, [low, mid, high], [0, 1, 0], left=0, right=0)
        mel[band] = weights @ power * (2 / (high - low) if config.area_normalised else 1)
    return mel


def test_frames_by_hand(front, music):
    config = front.config
    wave = music(3, front.sample_rate, seed=5)
    got = front(torch.from_numpy(wave)).numpy()
    last = front.frames(len(wave)) - 1
    everything = np.stack([by_hand(config, wave, frame) for frame in range(last + 1)], axis=1)
    assert everything.shape == got.shape
    if config.compression == "log":
        expected = np.log(everything + 1e-6)
    else:
        expected = config.scale * 10 * np.log10(np.maximum(everything, 1e-10))
    if config.top_db is not None:
        expected = np.maximum(expected, expected.max() - 80)
    difference = np.abs(got - expected)
    assert difference[everything > 1e-6].max() < 1e-2
    assert np.median(difference) < 1e-4


def test_librosa_slaney_values():
    # Corners that Slaney's and librosa's formula give: linear at 66.67 Hz a mel to 1 kHz, then 6.4 ** (1 / 27) each.
    assert [hertz_to_mel(hertz, "slaney") for hertz in (0, 500, 1000, 6400)] == pytest.approx([0, 7.5, 15, 42])
    assert [mel_to_hertz(mel, "slaney") for mel in (0, 3, 15, 42)] == pytest.approx([0, 200, 1000, 6400])
    # librosa's documentation: hz_to_mel(60) = 0.9, mel_to_hz([1..5]) = 66.667 … 333.333.
    assert hertz_to_mel(60, "slaney") == pytest.approx(0.9)
    assert [mel_to_hertz(mel, "slaney") for mel in range(1, 6)] == pytest.approx(
        [66.667, 133.333, 200, 266.667, 333.333], abs=1e-3
    )
    assert hertz_to_mel(1000, "htk") == pytest.approx(999.9856, abs=1e-3)
    for scale in ("htk", "slaney"):
        for hertz in (0.0, 123.4, 999.9, 1000.1, 11_025.0):
            assert mel_to_hertz(hertz_to_mel(hertz, scale), scale) == pytest.approx(hertz, abs=1e-6)


def test_filters_are_triangles_of_unit_height_or_area():
    # Corners at 0, 3.5, 7, … mel make triangles of 467 Hz on Slaney's scale below 1 kHz.
    top = mel_to_hertz(14, "slaney")
    bank = mel_filters(3, 2800, 2800, 0, top, scale="slaney", area_normalised=False)  # Bins of 1 Hz.
    assert bank.shape == (3, 1401)
    assert bank[1].argmax().item() in (466, 467)
    assert bank[1, 350].item() == pytest.approx(0.5, abs=1e-6)
    assert bank[1, 233].item() == 0
    assert bank[1, 700].item() == pytest.approx(0, abs=1e-9)
    areas = mel_filters(3, 2800, 2800, 0, top, scale="slaney", area_normalised=True).sum(1)
    assert areas.tolist() == pytest.approx([1, 1, 1], rel=1e-4)
    # Between the first and the last centre, neighbouring triangles of unit height add up to one.
    htk = mel_filters(48, 2048, 22_050, 0, 11_025, scale="htk", area_normalised=False)
    first, last = htk[0].argmax().item() + 1, htk[-1].argmax().item()
    np.testing.assert_allclose(htk[:, first:last].sum(0), 1, atol=1e-9)


def test_a_tone_lands_in_its_band(front):
    tones = [front.config.f_max * part for part in (0.05, 0.2, 0.6)]
    low = hertz_to_mel(front.config.f_min, front.config.mel_scale)
    high = hertz_to_mel(front.config.f_max, front.config.mel_scale)
    time = torch.arange(front.sample_rate) / front.sample_rate
    for tone in tones:
        mel = front(0.5 * torch.sin(2 * torch.pi * tone * time))
        place = (hertz_to_mel(tone, front.config.mel_scale) - low) / (high - low) * (front.bands + 1) - 1
        # Bands of equal area weigh a narrow low neighbour more, hence the tolerance of a band.
        assert abs(mel[:, mel.shape[1] // 2].argmax().item() - place) <= 1


def test_a_batch_equals_its_members(front):
    waves = torch.stack([noise(20_000, seed) * (seed + 0.5) for seed in range(4)])
    batch = front(waves)
    assert batch.shape == (4, front.bands, front.frames(20_000))
    assert batch.dtype == torch.float32
    for index in range(4):
        torch.testing.assert_close(front(waves[index : index + 1])[0], batch[index], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(front(waves[index]), batch[index], atol=1e-4, rtol=1e-4)


def test_long_waves_in_pieces_equal_one_piece(front, monkeypatch):
    waves = torch.stack([noise(30_000, 1), noise(30_000, 2)])
    whole = front(waves)
    for limit in (1, 7, 40):
        monkeypatch.setattr(frontend, "_FRAMES_AT_ONCE", limit)
        torch.testing.assert_close(front(waves), whole, atol=1e-4, rtol=1e-4)


def test_a_shift_by_a_hop_shifts_by_a_frame(front):
    wave = noise(front.hop * 40)
    shifted = torch.cat([noise(front.hop, 9) * 0.1, wave])
    one, other = front(wave), front(shifted)
    edge = front.config.n_fft // front.hop + 1
    torch.testing.assert_close(one[:, edge:-edge], other[:, edge + 1 : -edge], atol=1e-3, rtol=1e-3)


def test_a_louder_wave_is_louder_by_as_much():
    wave = noise(30_000)
    gtzan, melon, bbnn = (create_frontend(name) for name in NAMES)
    assert (gtzan(10 * wave) - gtzan(wave)).mean().item() == pytest.approx(2 * np.log(10), abs=1e-3)
    assert (melon(10 * wave) - melon(wave)).mean().item() == pytest.approx(40, abs=1e-2)
    assert (bbnn(10 * wave) - bbnn(wave)).mean().item() == pytest.approx(20, abs=1e-2)


def test_the_range_of_bbnn_is_that_of_each_clip():
    bbnn = create_frontend("bbnn")
    time = torch.arange(44_100) / 22_050
    tone = torch.sin(2 * torch.pi * 440 * time) * (time < 1)
    mel = bbnn(torch.stack([tone, 1e-3 * tone]))
    assert [(clip.max() - clip.min()).item() for clip in mel] == pytest.approx([80, 80], abs=1e-3)
    assert (mel[0].max() - mel[1].max()).item() == pytest.approx(60, abs=1e-2)


def test_counts(front):
    for samples in [
        *range(front.min_samples, front.min_samples + 5),
        *range(6 * front.hop - 3, 6 * front.hop + 4),
        44_356,
    ]:
        assert front(torch.zeros(samples)).shape == (front.bands, front.frames(samples))
    for frames in (6, 100, 174, 200, 647):
        assert front.frames(front.samples(frames)) == frames


def test_published_counts():
    gtzan, melon, bbnn = (create_frontend(name) for name in NAMES)
    assert (gtzan.frames(44_356), gtzan.samples(174)) == (174, 44_356)
    assert melon.frames(30 * 16_000) == 1876
    assert (bbnn.frames(661_794), bbnn.frames(661_500)) == (647, 646)
    assert [front.config.sample_rate for front in (gtzan, melon, bbnn)] == [22_050, 16_000, 22_050]
    assert [front.bands for front in (gtzan, melon, bbnn)] == [48, 48, 128]


def test_too_short_is_an_error(front):
    with pytest.raises(BandwiseError, match=rf"has {front.min_samples - 1} samples.*at least {front.min_samples} \("):
        front(torch.zeros(front.min_samples - 1))
    with pytest.raises(BandwiseError, match="0 samples"):
        front(torch.zeros(2, 0))
    assert front(torch.zeros(front.min_samples)).isfinite().all()


def test_types_and_shapes(front):
    wave = noise(8000)
    expected = front(wave)
    torch.testing.assert_close(front(wave.double()), expected)
    assert front(wave.half()).dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(front(wave), expected)
    for bad in (
        torch.zeros(8000, dtype=torch.int16),
        torch.zeros(1, 1, 8000),
        torch.tensor(1.0),
        np.zeros(8000),
        [0.0],
    ):
        with pytest.raises(BandwiseError):
            front(bad)
    wave[4000] = torch.nan
    assert front(wave).isnan().any()


def test_silence_is_finite(front):
    mel = front(torch.zeros(20_000))
    assert mel.isfinite().all()
    assert mel.max() == mel.min()


def test_keys_name_the_settings(monkeypatch):
    keys = {create_frontend(name).key() for name in list_frontends()}
    assert len(keys) == len(list_frontends())
    config = create_frontend("gtzan").config
    other = {
        "name": "x",
        "mel_scale": "slaney",
        "compression": "db",
        "padding": "zero",
        "symmetric": True,
        "area_normalised": True,
        "cover_end": True,
        "top_db": 80.0,
    }
    for field in dataclasses.fields(config):
        now = getattr(config, field.name)
        value = other[field.name] if field.name in other else now / 2 if now else 100.0
        if isinstance(now, int) and not isinstance(now, bool):
            value = now // 2
        changed = FrontEnd(dataclasses.replace(config, **{field.name: value}))
        assert changed.key() not in keys, field.name
        keys.add(changed.key())
    assert create_frontend("gtzan").key() == create_frontend("gtzan").key() in keys
    monkeypatch.setattr(frontend, "CODE_VERSION", frontend.CODE_VERSION + 1)
    assert create_frontend("gtzan").key() not in keys


def test_other_powers():
    config = create_frontend("gtzan").config
    wave = noise(8000)
    mel = FrontEnd(dataclasses.replace(config, power=1.0, floor=0.0, bands=20))(wave).exp()
    spectrum = torch.stft(
        wave, 2048, 256, 512, window=torch.hann_window(512), center=True, pad_mode="reflect", return_complex=True
    )
    bank = mel_filters(20, 2048, 22_050, 0, 11_025, scale="htk", area_normalised=False).float()
    torch.testing.assert_close(mel, bank @ spectrum.abs(), rtol=1e-4, atol=1e-4)


def test_names():
    assert list_frontends() == NAMES
    with pytest.raises(BandwiseError, match=r"'gtzam'.*gtzan, melon, bbnn"):
        create_frontend("gtzam")


def test_it_leaves_nothing_in_a_state_dict(front):
    assert not front.state_dict()
    assert not list(front.parameters())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_the_cpu(front):
    waves = torch.stack([noise(44_356, seed) for seed in range(3)])
    expected = front(waves)
    on_gpu = create_frontend(front.config.name).to("cuda")
    got = on_gpu(waves.cuda())
    assert got.is_cuda
    torch.testing.assert_close(got.cpu(), expected, atol=2e-3, rtol=1e-3)
    with torch.autocast("cuda", dtype=torch.float16):
        torch.testing.assert_close(on_gpu(waves.cuda()).cpu(), expected, atol=2e-3, rtol=1e-3)

from __future__ import annotations

import contextlib
import io
import os
import pickle
import struct
import tracemalloc
import wave as wave_module

import numpy as np
import pytest

from bandwise.audio import decode, readers
from bandwise.audio.decode import AudioInfo, check_wave, from_array, load, probe, stream
from bandwise.errors import AudioError, BandwiseError

RATE = 22_050
LOSSLESS = [".wav", ".au", ".aiff", ".caf", ".flac", ".mka"]
LOSSY = [".ogg", ".opus", ".mp3", ".m4a", ".mp4", ".aac", ".wma", ".webm"]


@pytest.fixture(scope="module")
def song(music):
    return music(12, RATE, seed=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory, write_audio, song):
    """The same song in every format; Opus knows only few rates, so it has 24,000 Hz there."""
    folder = tmp_path_factory.mktemp("formats")
    made = {}
    for suffix in LOSSLESS + LOSSY:
        made[suffix] = write_audio(folder / f"song{suffix}", song, 24_000 if suffix == ".opus" else RATE)
    return made


def sine(frequency, seconds, rate, level=0.5):
    return (level * np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def reason_of(call, *args, **kwargs):
    with pytest.raises(AudioError) as caught:
        call(*args, **kwargs)
    assert str(caught.value) == f"{caught.value.path}: {caught.value.reason}"
    return caught.value.reason


def aligned_correlation(one, other, most=4000):
    """The best correlation over shifts of up to ``most`` samples, and the shift."""
    size = min(len(one), len(other)) - 2 * most
    middle = one[most : most + size]
    lags = np.fft.irfft(np.fft.rfft(other, 1 << 20) * np.conj(np.fft.rfft(middle, 1 << 20)))[: 2 * most]
    shift = int(lags.argmax())
    return np.corrcoef(middle, other[shift : shift + size])[0, 1], shift - most


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_lossless_formats_give_the_samples_that_were_written(files, song, suffix):
    wave = load(files[suffix], RATE)
    assert wave.dtype == np.float32
    assert wave.shape == song.shape
    assert np.abs(wave - song).max() < 1.1 / 32768


@pytest.mark.parametrize("suffix", LOSSY)
def test_lossy_formats_give_nearly_what_was_written(files, song, suffix):
    rate = 24_000 if suffix == ".opus" else RATE
    wave = load(files[suffix], rate)
    assert abs(len(wave) - len(song)) < 0.15 * rate
    correlation, _ = aligned_correlation(song, wave)
    assert correlation > 0.98
    assert np.std(wave) == pytest.approx(np.std(song), rel=0.05)


@pytest.mark.parametrize("suffix", [".m4a", ".mp3", ".flac", ".webm", ".ogg"])
def test_a_wrong_or_missing_suffix_does_not_matter(files, tmp_path, suffix):
    right = load(files[suffix], RATE)
    for name in ("wrong.wav", "wrong.mp3", "wrong.raw", "wrong.txt", "none"):
        path = tmp_path / name
        path.write_bytes(files[suffix].read_bytes())
        assert np.array_equal(load(path, RATE), right)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".m4a", ".ogg"])
def test_the_size_of_the_blocks_changes_nothing(files, suffix):
    for rate in (16_000, RATE):
        whole = np.concatenate(list(stream(files[suffix], rate, block_seconds=1000)))
        for seconds in (0.013, 1.0, 10.0):
            blocks = list(stream(files[suffix], rate, block_seconds=seconds))
            assert all(block.ndim == 1 and block.dtype == np.float32 and len(block) for block in blocks)
            np.testing.assert_allclose(np.concatenate(blocks), whole, atol=1e-4)
        assert np.array_equal(load(files[suffix], rate), whole)


def test_streamed_resampling_equals_resampling_at_once(files, song):
    import soxr

    decoded = load(files[".wav"], RATE)
    for rate in (8000, 16_000, 44_100):
        at_once = soxr.resample(decoded, RATE, rate, quality="HQ")
        streamed = np.concatenate(list(stream(files[".wav"], rate, block_seconds=0.7)))
        assert streamed.shape == at_once.shape
        np.testing.assert_allclose(streamed, at_once, atol=1e-4)


@pytest.mark.parametrize("source", [8000, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("target", [16_000, 22_050])
def test_a_resampled_sine_keeps_its_frequency_level_and_length(tmp_path, write_audio, source, target):
    path = write_audio(tmp_path / "sine.wav", sine(1000, 2, source), source)
    wave = load(path, target)
    assert abs(len(wave) - 2 * target) <= 1
    middle = wave[target // 2 : target // 2 + target]  # Exactly a second: bins of 1 Hz.
    spectrum = np.abs(np.fft.rfft(middle)) / (target / 2)
    assert spectrum.argmax() == 1000
    assert spectrum[1000] == pytest.approx(0.5, rel=1e-3)
    assert np.delete(spectrum, 1000).max() < 1e-3


def test_what_the_target_cannot_hold_is_filtered_out(tmp_path, write_audio):
    path = write_audio(tmp_path / "high.wav", sine(15_000, 2, 44_100), 44_100)
    assert np.abs(load(path, 16_000)[1000:-1000]).max() < 1e-3


def test_channels_are_averaged(tmp_path, write_audio, song):
    left, right = song[:20_000], np.roll(song, 777)[:20_000]
    for suffix in (".wav", ".flac", ".mka"):
        path = write_audio(tmp_path / f"stereo{suffix}", np.stack([left, right], axis=1), RATE)
        assert np.abs(load(path, RATE) - (left + right) / 2).max() < 1.1 / 32768
    opposite = write_audio(tmp_path / "opposite.wav", np.stack([left, -left], axis=1), RATE)
    assert np.abs(load(opposite, RATE)).max() < 2 / 32768
    aac = load(write_audio(tmp_path / "stereo.m4a", np.stack([left, 0 * left], axis=1), RATE), RATE)
    assert np.std(aac) == pytest.approx(np.std(left) / 2, rel=0.1)


def test_many_channels_at_a_high_rate(tmp_path, write_audio):
    tone = sine(440, 1, 192_000)
    path = write_audio(tmp_path / "studio.wav", tone[:, None] * np.arange(8) / 7, 192_000)
    wave = load(path, RATE)
    assert abs(len(wave) - RATE) <= 1
    assert np.abs(wave[2000:-2000]).max() == pytest.approx(0.25, rel=1e-2)
    assert probe(path) == AudioInfo(1.0, 192_000, 8, "wav", "pcm_16")


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW"])
def test_sample_formats_have_the_same_scale(tmp_path, write_audio, subtype):
    tone = sine(300, 0.5, RATE)
    path = write_audio(tmp_path / "x.wav", tone, RATE, subtype=subtype)
    assert np.abs(load(path, RATE) - tone).max() < (0.03 if subtype in ("PCM_U8", "ULAW") else 1e-5)


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
def test_a_part_of_a_file_is_that_part_of_the_whole(files, suffix):
    rate = probe(files[suffix]).sample_rate
    whole = load(files[suffix], rate)
    part = load(files[suffix], rate, start=3.2, end=7.45)
    np.testing.assert_allclose(part, whole[round(3.2 * rate) : round(7.45 * rate)], atol=1e-4)
    np.testing.assert_allclose(load(files[suffix], rate, start=10.0), whole[round(10 * rate) :], atol=1e-4)
    np.testing.assert_allclose(load(files[suffix], rate, end=0.5), whole[: round(0.5 * rate)], atol=1e-4)
    assert len(load(files[suffix], rate, end=500)) == len(whole)
    assert len(load(files[suffix], rate, start=1, max_seconds=2.5)) == round(2.5 * rate)
    assert len(load(files[suffix], rate, start=1, end=2, max_seconds=2.5)) == rate


def test_cuts_that_make_no_sense(files):
    for start, end in ((-1, None), (5, 5), (5, 4), (float("nan"), None), (0, float("nan")), (float("inf"), None)):
        assert "cannot be cut" in reason_of(load, files[".wav"], RATE, start=start, end=end)
    for suffix in (".wav", ".m4a", ".mp3"):
        assert reason_of(load, files[suffix], RATE, start=60) == "ends before 60 s"
    for bad in ({"sample_rate": 0}, {"sample_rate": RATE, "block_seconds": 0}):
        with pytest.raises(BandwiseError, match=r"0"):
            list(stream(files[".wav"], **bad))
    with pytest.raises(BandwiseError, match="max_seconds"):
        load(files[".wav"], RATE, max_seconds=0)


@pytest.mark.parametrize("suffix", LOSSLESS + LOSSY)
def test_probe(files, suffix):
    info = probe(files[suffix])
    assert info.channels == 1
    assert info.sample_rate == {".opus": 24_000, ".webm": 48_000, ".wma": 44_100}.get(suffix, RATE)
    seconds = 12 * RATE / 24_000 if suffix == ".opus" else 12
    # ADTS has no length in it: FFmpeg guesses from the bit rate.
    assert info.duration == pytest.approx(seconds, rel=0.25 if suffix == ".aac" else 0.02)
    assert info.container
    assert info.codec == {".m4a": "aac", ".wav": "pcm_16", ".wma": "wmav2", ".webm": "opus"}.get(suffix, info.codec)


@pytest.mark.parametrize(
    "name", ["음악 – ジャズ.wav", "Ünïcödé ♫.m4a", "a'b\"c $HOME;#%.wav", " .wav", "-x.wav", "new\nline.wav"]
)
def test_odd_names(files, tmp_path, name):
    path = tmp_path / name
    path.write_bytes(files[path.suffix or ".wav"].read_bytes())
    assert len(load(path, RATE)) > 11 * RATE
    assert len(load(str(path), RATE)) > 11 * RATE


def test_a_name_in_no_encoding(files, tmp_path):
    for suffix in (".wav", ".m4a"):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9 \xff" + suffix.encode())
        try:
            with open(path, "wb") as file:  # noqa: PTH123
                file.write(files[suffix].read_bytes())
        except OSError:
            pytest.skip("the file system takes only UTF-8 names")
        assert len(load(path, RATE)) > 11 * RATE
        assert "caf" in reason_path(path + "missing")


def reason_path(path):
    with pytest.raises(AudioError) as caught:
        load(path, RATE)
    return caught.value.path


class TestFilesThatCannotBeUsed:
    def test_missing_empty_folder_and_names(self, tmp_path):
        assert reason_of(load, tmp_path / "no.wav", RATE) == "does not exist"
        assert reason_of(load, tmp_path, RATE) == "is a folder, not an audio file"
        (tmp_path / "empty.wav").write_bytes(b"")
        assert reason_of(load, tmp_path / "empty.wav", RATE) == "is empty (0 bytes)"
        assert reason_of(probe, tmp_path / "empty.wav") == "is empty (0 bytes)"
        assert reason_of(load, "x\0y.wav", RATE) == "is not a possible file name"
        assert "cannot be opened" in reason_of(load, tmp_path / ("x" * 5000), RATE)
        assert "cannot be opened" in reason_of(load, tmp_path / "empty.wav" / "x.wav", RATE)
        with pytest.raises(AudioError) as caught:
            load(tmp_path / "no.wav", RATE)
        again = pickle.loads(pickle.dumps(caught.value))
        assert (str(again), again.path) == (str(caught.value), str(tmp_path / "no.wav"))

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_does_not_hang(self, tmp_path):
        os.mkfifo(tmp_path / "pipe.wav")
        assert reason_of(load, tmp_path / "pipe.wav", RATE) == "is not an ordinary file"

    def test_no_permission(self, tmp_path, files, monkeypatch):
        def refuse(name):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(readers.io, "FileIO", refuse)
        assert reason_of(load, files[".wav"], RATE) == "may not be read: permission denied"

    @pytest.mark.parametrize("suffix", [".wav", ".mp3", ".m4a", ".txt"])
    def test_not_audio(self, tmp_path, suffix):
        noise = np.random.default_rng(0).bytes(100_000)
        contents = {
            "text": b"Just some words, no music.\n" * 200,
            "json": b'{"a": [1, 2, 3]}',
            "one byte": b"R",
            "header only": b"RIFF\x24\0\0\0WAVE",
            "random": b"\x01" + noise,
            "zeros": bytes(50_000),
            "html": b"<!DOCTYPE html><html><body>404</body></html>",
            "id3 without music": b"ID3\x04\0\0\0\0\0\x0a" + bytes(2000),
            "sync without music": b"\xff\xfb\x90\x64" + noise,
        }
        for name, content in contents.items():
            path = tmp_path / f"{name}{suffix}"
            path.write_bytes(content)
            reason = reason_of(load, path, RATE)
            assert len(reason) < 120, name
            assert not any(word in reason for word in ("Errno", "Error", "0x", "libsndfile")), name

    def test_a_picture(self, tmp_path):
        import matplotlib.image

        for kind in ("png", "jpg"):
            path = tmp_path / f"cover.{kind}"
            matplotlib.image.imsave(path, np.random.default_rng(0).random((20, 20, 3)))
            assert reason_of(load, path, RATE) == "holds no audio stream"
            assert reason_of(probe, path) == "holds no audio stream"

    def test_video_without_sound(self, tmp_path):
        import av

        path = tmp_path / "silent film.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mpeg4", rate=10, width=32, height=32, pix_fmt="yuv420p")
            for _ in range(5):
                out.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), "rgb24")))
            out.mux(stream.encode(None))
        assert reason_of(load, path, RATE) == "holds no audio stream"

    def test_a_playlist_opens_no_other_file(self, tmp_path, files, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "song.aac").write_bytes(files[".aac"].read_bytes())
        playlists = {
            "list.ffconcat": "ffconcat version 1.0\nfile song.aac\n",
            "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:12\n#EXTINF:12,\nsong.aac\n#EXT-X-ENDLIST\n",
            # This one would listen on the network.
            "stream.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        }
        for name, text in playlists.items():
            (tmp_path / name).write_text(text)
            assert reason_of(load, tmp_path / name, RATE) == readers.NOT_AUDIO

    @pytest.mark.parametrize("suffix", [".wav", ".au", ".aiff"])
    def test_no_samples(self, tmp_path, write_audio, suffix):
        path = write_audio(tmp_path / f"x{suffix}", np.zeros(0, np.float32), RATE)
        assert reason_of(load, path, RATE) == "holds no samples"

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("channels", [1, 2])
    def test_samples_that_are_not_finite(self, tmp_path, write_audio, value, channels):
        tone = np.repeat(sine(440, 3, RATE)[:, None], channels, axis=1)
        tone[50_000, 0] = value
        path = write_audio(tmp_path / "x.wav", tone, RATE, subtype="FLOAT")
        assert reason_of(load, path, 16_000) == "holds NaN or infinite samples"
        assert len(load(path, 16_000, end=1)) == 16_000

    def test_absurdly_loud_samples(self, tmp_path, write_audio):
        path = write_audio(tmp_path / "x.wav", sine(440, 1, RATE) * 2**31, RATE, subtype="FLOAT")
        assert "full scale is 1" in reason_of(load, path, RATE)

    def test_an_impossible_rate(self, tmp_path, files):
        content = bytearray(files[".wav"].read_bytes())
        content[24:28] = struct.pack("<I", 3)
        (tmp_path / "x.wav").write_bytes(content)
        assert "sample rate is 3 Hz" in reason_of(load, tmp_path / "x.wav", RATE)

    def test_one_sample(self, tmp_path, write_audio):
        path = write_audio(tmp_path / "x.wav", np.full(1, 0.5, np.float32), 44_100)
        assert len(load(path, 44_100)) == 1
        assert "too short" in reason_of(load, path, 8000)


class TestDamage:
    @pytest.mark.parametrize("suffix", [".wav", ".au", ".aiff", ".flac", ".mp3", ".mka", ".webm"])
    def test_a_truncated_file_is_reported(self, tmp_path, files, suffix):
        content = files[suffix].read_bytes()
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content[: len(content) * 6 // 10])
        reason = reason_of(load, path, 16_000)
        assert reason.startswith("is truncated or damaged: ")
        read, promised = (float(word) for word in reason.split() if word[0].isdigit())
        assert promised == pytest.approx(12, abs=0.2)
        assert 4.5 < read < 8.5
        # The part that is there can be had by asking for no more.
        assert len(load(path, 16_000, end=3)) == 48_000

    def test_an_m4a_without_its_index(self, tmp_path, files):
        path = tmp_path / "cut.m4a"
        path.write_bytes(files[".m4a"].read_bytes()[:-4000])
        assert reason_of(load, path, RATE) == readers.NOT_AUDIO

    @pytest.mark.parametrize("suffix", [".wav", ".aiff", ".mp3"])
    def test_a_small_shortfall_passes(self, tmp_path, files, suffix):
        content = files[suffix].read_bytes()
        path = tmp_path / f"cut{suffix}"
        path.write_bytes(content[: round(len(content) * 0.99)])
        assert 11.5 * RATE < len(load(path, RATE)) <= 12 * RATE

    @pytest.mark.parametrize("claimed", [0, 0x7FFFF000, 0x80000000, 0xFFFFFFFF])
    @pytest.mark.parametrize("riff", [0, 0xFFFFFFFF])
    def test_a_wav_from_a_pipe(self, tmp_path, files, claimed, riff):
        content = bytearray(files[".wav"].read_bytes())
        at = content.index(b"data")
        content[at + 4 : at + 8] = struct.pack("<I", claimed)
        content[4:8] = struct.pack("<I", riff)
        path = tmp_path / "pipe.wav"
        path.write_bytes(content)
        assert np.array_equal(load(path, RATE), load(files[".wav"], RATE))

    def test_a_flac_from_a_pipe(self, tmp_path, files):
        content = bytearray(files[".flac"].read_bytes())
        # STREAMINFO: its last 4 bits of byte 21 and bytes 22–25 count the samples; 0 is unknown.
        content[21] &= 0xF0
        content[22:26] = bytes(4)
        path = tmp_path / "pipe.flac"
        path.write_bytes(content)
        assert np.array_equal(load(path, RATE), load(files[".flac"], RATE))

    def test_a_hole_in_a_flac_is_skipped_where_it_is_small(self, tmp_path, write_audio, music):
        song = music(40, RATE, seed=1)
        content = bytearray(write_audio(tmp_path / "x.flac", song, RATE).read_bytes())
        half = len(content) // 2
        content[half : half + 100] = bytes(100)
        (tmp_path / "x.flac").write_bytes(content)
        wave = load(tmp_path / "x.flac", RATE)
        assert 39.6 * RATE < len(wave) <= 40 * RATE
        assert np.abs(wave[: len(wave)] - song[: len(wave)]).max() > 0.01  # The hole is in the music.
        assert np.abs(wave[: 15 * RATE] - song[: 15 * RATE]).max() < 1e-4
        assert np.abs(wave[-15 * RATE :] - song[-15 * RATE :]).max() < 1e-4

    @pytest.mark.parametrize("suffix", [".flac", ".mp3", ".m4a", ".mka", ".webm"])
    def test_a_big_hole_is_reported(self, tmp_path, files, suffix):
        content = bytearray(files[suffix].read_bytes())
        third = len(content) // 3
        content[third : 2 * third] = np.random.default_rng(1).bytes(third)
        path = tmp_path / f"hole{suffix}"
        path.write_bytes(content)
        assert "damaged" in reason_of(load, path, RATE)

    @pytest.mark.parametrize(("every", "passes"), [(5, False), (40, True)])
    def test_packets_that_do_not_decode(self, tmp_path, files, every, passes):
        content = bytearray(files[".aac"].read_bytes())  # ADTS: no length that could be compared with.
        first = count = 0
        while first < len(content):
            size = (content[first + 3] & 3) << 11 | content[first + 4] << 3 | content[first + 5] >> 5
            if count % every == 2:
                content[first + 7 : first + size] = b"\xff" * (size - 7)
            first, count = first + size, count + 1
        path = tmp_path / "x.aac"
        path.write_bytes(content)
        if passes:
            assert 11 * RATE < len(load(path, RATE)) < 12 * RATE
        else:
            assert "packets could not be decoded" in reason_of(load, path, RATE)

    def test_junk_in_an_mp3_is_skipped_as_players_do(self, tmp_path, files):
        content = files[".mp3"].read_bytes()
        half = len(content) // 2
        path = tmp_path / "junk.mp3"
        path.write_bytes(content[:half] + bytes(3000) + content[half:])
        assert len(load(path, RATE)) == pytest.approx(12 * RATE, abs=0.15 * RATE)

    def test_the_decoders_say_nothing_themselves(self, tmp_path, files, capfd):
        for suffix, path in files.items():
            content = bytearray(path.read_bytes())
            content[len(content) // 2 : len(content) // 2 + 3000] = np.random.default_rng(2).bytes(3000)
            (tmp_path / f"bad{suffix}").write_bytes(content)
            with contextlib.suppress(AudioError):
                load(tmp_path / f"bad{suffix}", RATE)
        assert capfd.readouterr() == ("", "")


class TestArrays:
    def test_shapes(self):
        tone = sine(440, 1, RATE)
        two = np.stack([tone, 0 * tone])
        assert np.array_equal(from_array(tone, RATE, RATE), tone)
        for array in (two, two.T):
            np.testing.assert_allclose(from_array(array, RATE, RATE), tone / 2, atol=1e-7)
        assert from_array(tone[None], RATE, RATE).shape == tone.shape
        assert from_array(tone[:, None], RATE, RATE).shape == tone.shape
        assert abs(len(from_array(two, RATE, 16_000)) - 16_000) <= 1

    @pytest.mark.parametrize("kind", ["int16", "int32", "uint8", "float16", "float64"])
    def test_types_have_the_same_scale(self, kind):
        tone = sine(440, 1, RATE)
        scaled = {
            "int16": np.round(tone * 2**15),
            "int32": np.round(tone.astype(np.float64) * 2**31),
            "uint8": np.round(tone * 128 + 128),
        }.get(kind, tone)
        wave = from_array(scaled.astype(kind), RATE, RATE)
        assert wave.dtype == np.float32
        assert np.abs(wave - tone).max() < (0.005 if kind == "uint8" else 5e-4)
        stereo = from_array(np.stack([scaled, scaled]).astype(kind), RATE, RATE)
        np.testing.assert_allclose(stereo, wave, atol=1e-6)

    def test_equals_the_file(self, files):
        decoded = load(files[".wav"], RATE)
        assert np.array_equal(from_array(decoded, RATE, 16_000), load(files[".wav"], 16_000))

    def test_refuses(self):
        tone = sine(440, 1, RATE)
        assert "holds no samples" in reason_of(from_array, tone[:0], RATE, RATE)
        assert "holds no samples" in reason_of(from_array, np.zeros((2, 0)), RATE, RATE)
        assert "shape" in reason_of(from_array, tone.reshape(1, 1, -1), RATE, RATE)
        assert "shape" in reason_of(from_array, np.float32(1), RATE, RATE)
        assert "NaN" in reason_of(from_array, np.where(tone > 0.4, np.nan, tone), RATE, RATE)
        assert "NaN" in reason_of(from_array, np.stack([tone + np.inf, tone - np.inf]), RATE, RATE)
        assert "full scale" in reason_of(from_array, tone * 1e9, RATE, RATE)
        assert "complex64" in reason_of(from_array, tone.astype(np.complex64), RATE, RATE)
        assert "int64" in reason_of(from_array, [1, 2, 3], RATE, RATE)
        assert "sample rate" in reason_of(from_array, tone, 0, RATE)
        assert "sample rate" in reason_of(from_array, tone, RATE, -1)
        assert "too short" in reason_of(from_array, tone[:1], 44_100, 8000)


def test_check_wave():
    tone = sine(440, 1, RATE)
    check_wave(tone, "x", min_samples=RATE)
    with pytest.raises(AudioError, match=r"^x: is too short: 0\.01 s, at least 0\.02 s is needed$"):
        check_wave(tone[:160], "x", min_samples=320, sample_rate=16_000)
    with pytest.raises(AudioError, match="160 samples, at least 320 samples"):
        check_wave(tone[:160], "x", min_samples=320)
    for level, silent in ((0, True), (9e-6, True), (1.1e-5, False)):
        for sign in (1, -1):
            wave = np.zeros(1000, np.float32)
            wave[500] = sign * level
            if silent:
                assert reason_of(check_wave, wave, "x", min_samples=10) == "is silent"
                check_wave(wave, "x", min_samples=10, allow_silent=True)
            else:
                check_wave(wave, "x", min_samples=10)


def test_load_leaves_silence_alone(tmp_path, write_audio):
    path = write_audio(tmp_path / "x.wav", np.zeros(1000), RATE)
    assert not load(path, RATE).any()


def test_a_long_file_needs_little_memory(tmp_path):
    path = tmp_path / "long.wav"
    seconds, rate = 20 * 60, 8000
    with wave_module.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"")
    with path.open("r+b") as file:  # A sparse file: the header's sizes, then zeros that take no room.
        size = seconds * rate * 2
        file.seek(4)
        file.write(struct.pack("<I", size + 36))
        file.seek(40)
        file.write(struct.pack("<I", size))
        file.truncate(44 + size)
    list(stream(path, 16_000, end=1))  # Imports are no part of the bill.
    tracemalloc.start()
    total = sum(len(block) for block in stream(path, 16_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == seconds * 16_000
    assert peak < 4e6  # The whole wave has 77 MB.


def test_a_stream_left_early_closes_its_file(files, monkeypatch):
    opened: list[io.BufferedReader] = []

    def remember(path):
        opened.append(readers.open_file(path))
        return opened[-1]

    monkeypatch.setattr(decode, "open_file", remember)
    for suffix in (".wav", ".m4a"):
        blocks = stream(files[suffix], RATE, block_seconds=1)
        next(blocks)
        assert not opened[-1].closed
        blocks.close()
        assert opened[-1].closed

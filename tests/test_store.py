"""The feature store: exact bounds, resuming, never anything stale."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from bandwise.audio.decode import load
from bandwise.audio.frontend import create_frontend
from bandwise.corpora import open_corpus
from bandwise.corpora.base import Corpus, Track
from bandwise.errors import BandwiseError
from bandwise.packing import pack, store_meta
from bandwise.store import FeatureStore, StoreMeta, default_path, read_index


@pytest.fixture
def corpus(tmp_path, write_audio, music):
    for genre in ("jazz", "rock"):
        (tmp_path / "c" / genre).mkdir(parents=True)
        for i in range(3):
            write_audio(tmp_path / "c" / genre / f"{i}.wav", music(1.5 + 0.2 * i, 22050, seed=i), 22050)
    return open_corpus(f"folder:{tmp_path / 'c'}")


def build(corpus, path, dtype="float16", **more):
    return pack(corpus, store_meta(corpus, "gtzan", dtype, **more), path, jobs=2)


def direct(track):
    wave = load(track.path, 22050)
    return create_frontend("gtzan")(torch.from_numpy(wave)).T.numpy()


def test_float32_is_exact_and_float16_within_its_bound(corpus, tmp_path):
    exact, half = build(corpus, tmp_path / "a", "float32").store, build(corpus, tmp_path / "b").store
    for track in corpus.tracks:
        expected = direct(track)
        np.testing.assert_allclose(exact.features(track.id), expected, atol=2e-6)  # threads sum in another order
        assert half.features(track.id).dtype == np.float16
        error = np.abs(half.features(track.id).astype(np.float64) - expected)
        assert (error <= np.maximum(2.0**-11 * np.abs(expected), 2.0**-25)).all()
        assert error.max() <= 0.004


def test_melon_decibels_stay_within_the_stated_bound():
    x = np.linspace(-200, 60, 100_001, dtype=np.float32)
    assert np.abs(x.astype(np.float16).astype(np.float64) - x).max() <= 0.0625


def test_a_second_build_extracts_nothing(corpus, tmp_path):
    assert build(corpus, tmp_path / "s").added == 6
    assert build(corpus, tmp_path / "s").added == 0


def test_a_changed_file_is_extracted_again(corpus, tmp_path, write_audio, music):
    build(corpus, tmp_path / "s")
    changed = corpus.tracks[2]
    before = Path(changed.path).stat()
    write_audio(changed.path, 0.5 * music(1.9, 22050, seed=2), 22050)
    os.utime(changed.path, ns=(before.st_atime_ns, before.st_mtime_ns))  # same name, size and date
    assert Path(changed.path).stat().st_size == before.st_size
    packed = build(corpus, tmp_path / "s", "float16")
    assert packed.added == 1
    np.testing.assert_allclose(packed.store.features(changed.id), direct(changed), atol=0.004)


def test_new_and_removed_tracks(corpus, tmp_path):
    small = Corpus("folder", corpus.root, corpus.tracks[:4], corpus.genres)
    assert build(small, tmp_path / "s").added == 4
    assert build(corpus, tmp_path / "s").added == 2
    again = build(small, tmp_path / "s")
    assert (again.added, len(again.store)) == (0, 4)
    assert corpus.tracks[5].id not in again.store


@pytest.mark.parametrize("torn", [False, True])
def test_a_killed_build_goes_on(corpus, tmp_path, monkeypatch, torn):
    import bandwise.packing as packing

    monkeypatch.setattr(packing, "SYNC_EVERY", 2)
    real, calls = packing.audio_extractor, []

    def dying(meta):
        extract = real(meta)

        def count(track):
            calls.append(track.id)
            if len(calls) == 5:
                raise KeyboardInterrupt  # as sudden as it gets within one process
            return extract(track)

        return count

    monkeypatch.setattr(packing, "audio_extractor", dying)
    with pytest.raises(KeyboardInterrupt):
        pack(corpus, store_meta(corpus, "gtzan"), tmp_path / "s", jobs=1)
    with pytest.raises(BandwiseError, match="no finished feature store"):
        FeatureStore(tmp_path / "s")
    with (tmp_path / "s" / "frames.bin").open("ab") as data:
        data.write(b"half a track")
    if torn:
        with (tmp_path / "s" / "journal.jsonl").open("a") as journal:
            journal.write('["rock/1", 123')
    monkeypatch.setattr(packing, "audio_extractor", real)
    packed = build(corpus, tmp_path / "s")
    assert 0 < packed.added < 6
    for track in corpus.tracks:
        np.testing.assert_allclose(packed.store.features(track.id), direct(track), atol=0.004)


def test_a_crop_reads_its_own_frames_and_short_tracks_repeat(corpus, tmp_path):
    store = build(corpus, tmp_path / "s").store
    track = corpus.tracks[1]
    whole, i = store.features(track.id), store.position(track.id)
    np.testing.assert_array_equal(store.crop(i, 7, 50), whole[7:57])
    assert np.shares_memory(store.crop(i, 7, 50), store.frames)
    long = store.crop(i, 0, len(whole) + 30)
    np.testing.assert_array_equal(long[: len(whole)], whole)
    np.testing.assert_array_equal(long[len(whole) :], whole[:30])


def test_bad_files_are_reported_and_the_others_go_on(corpus, tmp_path, write_audio):
    write_audio(corpus.root / "rock" / "silent.wav", np.zeros(30000, np.float32), 22050)
    (corpus.root / "rock" / "text.wav").write_text("la la la")
    write_audio(corpus.root / "rock" / "blink.wav", np.ones(100, np.float32) * 0.1, 22050)
    packed = build(open_corpus(f"folder:{corpus.root}"), tmp_path / "s")
    assert len(packed.store) == 6
    reasons = dict(packed.failures)
    assert "silent" in reasons["rock/silent"]
    assert "too short" in reasons["rock/blink"]
    assert "rock/text.wav" in reasons["rock/text"]


def test_nothing_readable_is_an_error(tmp_path):
    bad = tmp_path / "x.wav"
    bad.write_bytes(b"")
    corpus = Corpus(
        "folder", tmp_path, (Track("x", "a", str(bad)), Track("gone", "b", str(tmp_path / "no.wav"))), ("a", "b")
    )
    with pytest.raises(BandwiseError, match="not one of the 2 tracks"):
        build(corpus, tmp_path / "s")


def test_stores_of_different_front_ends_never_meet(corpus, tmp_path):
    build(corpus, tmp_path / "s")
    with pytest.raises(BandwiseError, match="choose another folder"):
        pack(corpus, store_meta(corpus, "melon"), tmp_path / "s")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("mine")
    with pytest.raises(BandwiseError, match="not empty"):
        build(corpus, tmp_path / "full")
    meta = store_meta(corpus, "gtzan")
    assert default_path(corpus, meta) != default_path(corpus, store_meta(corpus, "melon"))
    with pytest.raises(BandwiseError, match="float16 or float32"):
        StoreMeta("gtzan", "k", 48, "int8")


def test_a_truncated_store_is_noticed(corpus, tmp_path):
    build(corpus, tmp_path / "s")
    data = tmp_path / "s" / "frames.bin"
    os.truncate(data, data.stat().st_size // 2)
    with pytest.raises(BandwiseError, match="the index promises"):
        FeatureStore(tmp_path / "s")


@pytest.mark.parametrize("left", [0, 1000, None])
def test_lost_frames_are_extracted_again_and_never_read_as_zeros(corpus, tmp_path, write_audio, music, left):
    """A shortened frames.bin beside something new to extract: the hole must not be filled with zeros."""
    build(corpus, tmp_path / "s")
    data = tmp_path / "s" / "frames.bin"
    if left is None:
        data.unlink()
    else:
        os.truncate(data, left)
    write_audio(corpus.root / "rock" / "new.wav", music(1.0, 22050, seed=9), 22050)
    again = build(open_corpus(f"folder:{corpus.root}"), tmp_path / "s")
    assert again.added == 7
    for track in open_corpus(f"folder:{corpus.root}").tracks:
        np.testing.assert_allclose(again.store.features(track.id), direct(track), atol=0.004)


def test_a_reader_is_safe_while_another_command_packs(corpus, tmp_path, write_audio, music):
    reader = build(corpus, tmp_path / "s").store
    before = {track.id: np.array(reader.features(track.id)) for track in corpus.tracks}
    fewer = Corpus("folder", corpus.root, corpus.tracks[:1], corpus.genres)
    assert len(build(fewer, tmp_path / "s").store) == 1  # most of the file is waste now, and cleared away
    assert [path.name for path in (tmp_path / "s").glob("frames*.bin")] != ["frames.bin"]
    write_audio(corpus.tracks[0].path, music(1.2, 22050, seed=8), 22050)
    rebuilt = build(fewer, tmp_path / "s").store
    np.testing.assert_allclose(rebuilt.features("jazz/0"), direct(corpus.tracks[0]), atol=0.004)
    for track_id, frames in before.items():
        np.testing.assert_array_equal(reader.features(track_id), frames)


def test_a_store_belongs_to_one_corpus_however_its_path_is_written(corpus, tmp_path, monkeypatch):
    build(corpus, tmp_path / "s")
    monkeypatch.chdir(corpus.root.parent)
    assert build(open_corpus(f"folder:{corpus.root.name}"), tmp_path / "s").added == 0
    other = Corpus("folder", tmp_path / "elsewhere", corpus.tracks, corpus.genres)
    with pytest.raises(BandwiseError, match="holds the features of folder at"):
        build(other, tmp_path / "s")


@pytest.mark.parametrize("name", ["store.json", "index.safetensors"])
def test_damage_is_named(corpus, tmp_path, name):
    build(corpus, tmp_path / "s")
    (tmp_path / "s" / name).write_bytes(b"[]")
    with pytest.raises(BandwiseError, match=r"damaged|no feature store"):
        build(corpus, tmp_path / "s")


def test_waves_pack_too(corpus, tmp_path):
    store = build(corpus, tmp_path / "s", wave=True).store
    np.testing.assert_array_equal(store.features("jazz/0")[:, 0], load(corpus.tracks[0].path, 22050))


def mel_corpus(tmp_path, arrays):
    tracks = []
    with tarfile.open(tmp_path / "arena_mel_0.tar", "w") as tar:
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array)
            member = tarfile.TarInfo(f"0/{name}.npy")
            member.size = buffer.tell()
            buffer.seek(0)
            tar.addfile(member, buffer)
    with tarfile.open(tmp_path / "arena_mel_0.tar") as tar:
        for member in tar:
            name = member.name.split("/")[1].removesuffix(".npy")
            place = (member.offset_data, member.size)
            tracks.append(Track(name, "x", str(tmp_path / "arena_mel_0.tar"), member=place))
    return Corpus("melon", tmp_path, tuple(tracks), ("x",), content="mel", frontend="melon")


def test_melons_arrays_pack_from_a_tar_and_bad_ones_are_named(tmp_path):
    good = np.random.default_rng(0).uniform(-200, 0, (48, 61)).astype(np.float32)
    corpus = mel_corpus(
        tmp_path,
        {
            "1": good,
            "2": good[:40],
            "3": np.where(good < -100, np.nan, good),
            "4": good.astype(np.int16),
        },
    )
    packed = pack(corpus, store_meta(corpus, "melon", "float32"), tmp_path / "s")
    np.testing.assert_array_equal(packed.store.features("1"), good.T)
    reasons = dict(packed.failures)
    assert "(40, 61), not (48, frames)" in reasons["2"]
    assert "not finite" in reasons["3"]
    assert "int16" in reasons["4"]
    with pytest.raises(BandwiseError, match="no audio"):
        store_meta(corpus, "melon", wave=True)
    with pytest.raises(BandwiseError, match="--frontend melon"):
        store_meta(corpus, "gtzan")


def test_the_index_holds_any_name(tmp_path, write_audio, music):
    names = ["空.wav", "a\nb.wav", "ünï.wav"]
    (tmp_path / "c" / "g").mkdir(parents=True)
    for name in names:
        write_audio(tmp_path / "c" / "g" / name, music(1.0, 22050, seed=0), 22050)
    corpus = open_corpus(f"folder:{tmp_path / 'c'}")
    store = build(corpus, tmp_path / "s").store
    assert sorted(store.ids) == sorted(track.id for track in corpus.tracks)
    assert read_index(tmp_path / "s" / "index.safetensors").ids == store.ids


def test_two_builders_do_the_work_once(corpus, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: build(corpus, tmp_path / "s").added, range(2)))
    assert sorted(both) == [0, 6]

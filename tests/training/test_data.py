"""Batches: every song as often as promised, another crop each time, clips of equal length together."""

from collections import Counter

import numpy as np
import pytest

from bandwise.errors import BandwiseError
from bandwise.store import StoreMeta
from bandwise.training.data import ClipBatches, CropBatches, EpochPlan, even_starts


class FakeStore:
    """Frames that carry their own address, so that a crop shows where it came from."""

    def __init__(self, lengths):
        self.meta = StoreMeta("gtzan", "k", 2, "float32")
        self.lengths = np.array(lengths, np.int32)
        self.offsets = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
        ids = np.repeat(np.arange(len(lengths)), lengths)
        within = np.concatenate([np.arange(n) for n in lengths])
        self.frames = np.stack([ids, within], axis=1).astype(np.float32)

    def position(self, track_id):
        return int(track_id)

    def crop(self, position, start, frames):
        from bandwise.store import FeatureStore

        return FeatureStore.crop(self, position, start, frames)


LENGTHS = [50, 60, 50, 8, 70]
IDS = [str(i) for i in range(len(LENGTHS))]
LABELS = np.array([0, 1, 0, 1, 2])


def plan(**more):
    settings = dict(lengths=np.array(LENGTHS), crop=20, batch=4, crops_per_song=6, seed=1) | more
    return EpochPlan(**settings)


def test_every_song_occurs_as_often_as_promised():
    items = np.concatenate([items for items, _ in plan()])
    assert len(items) == 30 // 4 * 4 + 2
    assert Counter(np.concatenate([i for i, _ in plan(batch=5)])) == dict.fromkeys(range(5), 6)


def test_crops_are_frames_of_the_song_and_differ_between_epochs():
    store = FakeStore(LENGTHS)
    batches = CropBatches(store, IDS, LABELS, crop=20)
    p = EpochPlan(batches.lengths, 20, 5, 6, seed=1)
    seen = []
    for epoch in (0, 1):
        p.set_epoch(epoch)
        starts = []
        for one in p:
            x, y = batches[one]
            assert x.shape == (5, 20, 2)
            for crop, label in zip(x.numpy(), y.numpy(), strict=True):
                song = int(crop[0, 0])
                assert (crop[:, 0] == song).all()
                assert label == LABELS[song]
                first = int(crop[0, 1])
                np.testing.assert_array_equal(crop[:, 1], (first + np.arange(20)) % LENGTHS[song])
                if song != 3:
                    assert first + 20 <= LENGTHS[song]
                starts.append((song, first))
        seen.append(starts)
    assert seen[0] != seen[1]
    p.set_epoch(0)
    assert [int(s) for _, st in p for s in st] == [f for _, f in seen[0]]  # an epoch can be repeated exactly


def test_all_starts_are_reached():
    p = EpochPlan(np.array([25]), crop=20, batch=100, crops_per_song=100, seed=0)
    ((_, starts),) = list(p)
    assert set(starts.tolist()) == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_each_batch_evenly_and_without_overlap(world):
    whole = [items.tolist() for items, _ in plan(batch=6)]
    ranks = [[items.tolist() for items, _ in plan(batch=6, rank=r, world=world)] for r in range(world)]
    for i, batch in enumerate(whole):
        shares = [rank[i] for rank in ranks]
        assert len({len(share) for share in shares}) == 1
        assert sorted(x for share in shares for x in share) == sorted(batch)


def test_a_last_batch_of_one_is_left_out():
    sizes = [len(items) for items, _ in EpochPlan(np.array([30] * 9), 20, 4, 1, seed=0)]
    assert sizes == [4, 4]  # batch norm cannot take a single crop
    with pytest.raises(BandwiseError, match="too few"):
        EpochPlan(np.array([30]), 20, 4, 1, seed=0)
    with pytest.raises(BandwiseError, match="cannot be shared by 3"):
        plan(batch=4, world=3)


def test_whole_clips_of_equal_length_share_a_batch():
    store = FakeStore(LENGTHS)
    clips = ClipBatches(store, IDS, LABELS, None, 20, budget=100)
    seen = []
    for i in range(len(clips)):
        x, y, items = clips[i]
        assert x.shape[1] == 1
        for row, label, item in zip(x.numpy(), y.numpy(), items.numpy(), strict=True):
            np.testing.assert_array_equal(row[0], store.crop(item, 0, LENGTHS[item]))
            assert label == LABELS[item]
            seen.append(int(item))
    assert sorted(seen) == [0, 1, 2, 3, 4]
    assert max(clips[i][0].shape[0] for i in range(len(clips))) == 2


def test_evenly_spaced_crops_are_row_16s_rule():
    n, crop = 661_500, 44_356
    starts = even_starts(n, crop, 16)
    assert starts == [int(x) for x in np.linspace(0, n - crop, 16)]
    assert starts[0] == 0
    assert starts[-1] + crop == n
    assert even_starts(10, 20, 3) == [0, 0, 0]
    assert even_starts(50, 20, 1) == [0]
    store = FakeStore(LENGTHS)
    x, _, items = ClipBatches(store, IDS, LABELS, 3, 20, budget=1)[4]
    assert x.shape == (1, 3, 20, 2)
    assert [int(c[0, 1]) for c in x[0]] == [0, 25, 50]
    assert items.tolist() == [4]

"""Batches: random crops for training, whole clips or evenly spaced crops for validation and test.

A batch is gathered from the memory-mapped store in one go, without worker processes: a crop costs one copy of its own
frames. Which crops an epoch takes depends on (seed, epoch) alone, so a resumed run continues exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from bandwise.errors import BandwiseError
from bandwise.store import FeatureStore

Plan = tuple[NDArray[np.int64], NDArray[np.int64]]


class EpochPlan(Sampler[Plan]):
    """The batches of an epoch as (items, starts); Lightning calls ``set_epoch`` before each epoch.

    Every song occurs ``crops_per_song`` times, each time with a new start. A rank of several takes every n-th crop of
    each batch; of the last, shorter batch, what cannot be shared out evenly (or is a single crop, which batch norm
    cannot take) is left out.

    Args:
        lengths: Frames (or samples) of each item.
        crop: Frames (or samples) of a crop.
        batch: Crops in a batch, over all ranks.
        crops_per_song: Crops of each item in an epoch.
        seed: Of order and starts.
        rank: This process.
        world: Number of processes.
    """

    def __init__(
        self,
        lengths: NDArray[np.integer[Any]],
        crop: int,
        batch: int,
        crops_per_song: int,
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch < 2 * world:
            raise BandwiseError(f"a batch of {batch} cannot be shared by {world} processes; use at least {2 * world}")
        self.lengths, self.crop, self.batch, self.crops_per_song = lengths, crop, batch, crops_per_song
        self.seed, self.rank, self.world, self.epoch = seed, rank, world, 0
        total = len(lengths) * crops_per_song
        rest = total % batch // world * world
        self._sizes = [batch // world * world] * (total // batch) + ([rest] if rest >= 2 * world else [])
        if not self._sizes:
            raise BandwiseError(f"{total} crops an epoch are too few to train on; at least {2 * world} are needed")

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration gives."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._sizes)

    def __iter__(self) -> Iterator[Plan]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(np.repeat(np.arange(len(self.lengths)), self.crops_per_song))
        room = np.maximum(self.lengths[order].astype(np.int64) - self.crop, 0)
        starts = rng.integers(0, room + 1)
        for i, size in enumerate(self._sizes):
            at = slice(i * self.batch + self.rank, i * self.batch + size, self.world)
            yield order[at], starts[at]


class CropBatches(Dataset[tuple[Tensor, Tensor]]):
    """Training batches: (B, crop, width) in the store's dtype, and labels (B,)."""

    def __init__(self, store: FeatureStore, ids: Sequence[str], labels: NDArray[np.int64], crop: int) -> None:
        self.store, self.labels, self.crop = store, labels, crop
        self.positions = np.array([store.position(i) for i in ids])
        self.lengths = store.lengths[self.positions]

    def __getitem__(self, plan: Plan) -> tuple[Tensor, Tensor]:
        items, starts = plan
        batch = np.empty((len(items), self.crop, self.store.meta.width), self.store.frames.dtype)
        for row, (item, start) in enumerate(zip(items, starts, strict=True)):
            batch[row] = self.store.crop(int(self.positions[item]), int(start), self.crop)
        return torch.from_numpy(batch), torch.from_numpy(self.labels[items])


def even_starts(length: int, crop: int, count: int) -> list[int]:
    """Give the starts of evenly spaced crops: the first at 0, the last flush with the end, truncated to integers.

    Example:
        >>> even_starts(100, 40, 4)
        [0, 20, 40, 60]
    """
    room = max(length - crop, 0)
    return [int(i * room / max(count - 1, 1)) for i in range(count)]


class ClipBatches(Dataset[tuple[Tensor, Tensor, Tensor]]):
    """Validation and test batches: (B, n, frames, width), labels (B,) and the items' numbers (B,).

    With ``test = whole`` n is 1 and only clips of equal length meet in a batch, so nothing is padded and a batch
    gives what single clips would. With ``test = crops`` the n crops of a clip stay together.

    Args:
        store: Features, or waves.
        ids: Track ids.
        labels: Their classes.
        crops: Crops of a clip, or ``None`` for whole clips.
        crop: Frames (or samples) of a crop.
        budget: Frames (or samples) in a batch at most, unless a single clip has more.
    """

    def __init__(
        self,
        store: FeatureStore,
        ids: Sequence[str],
        labels: NDArray[np.int64],
        crops: int | None,
        crop: int,
        budget: int,
    ) -> None:
        self.store, self.labels, self.crops, self.crop = store, labels, crops, crop
        self.positions = np.array([store.position(i) for i in ids], dtype=np.int64)
        lengths = store.lengths[self.positions]
        if crops is not None:
            per_batch = max(1, budget // (crops * crop))
            order = np.arange(len(ids))
            self.batches = [order[i : i + per_batch] for i in range(0, len(order), per_batch)]
            return
        self.batches = []
        for length in np.unique(lengths):
            same = np.flatnonzero(lengths == length)
            per_batch = max(1, budget // int(length))
            self.batches += [same[i : i + per_batch] for i in range(0, len(same), per_batch)]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        items = self.batches[number]
        clips = []
        for item in items:
            position = int(self.positions[item])
            length = int(self.store.lengths[position])
            if self.crops is None:
                clips.append(self.store.crop(position, 0, length)[None])
            else:
                starts = even_starts(length, self.crop, self.crops)
                clips.append(np.stack([self.store.crop(position, s, self.crop) for s in starts]))
        batch = torch.from_numpy(np.stack(clips))
        return batch, torch.from_numpy(self.labels[items]), torch.from_numpy(items)

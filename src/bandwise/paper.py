"""The rows of the paper's Tables 2 and 3 as data: system, corpus, recipe, published figure.

Where the paper and the authors' code differ, the row holds what bandwise builds, and ``as_published`` what the code
does instead; ``docs/paper.md`` lists every deviation.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bandwise.errors import BandwiseError


@dataclass(frozen=True)
class Row:
    """One row. ``None`` means that the field does not apply, or that nothing is published.

    Attributes:
        row: Its number, without the paper's ``#``.
        table: 2 (GTZAN) or 3 (Melon).
        corpus: ``"gtzan"`` or ``"melon"``.
        classes: Genres.
        published_accuracy: In percent, as printed in the paper.
        system: The name that ``create_model`` takes.
        continuous: The paper's c, over all bands.
        stop: The paper's s, over all bands.
        bands: Sub-bands.
        band_width: Mel bins of a sub-band.
        band_hop: Mel bins from one sub-band to the next.
        last_conv: ``{"kind": …, "width": …}`` of Last-Conv.
        norm: What the network does to its input.
        channels: BBNN's channels.
        crop_frames: Frames of a training crop.
        crops_per_song_and_epoch: Training crops of every song in an epoch.
        batch: Crops in a batch.
        epochs: Epochs at most.
        optimizer: Its name.
        weight_decay: Coupled (L2 in the gradient), as ``torch.optim.Adam`` has it.
        lr: First learning rate.
        schedule: How it falls.
        lr_min: Where the cosine ends.
        seed: The published seed.
        validate_every: Epochs from one validation to the next.
        test: The rule of validation and test.
        sync_batch_norm: Whether the published run used it, over several GPUs.
        parameters_in_published_code: Counted there.
        gflop_200_frames: Operations of one forward pass of 200 frames, multiply and add counted as two.
        weights_of_row: The row whose trained weights this row tests.
        as_published: Model settings of the authors' code where bandwise departs from them.
        frontend: The front end, where it is not the corpus's own.
        note: What a reader of the figure must know.
    """

    row: int
    table: int
    corpus: str
    classes: int
    published_accuracy: float
    system: str
    continuous: int | None = None
    stop: int | None = None
    bands: int | None = None
    band_width: int | None = None
    band_hop: int | None = None
    last_conv: dict[str, Any] | None = None
    norm: str | None = None
    channels: int | None = None
    crop_frames: int | None = None
    crops_per_song_and_epoch: int | None = None
    batch: int | None = None
    epochs: int | None = None
    optimizer: str | None = None
    weight_decay: float | None = None
    lr: float | None = None
    schedule: str | None = None
    lr_min: float | None = None
    seed: int | None = None
    validate_every: int | None = None
    test: str | None = None
    sync_batch_norm: bool | None = None
    parameters_in_published_code: int | None = None
    gflop_200_frames: float | None = None
    weights_of_row: int | None = None
    as_published: dict[str, Any] | None = None
    frontend: str | None = None
    note: str | None = None

    @property
    def name(self) -> str:
        """The row as the paper writes it, such as ``"#15"``."""
        return f"#{self.row}"

    def as_dict(self) -> dict[str, Any]:
        """Give the fields that apply."""
        return {key: value for key, value in asdict(self).items() if value is not None}

    def model_overrides(self, as_published: bool = False) -> dict[str, Any]:
        """Give the model settings in which this row departs from its system's plain form."""
        settings: dict[str, Any] = {}
        if self.last_conv is not None:
            settings["last_conv_width"] = self.last_conv["width"]
        if self.channels is not None:
            settings["channels"] = self.channels
        if self.system == "bbnn" and self.corpus == "melon":
            settings |= {"mels": 48, "norm_eps": 1e-5, "norm_momentum": 0.1}
        if as_published:
            if self.as_published is None:
                raise BandwiseError(f"{self.name} has no published variant of its own: {self.name} is as published")
            settings |= self.as_published
        return settings


# Training (paper section 4.2, and the authors' code).
_GTZAN: dict[str, Any] = dict(
    table=2, corpus="gtzan", classes=10, crop_frames=174, crops_per_song_and_epoch=8, batch=64, epochs=80,
    optimizer="adam", weight_decay=1e-05, lr=0.001, schedule="cosine per epoch", lr_min=1e-06, seed=3823,
    validate_every=1, test="whole clip", sync_batch_norm=False,
)  # fmt: skip
_MELON: dict[str, Any] = _GTZAN | dict(
    table=3, corpus="melon", classes=28, crop_frames=200, crops_per_song_and_epoch=1, batch=256, seed=4021,
    validate_every=5,
)  # fmt: skip
_IMAGE = dict(norm="instance per band")


def _ecapa(
    base: dict[str, Any], row: int, accuracy: float, parameters: int | None, gflop: float, c: int, s: int, fsa: bool,
    width: int, **more: Any,
) -> Row:  # fmt: skip
    system = "ecapa" + ("-ccs" if s else "") + ("-fsa" if fsa else "") + (f"-s{s}-c{c}" if s else "")
    layout: dict[str, Any] = (
        dict(bands=4, band_width=18, band_hop=10, last_conv={"kind": "se_res2_k1", "width": width})
        if fsa
        else dict(bands=1, band_width=48, last_conv={"kind": "conv1", "width": width})
    )
    settings = base | layout | dict(norm="band mean") | more
    return Row(
        row=row, published_accuracy=accuracy, system=system, continuous=c, stop=s,
        parameters_in_published_code=parameters, gflop_200_frames=gflop, **settings,
    )  # fmt: skip


def _plain(
    base: dict[str, Any], row: int, accuracy: float, system: str, parameters: int, gflop: float | None, **more: Any
) -> Row:
    settings = base | more
    return Row(
        row=row, published_accuracy=accuracy, system=system, parameters_in_published_code=parameters,
        gflop_200_frames=gflop, **settings,
    )  # fmt: skip


_DDP = _MELON | dict(sync_batch_norm=True)
ROWS: dict[int, Row] = {
    row.row: row
    for row in (
        # Table 2. Rows #1–#4 are figures of other publications.
        Row(1, 2, "gtzan", 10, 85.4, "audeep", note="five-fold and transductive in its own publication"),
        Row(2, 2, "gtzan", 10, 87.4, "nnet2"),
        Row(3, 2, "gtzan", 10, 90.9, "cvaf"),
        Row(
            4, 2, "gtzan", 10, 93.9, "bbnn", channels=32, norm="none", crop_frames=647, crops_per_song_and_epoch=1,
            batch=8, epochs=100, optimizer="adam", weight_decay=0.0, lr=0.01,
            schedule="halved when the training loss stalls", seed=3823, validate_every=1, test="whole clip",
            sync_batch_norm=False, frontend="bbnn",
            note="the authors' own logs show 91.1 to 91.3 on test; 93.7 to 93.8 is their validation figure",
        ),
        _plain(_GTZAN, 5, 85.7, "resnet18", 11179658, 0.19, **_IMAGE),
        _plain(_GTZAN, 6, 86.3, "resnet34", 21287818, 0.39, **_IMAGE),
        _plain(_GTZAN, 7, 85.3, "se-resnet34", 21606434, 0.39, **_IMAGE),
        _ecapa(_GTZAN, 8, 87.9, 14721054, 5.5, 1024, 0, False, 1536),
        _ecapa(_GTZAN, 9, 87.9, 13851678, 5.2, 512, 512, False, 1536),
        _ecapa(_GTZAN, 10, 88.2, 15860766, 6.0, 768, 256, False, 1536),
        _ecapa(_GTZAN, 11, 88.6, 24386046, 9.3, 1024, 256, False, 1920),
        _ecapa(_GTZAN, 12, 88.6, 31424478, 12.0, 1024, 512, False, 2304),
        _ecapa(_GTZAN, 13, 89.5, 12218990, 4.4, 768, 256, True, 1152),
        _ecapa(_GTZAN, 14, 89.7, 19600574, 7.2, 1024, 256, True, 1536),
        _ecapa(_GTZAN, 15, 90.2, 21722270, 8.0, 1024, 512, True, 1536),
        _ecapa(
            _GTZAN, 16, 91.1, 21722270, 8.0, 1024, 512, True, 1536, test="16 crops, softmax summed", weights_of_row=15
        ),
        # Table 3.
        _plain(
            _MELON, 17, 45.3, "vgg", 39477980, 4.5, **_IMAGE, batch=128, lr=1e-05, schedule="x0.95 per epoch",
            lr_min=None, test="5 crops, softmax averaged", as_published={"relu_on_logits": True, "frames": 200},
        ),
        _plain(_MELON, 18, 63.6, "resnet18", 11188892, 0.19, **_IMAGE),
        _plain(_MELON, 19, 63.6, "resnet34", 21297052, 0.39, **_IMAGE),
        _plain(
            _MELON, 20, 64.1, "se-resnet34", 21615668, 0.39, **_IMAGE, crop_frames=800, schedule="x0.95 per epoch",
            lr_min=None,
        ),
        _plain(
            _MELON, 21, 60.2, "bbnn", 32450, None, norm="none", channels=32, crop_frames=647, batch=128, lr=0.01,
            lr_min=1e-05, seed=3823, validate_every=1, as_published={"channels": 13},
            note="the paper says about 180,000 parameters; its code has 13 channels and 32,450",
        ),
        _ecapa(_DDP, 22, 68.8, 14776404, 5.5, 1024, 0, False, 1536),
        _ecapa(_DDP, 23, 69.2, 22886196, 8.7, 1024, 256, False, 1536),
        _ecapa(
            _DDP, 24, 69.6, 15621210, 6.0, 768, 256, False, 1536,
            as_published={"continuous": 756, "last_conv_width": 1536},
        ),
        _ecapa(_DDP, 25, 69.5, 11917164, 4.4, 512, 512, False, 756),
        _ecapa(_DDP, 26, 70.3, 19683572, 7.2, 1024, 256, True, 1536),
        _ecapa(
            _DDP, 27, 70.4, None, 4.4, 768, 256, True, 1152,
            note="published code cannot run; built as #13 with 28 classes",
        ),
    )
}  # fmt: skip


def get_row(name: str | int) -> Row:
    """Find a row by its number (``15``, ``"15"`` or ``"#15"``).

    Raises:
        BandwiseError: The paper has no such row.
    """
    digits = str(name).removeprefix("#")
    if not digits.isdecimal() or int(digits) not in ROWS:
        raise BandwiseError(f"the paper has no row {name!r}; rows are #1 to #{max(ROWS)}")
    return ROWS[int(digits)]


def table_rows(table: int) -> list[Row]:
    """Give the rows of Table 2 or 3 in order."""
    if table not in (2, 3):
        raise BandwiseError(f"the paper's result tables are 2 (GTZAN) and 3 (Melon), not {table}")
    return [row for row in ROWS.values() if row.table == table]

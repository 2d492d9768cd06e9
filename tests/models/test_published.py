"""Networks against the authors' code: parameter counts, checkpoint names, golden logits."""

import json
import math
import zlib
from pathlib import Path

import pytest
import torch

from bandwise.models.published import load_published_state_dict
from bandwise.models.registry import create_model
from bandwise.paper import ROWS

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "reference"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the reference figures (shared/) are not here")
NETWORK_ROWS = [row for row in ROWS.values() if row.row >= 5]


def fill(names_and_shapes):
    """The deterministic weights that golden.json describes."""
    state = {}
    for name, shape in names_and_shapes.items():
        generator = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        r = torch.randn(shape, generator=generator, dtype=torch.float64)
        if name.endswith("running_var"):
            value = 0.5 + r.abs()
        elif name.endswith("running_mean"):
            value = 0.1 * r
        elif name.endswith("weight") and r.ndim == 1:
            value = 1 + 0.1 * r
        elif r.ndim == 1:
            value = 0.1 * r
        else:
            value = r / math.sqrt(r[0].numel())
        state[name] = value.float()
    return state


def signal(kind, samples):
    t = torch.arange(samples, dtype=torch.float64) / 22050
    if kind == "a":
        wave = 0.4 * torch.sin(2 * math.pi * (220 * t + 300 * t**2)) + 0.2 * torch.sign(
            torch.sin(2 * math.pi * 3 * t)
        ) * torch.sin(2 * math.pi * 1760 * t)
    else:
        chirp = torch.sin(2 * math.pi * (110 * t + 900 * t**2 / (t.max() + 1e-9)))
        wave = 0.3 * chirp * torch.exp(-3 * (t % 0.5)) + 0.25 * torch.sin(2 * math.pi * 5000 * t) * (t % 1 < 0.3)
    return wave.float()


def mel_array(frames):
    f = torch.arange(48, dtype=torch.float64)[:, None]
    t = torch.arange(frames, dtype=torch.float64)[None]
    return (-3 - 0.08 * f + 2 * torch.sin(0.13 * t + 0.4 * f) + torch.cos(0.031 * t * (1 + f / 48))).float()


def as_published(row):
    name = f"#{row.row}"
    return f"{name}-as-published" if row.as_published else name


@needs_shared
@pytest.mark.parametrize("key", ["8", "13", "18", "21-as-published"])
def test_logits_equal_the_authors(key):
    from bandwise.audio.frontend import create_frontend

    golden = json.loads((SHARED / "golden.json").read_text())
    keys = json.loads((SHARED / "reference_keys.json").read_text())
    row = key.split("-")[0]
    model = load_published_state_dict(create_model(f"#{key}"), fill(keys[row])).eval()
    for what, expected in golden["logits"][key].items():
        if not what.startswith("logits_T"):
            continue
        frames = int(what.removeprefix("logits_T"))
        if int(row) <= 16:
            wave = signal("a" if frames == 200 else "b", frames * 256)
            # T·256 samples give T + 1 frames
            x = create_frontend("gtzan")(wave[None])
            assert x.shape[-1] == frames + 1
        else:
            x = mel_array(frames)[None]
        with torch.inference_mode():
            logits = model(x)[0]
        reference = torch.tensor(expected)
        scale = max(1.0, reference.abs().max().item())
        assert (logits - reference).abs().max().item() <= 2e-3 * scale


@needs_shared
@pytest.mark.filterwarnings("ignore:.*non-meta parameter")
@pytest.mark.parametrize("row", NETWORK_ROWS, ids=lambda row: row.name)
def test_checkpoint_names_and_shapes_fit(row):
    if row.row == 27:
        pytest.skip("the published code of this row does not run; bandwise builds it as #13 with 28 classes")
    keys = json.loads((SHARED / "reference_keys.json").read_text())[str(row.row)]
    with torch.device("meta"):
        model = create_model(as_published(row))
    state = {f"module.{name}": torch.empty(shape, device="meta") for name, shape in keys.items()}
    state["module.torchfbank.0.fb"] = torch.empty(3)
    state["module.bn1.num_batches_tracked"] = torch.tensor(0)
    load_published_state_dict(model, state)


@pytest.mark.parametrize("row", NETWORK_ROWS, ids=lambda row: row.name)
def test_parameter_counts_equal_the_published_ones(row):
    if row.parameters_in_published_code is None:
        pytest.skip("the published code of this row does not run, so it has no count")
    with torch.device("meta"):
        model = create_model(as_published(row))
    assert sum(p.numel() for p in model.parameters()) == row.parameters_in_published_code


def test_original_bbnn_has_the_trainable_count_of_its_authors():
    model = create_model("#4")
    trainable = sum(p.numel() for p in model.parameters())
    running = sum(b.numel() for name, b in model.named_buffers() if "running" in name)
    assert (trainable, trainable + running) == (185_642, 190_826)


def test_every_weight_finds_its_own_place():
    """A translation that sent two names to one place, or swapped two of one shape, would not survive this."""
    model = create_model("#13", size="tiny")
    before = {k: v.clone() for k, v in model.state_dict().items()}
    with pytest.raises(ValueError, match="no place"):
        load_published_state_dict(model, {"band9.conv1.weight": torch.zeros(3)})
    with pytest.raises(ValueError, match=r"fc6\.bias is \(7,\) but the model has \(10,\)"):
        load_published_state_dict(model, {"fc6.bias": torch.zeros(7)})
    with pytest.raises(ValueError, match="nothing fills"):
        load_published_state_dict(model, {"fc6.bias": torch.zeros(10)})
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())

"""The paper's equations as behaviour, and the model's invariants."""

import pytest
import torch

from bandwise.errors import BandwiseError
from bandwise.models.ecapa import AttentiveStatisticsPooling, EcapaConfig, EcapaTdnn, SERes2Block
from bandwise.models.registry import create_model

CCS = "ecapa-ccs-s512-c1024"
FSA = "ecapa-ccs-fsa-s512-c1024"


def tiny(name, **overrides):
    torch.manual_seed(0)
    return create_model(name, size="tiny", **overrides).eval()


def x(batch=2, frames=60, mels=48):
    return torch.randn(batch, mels, frames, generator=torch.Generator().manual_seed(1))


def test_stop_channels_get_no_gradient_from_later_blocks_through_the_continuing_path():
    """Equations 1-3: what block k keeps back is untouched by the blocks above it."""
    extractor = tiny(CCS).extractors[0]
    outputs = []
    for block in extractor.blocks:
        block.register_forward_hook(lambda _m, _i, out: (out.retain_grad(), outputs.append(out))[1])
    continuous, _ = extractor(x())
    continuous[2].sum().backward()  # the last block's continuing output
    c = extractor.continuous
    for f_k in outputs[:2]:
        assert f_k.grad[:, :c].abs().max() > 0  # continuing channels are on the path
        assert f_k.grad[:, c:].abs().max() == 0  # stop channels are not


def test_stop_channels_do_get_gradient_through_the_pooling_layer():
    model = tiny(CCS)
    outputs = []
    model.extractors[0].blocks[0].register_forward_hook(
        lambda _m, _i, out: (out.retain_grad(), outputs.append(out))[1]
    )
    model(x())[:, 0].sum().backward()
    assert outputs[0].grad[:, model.extractors[0].continuous :].abs().max() > 0


@pytest.mark.parametrize("part", ["stop", "continuous"])
def test_changing_a_channel_reaches_later_blocks_only_when_it_continues(part):
    extractor = tiny(CCS).extractors[0]
    channel = extractor.continuous + 1 if part == "stop" else 1

    def run(offset):
        def change(_module, _inputs, f):
            f = f.clone()
            f[:, channel] += offset
            return f

        handle = extractor.blocks[0].register_forward_hook(change)
        continuous, stop = extractor(x())
        handle.remove()
        return torch.cat([continuous[1], continuous[2], stop[1], stop[2]], dim=1)

    with torch.no_grad():
        same = torch.equal(run(0.0), run(1.0))
    assert same == (part == "stop")


def test_block_inputs_follow_equation_1():
    extractor = tiny(CCS).extractors[0]
    inputs = []
    for block in extractor.blocks:
        block.register_forward_pre_hook(lambda _m, args: inputs.append(args[0]))
    with torch.no_grad():
        continuous, stop = extractor(x())
        first = extractor.first_conv(x())
    torch.testing.assert_close(inputs[0], first)
    torch.testing.assert_close(inputs[1], first + continuous[0])
    torch.testing.assert_close(inputs[2], first + continuous[0] + continuous[1])
    assert [f.shape[1] for f in (*continuous, *stop)] == [64] * 3 + [32] * 3


def test_a_band_sees_only_its_bins():
    model = tiny(FSA)
    for g, (start, end) in enumerate([(0, 18), (10, 28), (20, 38), (30, 48)]):
        inputs = x().requires_grad_()
        assert model.layout[g] == slice(start, end)
        seen = []
        handle = model.extractors[g].register_forward_hook(lambda _m, _i, out, seen=seen: seen.append(out))
        model(inputs)
        handle.remove()
        sum(f.square().sum() for f in seen[0][0] + seen[0][1]).backward()
        touched = inputs.grad.abs().sum(dim=(0, 2)) > 0
        assert touched.nonzero().flatten().tolist() == list(range(start, end))


def test_permuting_bands_with_their_weights_changes_nothing_they_compute():
    """The bands are equals: swap two extractors and their inputs, and their features swap."""
    model = tiny(FSA)
    first, second = model.extractors[0], model.extractors[1]
    a, b = x()[:, :18], x()[:, 10:28]
    first.load_state_dict(second.state_dict())
    with torch.no_grad():
        for u, v in zip(first(b)[0], second(b)[0], strict=True):
            torch.testing.assert_close(u, v)
        assert not torch.allclose(first(a)[0][0], second(b)[0][0])


@pytest.mark.parametrize("name", ["ecapa", CCS, FSA, "resnet18", "se-resnet34", "bbnn"])
def test_batch_of_one_equals_batch_of_many(name):
    model = tiny(name)
    batch = x(batch=3, frames=200, mels=getattr(model.config, "mels"))  # noqa: B009
    with torch.no_grad():
        torch.testing.assert_close(model(batch), torch.cat([model(one[None]) for one in batch]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["ecapa", FSA])
def test_a_constant_gain_changes_nothing(name):
    """A gain adds a constant to every log-mel band; subtracting the mean over time removes it."""
    model = tiny(name)
    with torch.no_grad():
        torch.testing.assert_close(model(x()), model(x() + 3.5), atol=1e-3, rtol=1e-3)


def test_last_group_of_a_block_passes_untouched_and_groups_feed_the_next():
    block = SERes2Block(16, 16, se=8, dilation=2).eval()
    seen = {}
    block.reduce.register_forward_hook(lambda _m, _i, out: seen.update(reduced=out))
    block.expand.register_forward_pre_hook(lambda _m, args: seen.update(joined=args[0]))
    inputs = {}
    for i, convolution in enumerate(block.res2):
        convolution.register_forward_pre_hook(lambda _m, args, i=i: inputs.update({i: args[0]}))
    with torch.no_grad():
        block(torch.randn(2, 16, 30))
    torch.testing.assert_close(seen["joined"][:, 14:], seen["reduced"][:, 14:])
    torch.testing.assert_close(inputs[0], seen["reduced"][:, :2])
    for i in range(1, 7):
        torch.testing.assert_close(
            inputs[i], seen["joined"][:, 2 * i - 2 : 2 * i] + seen["reduced"][:, 2 * i : 2 * i + 2]
        )


def test_pooling_equals_the_published_formula():
    """The split of the first convolution is exact: compare with the concatenated context of the published code."""
    torch.manual_seed(3)
    pooling = AttentiveStatisticsPooling(6, 5).eval()
    f = torch.randn(2, 6, 40)
    with torch.no_grad():
        mean = f.mean(2, keepdim=True).expand_as(f)
        std = f.var(2, keepdim=True).clamp(min=1e-4).sqrt().expand_as(f)
        w = torch.softmax(pooling.score(torch.tanh(pooling.hidden(torch.cat([f, mean, std], 1)))), dim=2)
        mu = (f * w).sum(2)
        sigma = ((f**2 * w).sum(2) - mu**2).clamp(min=1e-4).sqrt()
        torch.testing.assert_close(pooling(f), torch.cat([mu, sigma], 1))


def test_pooling_of_a_constant_is_the_constant_and_the_floor():
    pooling = AttentiveStatisticsPooling(3, 4).eval()
    with torch.no_grad():
        pooled = pooling(torch.full((1, 3, 9), 2.0))
    torch.testing.assert_close(pooled, torch.tensor([[2.0] * 3 + [0.01] * 3]), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(
    ("overrides", "layout"),
    [
        ({"bands": 4}, [(0, 18), (10, 28), (20, 38), (30, 48)]),
        ({"bands": 2}, [(0, 28), (20, 48)]),
        ({"bands": 1}, [(0, 48)]),
        ({"bands": 2, "mels": 64, "band_width": 32, "band_hop": 32}, [(0, 32), (32, 64)]),
        ({"bands": 4, "mels": 128}, None),
    ],
)
def test_layouts(overrides, layout):
    config = EcapaConfig(continuous=64, stop=32, **overrides)
    slices = [(s.start, s.stop) for s in config.layout()]
    if layout is not None:
        assert slices == layout
    assert slices[0][0] == 0
    assert slices[-1][1] == config.mels
    model = EcapaTdnn(config).eval()
    with torch.no_grad():
        assert model(x(mels=config.mels)).shape == (2, 10)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"bands": 4, "band_width": 20, "band_hop": 10}, "reach bin 50 of only 48"),
        ({"bands": 4, "band_width": 12, "band_hop": 10}, "bins 42 to 47 would go unseen"),
        ({"bands": 3, "band_width": 10, "band_hop": 19, "continuous": 96}, "leave gaps"),
        ({"bands": 3}, "divisible by bands"),
        ({"bands": 64}, "cannot be cut"),
        ({"bands": 0}, "bands must be at least 1"),
        ({"stop": -1}, "stop must be 0"),
        ({"continuous": 4}, "at least 8"),
        ({"last_conv": "conv3"}, "conv1"),
        ({"last_conv_width": 3}, "last_conv_width"),
    ],
)
def test_impossible_settings_say_why(overrides, words):
    with pytest.raises(BandwiseError, match=words):
        create_model("ecapa", **overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        {"bands": 1, "last_conv": "se_res2_k1"},
        {"bands": 4, "last_conv": "conv1"},
        {"bands": 4, "stop": 0},
        {"bands": 2, "stop": 16, "last_conv": {"kind": "conv1", "width": 40}},
        {"continuous": 40, "stop": 24, "bands": 4, "last_conv_width": 24, "attention": 12, "se": 9},
    ],
)
def test_every_ablation_is_a_call(overrides):
    model = tiny("ecapa", **overrides)
    with torch.no_grad():
        assert model(x()).shape == (2, 10)


@pytest.mark.parametrize("shape", [(48, 60), (2, 40, 60), (2, 48, 1)])
def test_a_wrong_input_shape_is_named(shape):
    with pytest.raises(BandwiseError, match="mel bands"):
        tiny("ecapa")(torch.zeros(shape))


def test_bf16_stays_close():
    model = tiny(FSA)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        reduced = model(x(frames=174))
    with torch.no_grad():
        full = model(x(frames=174))
    assert (reduced.float() - full).abs().max() < 0.1 * full.abs().max()

"""Names, sizes, overrides."""

import pytest
import torch

from bandwise.errors import BandwiseError
from bandwise.models.registry import (
    config_from_dict,
    config_to_dict,
    create_model,
    list_systems,
    resolve_config,
)


def test_the_papers_systems_are_listed():
    names = list_systems()
    assert {"ecapa", "ecapa-ccs-s512-c1024", "ecapa-ccs-fsa-s512-c1024", "resnet18", "vgg", "bbnn"} <= set(names)
    assert list_systems("resnet*") == ["resnet18", "resnet34"]


@pytest.mark.parametrize("name", list_systems())
@pytest.mark.parametrize("size", ["tiny", "small"])
def test_every_system_runs_at_small_sizes(name, size):
    model = create_model(name, num_classes=3, size=size).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, model.config.mels, 210))
    assert logits.shape == (2, 3)
    assert logits.isfinite().all()


def test_sizes_divide_the_widths():
    full, small, tiny = (resolve_config("#15", size=size) for size in ("full", "small", "tiny"))
    for name in ("continuous", "stop", "attention", "se", "last_conv_width"):
        assert getattr(small, name) == getattr(full, name) // 4
        assert getattr(tiny, name) == max(8, getattr(full, name) // 16)
    assert (tiny.mels, tiny.bands) == (48, 4)
    assert resolve_config("bbnn", size="tiny").channels == 8


def test_overrides_come_after_the_size():
    assert resolve_config("ecapa", size="tiny", continuous=48).continuous == 48


def test_rows_bring_their_classes_and_widths():
    assert resolve_config("#25").num_classes == 28
    assert resolve_config("#25").last_conv_width == 756
    assert resolve_config("ecapa-ccs-s512-c512").aggregation_width == 1536
    assert resolve_config("#23").last_conv_width == 1536
    assert resolve_config("ecapa-ccs-s256-c1024").aggregation_width == 1920
    assert resolve_config("#24").continuous == 768
    assert resolve_config("#24-as-published").continuous == 756
    assert resolve_config("#21-as-published").channels == 13


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (("ecapa-tdnn",), "there is no system 'ecapa-tdnn'"),
        (("ecapa-ccs",), "there is no system"),
        (("#99",), "no row"),
        (("#15-as-published",), "no published variant"),
        (("ecapa", 10, "huge"), "size is one of"),
    ],
)
def test_wrong_names_are_explained(call, words):
    with pytest.raises(BandwiseError, match=words):
        create_model(*call)


def test_an_unknown_override_lists_the_known_ones():
    with pytest.raises(BandwiseError, match="no setting 'chanels'; it has num_classes, mels, continuous"):
        create_model("ecapa", chanels=3)


@pytest.mark.parametrize("name", ["#15", "#17-as-published", "se-resnet34", "#21"])
def test_configurations_survive_json(name):
    import json

    config = resolve_config(name, size="tiny")
    assert config_from_dict(json.loads(json.dumps(config_to_dict(config)))) == config


def test_unknown_architecture_is_refused():
    with pytest.raises(BandwiseError, match="unknown architecture 'lstm'"):
        config_from_dict({"architecture": "lstm"})


def test_vgg_takes_longer_input_and_its_published_form_does_not():
    with torch.no_grad():
        assert create_model("#17", size="tiny").eval()(torch.randn(1, 48, 300)).shape == (1, 28)
        published = create_model("#17-as-published", size="tiny").eval()
        assert (published(torch.randn(4, 48, 200)) >= 0).all()  # ReLU on the logits
    with pytest.raises(BandwiseError, match="exactly 200 frames, not 300"):
        published(torch.randn(1, 48, 300))
    with pytest.raises(BandwiseError, match="at least 200 frames, not 150"):
        create_model("#17", size="tiny")(torch.randn(1, 48, 150))


@pytest.mark.parametrize("name", ["resnet18", "vgg"])
def test_image_networks_ignore_gain_and_contrast_of_a_band(name):
    """Instance norm removes each band's mean and deviation over time."""
    model = create_model(name, size="tiny").eval()
    x = torch.randn(2, 48, 200)
    scale, shift = torch.rand(48, 1) + 0.5, torch.randn(48, 1)
    with torch.no_grad():
        torch.testing.assert_close(model(x), model(x * scale + shift), atol=1e-3, rtol=1e-3)

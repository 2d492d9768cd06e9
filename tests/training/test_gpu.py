"""What only a GPU can show; skipped without one."""

import numpy as np
import pytest
import torch

from bandwise.models.registry import create_model
from bandwise.settings import make_experiment
from bandwise.splits import make_folds
from bandwise.training.crossval import prepare
from bandwise.training.fold import train_fold

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@pytest.mark.parametrize("name", ["#8", "#15", "#18", "#21"])
def test_logits_equal_those_of_the_cpu(name):
    torch.manual_seed(0)
    model = create_model(name, size="small").eval()
    x = torch.randn(2, 48, 300)
    with torch.inference_mode():
        expected = model(x)
        found = model.cuda()(x.cuda()).cpu()
    torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-3)


@pytest.mark.parametrize("recipe", [{}, {"precision": "bf16"}, {"crops": "wave"}])
def test_a_fold_trains(toy_settings, tmp_path, recipe):
    settings = dict(toy_settings) | {"accelerator": "gpu", "store": str(tmp_path / "store")}
    settings["recipe"] = toy_settings["recipe"] | recipe
    prepared = prepare(make_experiment("#15", settings.pop("corpus"), **settings))
    fold = make_folds(prepared.material.corpus, 3, group=None).folds[0]
    outcome = train_fold(prepared.material, fold, tmp_path / "run")
    assert np.isfinite(outcome.best).all()
    np.testing.assert_allclose(outcome.best.sum(axis=1), 1, atol=1e-3)

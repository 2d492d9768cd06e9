"""Checkpoints made with the authors' code: their parameter names to ours."""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor, nn

from bandwise.errors import BandwiseError
from bandwise.models.bbnn import Bbnn
from bandwise.models.ecapa import EcapaTdnn

# In order; each rewrites what the ones before left. Patterns are tried on the whole name.
_ECAPA = [
    (r"mid_band_extractor\.", ""),  # the trunk of the single-band CCS rows
    (r"^(conv1|bn1|layer[123]\.)", r"band1.\1"),  # one band is the first of one
    (r"^band(\d)\.conv1\.", r"band\1.first_conv.conv."),
    (r"^band(\d)\.bn1\.", r"band\1.first_conv.norm."),
    (r"^band(\d)\.layer(\d)\.", r"band\1.blocks.\2."),
    (r"^layer4\.(weight|bias)$", r"last_conv.0.\1"),
    (r"^layer4\.", "last_conv."),
    (r"\.conv1\.", ".reduce.conv."),
    (r"\.bn1\.", ".reduce.norm."),
    (r"\.convs\.(\d)\.", r".res2.\1.conv."),
    (r"\.bns\.(\d)\.", r".res2.\1.norm."),
    (r"\.conv3\.", ".expand.conv."),
    (r"\.bn3\.", ".expand.norm."),
    (r"\.upsample\.", ".shortcut."),
    (r"\.se\.se\.1\.", ".se.squeeze."),
    (r"\.se\.se\.3\.", ".se.excite."),
    (r"^attention\.0\.", "pooling.hidden.conv."),
    (r"^attention\.2\.", "pooling.hidden.norm."),
    (r"^attention\.4\.", "pooling.score."),
    (r"^bn5\.", "classifier.0."),
    (r"^fc6\.", "classifier.1."),
    (r"^bn6\.", "classifier.2."),
]
_BBNN = [
    (r"^dense_blocks\.dense(\d)\.", r"units.\1."),
    (r"^transition_blocks\.", "transition."),
]
_COUNT_FROM_ZERO = re.compile(r"(?<=units\.|locks\.)\d(?=\.)")  # units.1, blocks.1: theirs count from one
# ResNet and VGG have the same names here and there.
_RULES: dict[type[nn.Module], list[tuple[str, str]]] = {EcapaTdnn: _ECAPA, Bbnn: _BBNN}


def load_published_state_dict(model: nn.Module, state_dict: Mapping[str, Tensor]) -> nn.Module:
    """Fill a model with weights trained with the authors' code.

    Args:
        model: From ``create_model``; most simply of the row that the checkpoint belongs to.
        state_dict: Their names; a ``module.`` prefix (DDP) is allowed, front-end buffers (``torchfbank.*``) and
            ``num_batches_tracked`` are ignored.

    Returns:
        The same model, for chaining. Nothing is changed where an error is raised.

    Raises:
        ValueError: Names or shapes do not fit; the message says which.
    """
    wanted = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    rules = _RULES.get(type(model), [])
    ours: dict[str, Tensor] = {}
    problems: list[str] = []
    for name, value in state_dict.items():
        plain = name.removeprefix("module.")
        if plain.startswith("torchfbank.") or plain.endswith("num_batches_tracked"):
            continue
        target = _our_name(plain, rules)
        if target not in wanted:
            problems.append(f"{name} has no place in this model")
        elif wanted[target].shape != value.shape:
            problems.append(f"{name} is {tuple(value.shape)} but the model has {tuple(wanted[target].shape)}")
        else:
            ours[target] = value
    missing = [name for name in wanted if name not in ours]
    if missing and not problems:
        problems = [f"nothing fills {name}" for name in missing]
    if problems:
        more = f" (and {len(problems) - 3} more)" if len(problems) > 3 else ""
        raise BandwiseError("the checkpoint does not fit the model: " + "; ".join(problems[:3]) + more)
    model.load_state_dict(ours, strict=False)
    return model


def _our_name(name: str, rules: list[tuple[str, str]]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    if rules:
        name = _COUNT_FROM_ZERO.sub(lambda m: str(int(m[0]) - 1), name)
    return re.sub(r"^band(\d)\.", lambda m: f"extractors.{int(m[1]) - 1}.", name)

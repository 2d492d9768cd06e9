"""What paper.md and its figures say of the networks, read from the networks themselves; fills paper.md's tables."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

import torch
from torch import nn

from bandwise import create_model
from bandwise.paper import ROWS
from bandwise.settings import Recipe, paper_recipe

PLAIN, CCS, FSA = "#8", "#12", "#15"  # vanilla; s = 512, c = 1024; the same with four bands
FRAMES = 211  # no layer is that wide, so it can be told apart in a shape


class Traced:
    """A network on the meta device and the shapes that its modules saw in one forward pass."""

    def __init__(self, name: str, **overrides: Any) -> None:
        self.inputs: dict[str, torch.Size] = {}
        self.outputs: dict[str, torch.Size] = {}
        with torch.device("meta"):
            self.model = create_model(name, **overrides).eval()
            for path, module in self.model.named_modules():
                module.register_forward_hook(lambda _m, x, y, path=path: self._keep(path, x[0], y))
            self.model(torch.zeros(1, self.model.config.mels, FRAMES))

    def _keep(self, path: str, x: Any, y: Any) -> None:
        self.inputs[path] = x.shape
        if isinstance(y, torch.Tensor):
            self.outputs[path] = y.shape
        else:  # a feature extractor gives lists of continuous and of stop maps
            for kind, maps in zip(("continuous", "stop"), y, strict=True):
                self.outputs |= {f"{path}.{kind}.{k}": f.shape for k, f in enumerate(maps)}

    def into(self, path: str) -> str:
        return shape_text(self.inputs[path])

    def out(self, path: str) -> str:
        return shape_text(self.outputs[path])

    def change(self, path: str) -> str:
        return f"{self.inputs[path][1]} → {self.outputs[path][1]}"

    def size(self, path: str = "") -> str:
        count = parameters(self.model.get_submodule(path))
        return f"{count / 1e6:.2f} M" if count >= 1e6 else f"{count / 1e3:.0f} k"


def shape_text(shape: torch.Size) -> str:
    return " × ".join("T" if n == FRAMES else str(n) for n in shape[1:])


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def kernel(convolution: nn.Conv1d) -> int:
    return convolution.kernel_size[0]


def components_table(net: Traced) -> str:
    """Give the paper's Table 1 as the modules of the vanilla network have it."""
    rows = ["| layer | structure | output | parameters |", "|---|---|---|---:|"]

    def row(layer: str, structure: str, path: str) -> None:
        rows.append(f"| {layer} | {structure} | {net.out(path)} | {parameters(net.model.get_submodule(path)):,} |")

    def conv(convolution: nn.Conv1d) -> str:
        return f"Conv1D({kernel(convolution)}, {convolution.stride[0]}, {convolution.dilation[0]})"

    extractor = net.model.extractors[0]
    row("Fst-Conv", conv(extractor.first_conv.conv), "extractors.0.first_conv")
    for k, block in enumerate(extractor.blocks):
        path = f"extractors.0.blocks.{k}"
        row(f"B{k + 1}", conv(block.reduce.conv), f"{path}.reduce")
        row("", f"{len(block.res2)} × Res2 {conv(block.res2[0].conv)}, each", f"{path}.res2.0")
        rows[-1] = rows[-1].rsplit("|", 2)[0] + f"| {parameters(block.res2):,} |"
        row("", conv(block.expand.conv), f"{path}.expand")
        row("", f"SE-Block, {block.se.squeeze.out_channels} hidden", f"{path}.se")
    row("Last-Conv", conv(net.model.last_conv[0]), "last_conv")
    row("Pooling", f"ASP, {net.model.pooling.score.in_channels} hidden", "pooling")
    row("Classifier", "batch norm, FC, batch norm", "classifier")
    return "\n".join(rows)


def parameter_table() -> str:
    """Give the parameters of every row that is a network: counted in the authors' code, and here."""
    lines = ["| row | system | authors' code | bandwise | difference |", "|---|---|---:|---:|---:|"]
    for row in ROWS.values():
        names = [row.name] + ([f"{row.name}-as-published"] if row.as_published else [])
        for name in names:
            if row.epochs is None:
                continue
            with torch.device("meta"):
                ours = parameters(create_model(name))
            theirs = row.parameters_in_published_code
            cells = (f"{theirs:,}", f"{ours:,}", f"{ours - theirs:+,}") if theirs else ("–", f"{ours:,}", "–")
            lines.append(f"| `{name}` | `{row.system}` | " + " | ".join(cells).replace("+0", "0") + " |")
    return "\n".join(lines)


def recipe_table() -> str:
    """Give the published training of every network: one column for neighbouring rows with the same recipe."""
    groups: list[tuple[str, dict[str, Any]]] = []
    trained = [row for row in ROWS.values() if row.epochs is not None]
    for recipe, rows in groupby(trained, key=lambda row: Recipe(**paper_recipe(row)).model_dump()):
        names = [row.name for row in rows]
        groups.append((names[0] if len(names) == 1 else f"{names[0]}–{names[-1]}", recipe))
    lines = ["| `recipe.…` | " + " | ".join(name for name, _ in groups) + " |", "|---|" + "---|" * len(groups)]
    for setting, field in Recipe.model_fields.items():
        cells = [str(recipe[setting]) if _applies(setting, recipe) else "" for _, recipe in groups]
        same = all(recipe[setting] == field.default for _, recipe in groups)
        if any(cells) and not (same and setting in ("stop_after", "label_smoothing")):
            lines.append(f"| `{setting}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _applies(setting: str, recipe: dict[str, Any]) -> bool:
    """Whether a setting does anything beside the others."""
    schedules = {"lr_min": ("cosine",), "gamma": ("exponential", "plateau"), "patience": ("plateau",)}
    if setting == "test_crops":
        return bool(recipe["test"] == "crops")
    if setting in ("stop_after", "stop_delta"):
        return recipe["stop_after"] is not None
    return recipe["schedule"] in schedules.get(setting, (recipe["schedule"],))


def fill(page: str, marker: str, content: str) -> str:
    """Put content between ``<!-- marker -->`` and ``<!-- /marker -->``."""
    pattern = re.compile(rf"(<!-- {marker} -->\n).*?(<!-- /{marker} -->)", re.DOTALL)
    page, count = pattern.subn(lambda m: f"{m[1]}\n{content}\n\n{m[2]}", page)
    if count != 1:
        raise SystemExit(f"paper.md needs <!-- {marker} --> and <!-- /{marker} --> once, not {count} times")
    return page


def filled(page: str) -> str:
    """Bring the tables of paper.md up to date."""
    for marker, table in (
        ("table 1", components_table(Traced(PLAIN))),
        ("recipes", recipe_table()),
        ("parameters", parameter_table()),
    ):
        page = fill(page, marker, table)
    return page

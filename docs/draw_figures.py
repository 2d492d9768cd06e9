"""Redraws Figures 1–3 of the paper from the networks that bandwise builds, and fills the tables of paper.md.

    python docs/draw_figures.py

Every number comes from a full-size network: from its modules, or from shapes that hooks saw in a forward pass. The
networks live on torch's meta device, which computes shapes without weights, so this takes seconds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle
from paper_tables import CCS, FSA, PLAIN, Traced, filled, kernel
from torch import nn

from bandwise import create_frontend
from bandwise.files import replacing, write_text

HERE = Path(__file__).resolve().parent
INK, MUTED, BLUE, ORANGE, GREEN = "#1b1f24", "#5b6570", "#0072b2", "#d55e00", "#00795a"
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "bandwise", "mathtext.fontset": "dejavusans", "font.size": 8.5}


class Canvas:
    """A white figure whose coordinates are inches, and the few shapes that the drawings are made of."""

    def __init__(self, width: float, height: float) -> None:
        self.figure = Figure(figsize=(width, height), facecolor="#ffffff")
        self.axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set(xlim=(0, width), ylim=(0, height))
        self.axes.set_axis_off()

    def text(self, x: float, y: float, text: str, **how: Any) -> None:
        self.axes.text(x, y, text, **{"ha": "center", "va": "center", "color": INK, "linespacing": 1.35, **how})

    def box(self, x: float, y: float, w: float, h: float, text: str, title: str = "", colour: str = MUTED) -> None:
        """Draw a box with a bold title above its text; x and y are its lower left corner."""
        shape = FancyBboxPatch(
            (x, y), w, h, boxstyle="round,pad=0,rounding_size=0.06", fc=tint(colour), ec=colour, lw=1, zorder=3
        )
        self.axes.add_patch(shape)
        lines = text.count("\n") + 1 if text else 0
        middle = y + h / 2
        if title:
            self.text(x + w / 2, middle + 0.082 * lines, title, weight="bold", zorder=4)
            middle -= 0.082
        self.text(x + w / 2, middle, text, zorder=4)

    def plus(self, x: float, y: float) -> None:
        self.axes.add_patch(Circle((x, y), 0.09, fc="#ffffff", ec=INK, lw=1, zorder=4))
        for dx, dy in ((0.05, 0), (0, 0.05)):
            self.axes.plot([x - dx, x + dx], [y - dy, y + dy], color=INK, lw=1, zorder=5)

    def line(self, *points: tuple[float, float], colour: str = INK, arrow: bool = True, width: float = 1.1) -> None:
        """Draw a path of straight pieces; white beneath it keeps crossings legible."""
        xs, ys = zip(*points, strict=True)
        self.axes.plot(xs, ys, color="#ffffff", lw=width + 3, zorder=1.5, solid_capstyle="butt")
        self.axes.plot(xs, ys, color=colour, lw=width, zorder=2, solid_capstyle="round", solid_joinstyle="round")
        if arrow:
            style = {"arrowstyle": "-|>,head_width=0.22,head_length=0.42", "color": colour, "lw": width}
            style |= {"shrinkA": 0, "shrinkB": 0}
            self.axes.annotate("", points[-1], points[-2], arrowprops=style, zorder=2.5)


def tint(colour: str) -> str:
    """Give a pale form of a colour."""
    return matplotlib.colors.to_hex([1 - 0.1 * (1 - v) for v in matplotlib.colors.to_rgb(colour)])


def figure_1(net: Traced) -> Figure:
    """Draw the whole network (one band, no channel separation)."""
    extractor = net.model.extractors[0]
    draw = Canvas(8.4, 4.0)
    top, h, y = 3.78, 0.94, 2.48
    middle = y + h / 2
    draw.box(0.1, y, 0.98, h, f"{net.into('')}\nminus mean\nover T", "log-mel")
    first = extractor.first_conv.conv
    text = f"Conv k {kernel(first)}, {net.change('extractors.0.first_conv')}\n{net.out('extractors.0.first_conv')}\n"
    draw.box(1.38, y, 1.56, h, text + net.size("extractors.0.first_conv"), "Fst-Conv", BLUE)
    draw.line((1.08, middle), (1.38, middle))
    width, step, x = 1.24, 1.8, 3.36
    draw.line((2.94, middle), (x, middle))
    inputs = ["$X$", "$I_2$"]
    for k, block in enumerate(extractor.blocks):
        path = f"extractors.0.blocks.{k}"
        text = f"SE-Res2Block\ndilation {block.res2[0].conv.dilation[0]}\n{net.out(path)}\n{net.size(path)}"
        draw.box(x, y, width, h, text, f"B{k + 1}", BLUE)
        draw.line((x + width / 2, y), (x + width / 2, 1.92))
        draw.text(x + width / 2 + 0.07, 2.2, f"$F_{k + 1}$", ha="left")
        if k < len(extractor.blocks) - 1:
            sum_x = x + width + 0.25
            draw.line((x + width, middle), (sum_x - 0.09, middle))
            draw.plus(sum_x, middle)
            draw.line((sum_x + 0.09, middle), (x + step, middle))
            draw.line((x - 0.16, middle), (x - 0.16, top), (sum_x, top), (sum_x, middle + 0.09))
            draw.text(x + width / 2, top - 0.15, inputs[k])
        x += step
    right = x - step + width
    draw.box(3.36, 1.58, right - 3.36, 0.34, f"Concatenation of $F_1$, $F_2$, $F_3$:  {net.into('last_conv')}")
    last = next(m for m in net.model.last_conv.modules() if isinstance(m, nn.Conv1d))
    text = f"Conv k {kernel(last)}, {net.change('last_conv')}\n{net.out('last_conv')},  {net.size('last_conv')}"
    draw.box(3.36, 0.3, 1.62, 0.86, text, "Last-Conv", BLUE)
    draw.line((4.17, 1.58), (4.17, 1.16))
    text = f"attentive statistics\n{net.into('pooling')} → {net.out('pooling')}\n{net.size('pooling')}"
    draw.box(5.22, 0.3, 1.5, 0.86, text, "Pooling", GREEN)
    text = f"{net.change('classifier')}\nlogits,  {net.size('classifier')}"
    draw.box(6.96, 0.3, right - 6.96, 0.86, text, "Classifier", GREEN)
    draw.line((4.98, 0.73), (5.22, 0.73))
    draw.line((6.72, 0.73), (6.96, 0.73))
    norm = "with" if any(isinstance(m, nn.BatchNorm1d) for m in net.model.last_conv.modules()) else "without"
    notes = f"row {PLAIN}: {net.size()} parameters\nshapes: channels × T frames\nConv: Conv1d, ReLU, batch norm\n"
    draw.text(0.1, 1.08, notes + f"Last-Conv: {norm} batch norm", ha="left", color=MUTED, linespacing=1.6)
    return draw.figure


def figure_2(net: Traced) -> Figure:
    """Draw the k-th block and how its output is separated (Equations 1–3)."""
    extractor, path = net.model.extractors[0], "extractors.0.blocks.0"
    block = extractor.blocks[0]
    groups, width = len(block.res2) + 1, block.group_width
    c, s = net.outputs["extractors.0.continuous.0"][1], net.outputs["extractors.0.stop.0"][1]
    draw = Canvas(8.4, 4.5)
    pitch, bottom = 0.43, 0.28
    ys = [bottom + pitch * (groups - 1 - i) for i in range(groups)]  # of the groups, the first on top
    middle = (ys[0] + ys[-1]) / 2
    low, tall = bottom - 0.13, ys[0] - bottom + 0.26
    draw.box(0.1, middle - 0.3, 0.74, 0.6, net.into(path), "$I_k$", BLUE)
    draw.line((0.84, middle), (1.08, middle))
    draw.box(1.08, low, 0.56, tall, text_of_change(net, f"{path}.reduce", block.reduce.conv), "Conv", BLUE)
    dilations = "/".join(str(b.res2[0].conv.dilation[0]) for b in extractor.blocks)
    for i, y in enumerate(ys):
        draw.line((1.64, y), (1.9, y))
        draw.box(1.9, y - 0.12, 0.4, 0.24, str(width))
        if i < groups - 1:
            start = 2.3
            if i:
                draw.line((2.3, y), (2.5, y), arrow=False)
                draw.plus(2.59, y)
                start = 2.68
            draw.line((start, y), (2.9, y))
            draw.box(2.9, y - 0.12, 1.06, 0.24, f"k {kernel(block.res2[i].conv)}, d {dilations}", colour=BLUE)
            draw.line((3.96, y), (4.28, y))
            if i < groups - 2:
                draw.line((4.1, y), (4.1, y - pitch / 2), (2.59, y - pitch / 2), (2.59, y - pitch + 0.09))
        else:
            draw.line((2.3, y), (4.28, y))
    draw.box(4.28, low, 0.56, tall, text_of_change(net, f"{path}.expand", block.expand.conv), "Conv", BLUE)
    draw.line((4.84, middle), (5.06, middle))
    squeezed, gated = net.change(f"{path}.se.squeeze").split(" → "), net.outputs[f"{path}.se.excite"][1]
    text = f"mean over T\n{squeezed[0]}\n↓ ReLU\n{squeezed[1]}\n↓ sigmoid\n{gated}"
    draw.box(5.06, middle - 0.72, 0.92, 1.44, text, "SE", GREEN)
    draw.line((5.98, middle), (6.14, middle))
    draw.plus(6.23, middle)
    # The way round, and the sum that the next block receives.
    around, above = 3.72, 4.22
    draw.line((0.3, middle + 0.3), (0.3, above), (7.06, above), (7.37, above))
    draw.line((0.64, middle + 0.3), (0.64, around), (6.23, around), (6.23, middle + 0.09))
    shortcut = f"shortcut: Conv1d k {kernel(block.shortcut)},  {net.change(f'{path}.shortcut')}"
    draw.box(1.9, around - 0.13, 2.36, 0.26, shortcut, colour=BLUE)
    # F_k as a bar of channels.
    bar, size = 6.58, 2.5
    split = middle - size / 2 + size * s / (c + s)
    draw.line((6.32, middle), (bar, middle))
    foot = middle - size / 2
    for colour, y, height in ((BLUE, split, size * c / (c + s)), (ORANGE, foot, size * s / (c + s))):
        draw.axes.add_patch(Rectangle((bar, y), 0.2, height, fc=colour, alpha=0.85, ec="#ffffff", lw=1, zorder=3))
    draw.text(bar + 0.1, foot - 0.14, f"$F_k$: {net.out(path)}")
    y = (split + foot + size) / 2
    draw.line((bar + 0.2, y), (8.3, y), colour=BLUE)
    draw.line((7.46, y), (7.46, above - 0.09), colour=BLUE)
    draw.plus(7.46, above)
    draw.line((7.55, above), (8.3, above))
    draw.text(7.92, above - 0.17, "$I_{k+1}$")
    draw.text(7.92, above - 0.38, "next block", color=MUTED)
    ends = (
        ("cont", "Last-Conv", f"c = {c}\nF[:, :{c}]", BLUE, y),
        ("stop", "Pooling", f"s = {s}\nF[:, {c}:]", ORANGE, None),
    )
    for kind, target, channels, colour, at in ends:
        if at is None:
            at = (foot + split) / 2
            draw.line((bar + 0.2, at), (8.3, at), colour=colour)
        draw.text(7.92, at + 0.14, target, color=colour)
        draw.text(6.9, at - 0.24, f"$F_k^{{\\mathrm{{{kind}}}}}$", color=colour, ha="left")
        draw.text(7.42, at - 0.25, channels, color=colour, ha="left")
    return draw.figure


def text_of_change(net: Traced, path: str, convolution: nn.Conv1d) -> str:
    return f"k {kernel(convolution)}\n{net.inputs[path][1]}\n↓\n{net.outputs[path][1]}"


def figure_3(net: Traced) -> Figure:
    """Draw the sub-bands and where their channels go."""
    model, layout = net.model, net.model.layout
    draw = Canvas(8.4, 4.7)
    low, tall, mels = 0.4, 3.9, model.config.mels
    image = draw.axes.imshow(
        example_spectrogram(mels), origin="lower", cmap="magma", extent=(0.42, 1.62, low, low + tall), aspect="auto",
        interpolation="none", zorder=1,
    )  # fmt: skip
    image.set_gid("spectrogram")
    draw.axes.set(xlim=(0, 8.4), ylim=(0, 4.7))  # imshow moves them
    draw.text(1.02, 0.22, f"log-mel, {net.into('')}", color=MUTED)
    for place in sorted({edge for bins in layout for edge in (bins.start, bins.stop)}):
        draw.text(0.36, low + tall * place / mels, str(place), ha="right", color=MUTED)
    out = {kind: net.outputs[f"extractors.0.{kind}.0"][1] for kind in ("continuous", "stop")}
    blues, oranges = 6.1, 5.94  # where the channels of all bands are gathered
    box_h, reach = 0.34, 0.3
    lines: dict[str, list[float]] = {"stop": [], "continuous": []}
    for g, (bins, extractor) in enumerate(zip(layout, model.extractors, strict=True)):
        y = low + tall * (bins.start + bins.stop) / 2 / mels
        x = 1.72 + 0.16 * (g % 2)
        edges = [low + tall * edge / mels for edge in (bins.start, bins.stop)]
        draw.axes.add_patch(Rectangle((x, edges[0]), 0.07, edges[1] - edges[0], fc=MUTED, lw=0, zorder=3))
        draw.line((x + 0.07, y), (2.74, y))
        draw.text(2.36, y + 0.13, f"[{bins.start}:{bins.stop}]")
        first = f"extractors.{g}.first_conv"
        draw.box(2.74, y - 0.24, 0.78, 0.48, net.change(first), "Fst-Conv", BLUE)
        draw.line((3.52, y), (3.72, y))
        for k in range(len(extractor.blocks)):
            left = 3.72 + 0.58 * k
            draw.box(left, y - box_h / 2, 0.4, box_h, f"B{k + 1}", colour=BLUE)
            if k:
                draw.line((left - 0.18, y), (left, y))
            for sign, colour in ((1, ORANGE), (-1, BLUE)):
                end = (left + 0.2, y + sign * reach)
                draw.line((left + 0.2, y + sign * box_h / 2), end, colour=colour, arrow=False)
        draw.line((3.92, y + reach), (oranges, y + reach), colour=ORANGE, arrow=False)
        draw.line((3.92, y - reach), (blues, y - reach), colour=BLUE, arrow=False)
        lines["stop"].append(y + reach)
        lines["continuous"].append(y - reach)
        draw.text(5.6, y + reach - 0.13, f"{len(extractor.blocks)} × {out['stop']}", color=ORANGE)
        draw.text(5.6, y - reach + 0.13, f"{len(extractor.blocks)} × {out['continuous']}", color=BLUE)
    pool_y, last_y = 3.3, 1.3
    draw.line((oranges, min(lines["stop"])), (oranges, max(lines["stop"])), colour=ORANGE, arrow=False)
    draw.line((blues, min(lines["continuous"])), (blues, max(lines["continuous"])), colour=BLUE, arrow=False)
    draw.line((oranges, pool_y), (6.3, pool_y), colour=ORANGE)
    draw.line((blues, last_y), (6.3, last_y), colour=BLUE)
    convolution = next(m for m in model.last_conv.modules() if isinstance(m, nn.Conv1d))
    kind = type(model.last_conv).__name__.replace("SERes2Block", "SE-Res2Block")
    text = f"{kind}\nk {kernel(convolution)}\n{net.change('last_conv')}\n{net.size('last_conv')}"
    draw.box(6.3, 0.62, 1.02, 1.36, text, "Last-Conv", BLUE)
    text = f"attentive\nstatistics\n{net.into('pooling')}\n↓\n{net.out('pooling')}\n{net.size('pooling')}"
    draw.box(6.3, 2.46, 1.02, 1.7, text, "Pooling", GREEN)
    draw.line((6.81, 1.98), (6.81, 2.46))
    draw.text(6.88, 2.22, net.out("last_conv"), ha="left")
    draw.box(7.5, 2.86, 0.84, 0.9, f"{net.change('classifier')}\n{net.size('classifier')}", "Classifier", GREEN)
    draw.line((7.32, pool_y), (7.5, pool_y))
    heads = [f"d {block.res2[0].conv.dilation[0]}" for block in model.extractors[0].blocks]
    for k, head in enumerate(heads):
        draw.text(3.92 + 0.58 * k, 4.52, head, color=MUTED)
    w, hop = layout[0].stop - layout[0].start, layout[-1].start - layout[-2].start
    draw.text(2.36, 4.52, f"w = {w}, h = {hop}", color=MUTED)
    draw.text(7.26, 4.52, f"row {FSA}: {net.size()} parameters", color=MUTED)
    note = f"{len(layout)} extractors of {net.size('extractors.0')}, one a sub-band;  orange: stop,  blue: continuous"
    draw.text(4.7, 0.22, note, color=MUTED)
    return draw.figure


def example_spectrogram(mels: int) -> np.ndarray:
    """Give the ``gtzan`` front end's picture of a few notes, as bytes so that rounding cannot show."""
    frontend = create_frontend("gtzan")
    t = torch.arange(2 * frontend.sample_rate, dtype=torch.float64) / frontend.sample_rate
    wave = torch.zeros_like(t)
    for beat, pitch in enumerate((220, 330, 440, 262, 392, 523, 294, 440)):
        since = t - beat / 4
        envelope = torch.exp(-6 * since.clamp(min=0)) * (since >= 0)
        wave += sum(envelope * torch.sin(2 * torch.pi * pitch * h * t) / h for h in range(1, 28))
    mel = frontend(wave.float() / wave.abs().max())[:mels, ::2].clamp(min=-9)
    return ((mel - mel.min()) / (mel.max() - mel.min()) * 255).round().byte().numpy()


def figures() -> dict[str, Figure]:
    """Draw all three."""
    drawn = {"figure-1": (figure_1, PLAIN), "figure-2": (figure_2, CCS), "figure-3": (figure_3, FSA)}
    with matplotlib.rc_context(STYLE):
        return {name: draw(Traced(row)) for name, (draw, row) in drawn.items()}


def save(figure: Figure, path: Path) -> None:
    """Write an SVG whose text stays text and whose bytes do not depend on the day."""
    with matplotlib.rc_context(STYLE), replacing(path) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})


def main() -> None:
    for name, figure in figures().items():
        save(figure, HERE / "images" / f"{name}.svg")
    page = HERE / "paper.md"
    if page.exists():
        write_text(page, filled(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main()

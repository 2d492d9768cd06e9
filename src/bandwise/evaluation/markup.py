"""A page of HTML in one file: tags that escape what they are given, figures as inline SVG, the style sheet."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterable, Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure

from bandwise.evaluation import plots
from bandwise.evaluation.phrases import visible

# Colours of the figures that follow the page's light or dark mode.
_VARIABLES = {plots.INK: "ink", plots.MUTED: "muted", plots.GRID: "line", plots.BLUE: "blue", plots.ORANGE: "orange"}


class Html(str):
    """Text that is HTML already and is not escaped again."""

    __slots__ = ()


def join(parts: Iterable[object]) -> Html:
    """String parts together, escaping those that are not ``Html``; ``None`` is passed over."""
    return Html("".join(p if isinstance(p, Html) else html.escape(visible(str(p))) for p in parts if p is not None))


def tag(name: str, *children: object, **attributes: str) -> Html:
    """Make an element; ``class_`` and ``aria_label`` become ``class`` and ``aria-label``.

    Example:
        >>> tag("p", "R&B ", tag("b", "<loud>"), class_="note")
        '<p class="note">R&amp;B <b>&lt;loud&gt;</b></p>'
    """
    words = "".join(f' {k.strip("_").replace("_", "-")}="{html.escape(v)}"' for k, v in attributes.items())
    return Html(f"<{name}{words}>{join(children)}</{name}>")


def table(head: Sequence[object], rows: Iterable[Sequence[object]], foot: Sequence[object] | None = None) -> Html:
    """Make a table that scrolls sideways on narrow screens; the first column names the row."""

    def line(cells: Sequence[object]) -> Html:
        first, *others = cells
        return tag("tr", tag("th", first, scope="row"), *[tag("td", cell) for cell in others])

    parts = [tag("thead", tag("tr", *[tag("th", cell, scope="col") for cell in head]))]
    parts.append(tag("tbody", *map(line, rows)))
    if foot is not None:
        parts.append(tag("tfoot", line(foot)))
    return tag("div", tag("table", *parts), class_="scroll")


def pairs(rows: Iterable[tuple[object, object]]) -> Html:
    """Make a table of names and values, both text."""
    lines = [tag("tr", tag("th", name, scope="row"), tag("td", value)) for name, value in rows]
    return tag("div", tag("table", tag("tbody", *lines), class_="pairs"), class_="scroll")


def details(summary: str, *children: object) -> Html:
    """Make a part that is folded away until somebody opens it."""
    return tag("details", tag("summary", summary), *children)


def figure(drawn: Figure, name: str, label: str) -> Html:
    """Embed a figure as SVG whose ink follows the page's colours.

    Args:
        drawn: The figure.
        name: Unique in the page: it keeps the ids inside the SVG apart from another figure's.
        label: What a screen reader says.
    """
    buffer = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}), plots.drawing():
        drawn.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # Metadata, namespaces and the global style rule mean nothing inside a page, or would leak into it.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    # Only inside tags: a genre may be called "#0072b2".
    svg = re.sub(r"<[^>]*>", lambda match: _follow_page(match[0], name), svg)
    width = round(drawn.get_figwidth() * 72)
    opening = f'<svg role="img" aria-label="{html.escape(label)}" style="min-width:{min(width, 520)}px" '
    return tag("figure", Html(svg.replace("<svg ", opening, 1)))


def page(title: str, *body: object) -> Html:
    """Make the whole document."""
    head = tag("head", Html('<meta charset="utf-8">'),
               Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
               Html('<meta name="color-scheme" content="light dark">'),
               tag("title", title), tag("style", Html(STYLE)))  # fmt: skip
    return Html(f'<!DOCTYPE html>\n<html lang="en">\n{head}\n{tag("body", tag("main", *body))}\n</html>\n')


def _follow_page(opening: str, name: str) -> str:
    opening = re.sub(r' xmlns(:\w+)?="[^"]*"', "", opening)
    opening = re.sub(r'(\bid="|href="#|url\(#)', rf"\1{name}-", opening)
    opening = re.sub(r"'DejaVu Sans'[^;\"]*", "var(--sans)", opening)
    for colour, variable in _VARIABLES.items():
        opening = opening.replace(colour, f"var(--{variable})")
    return opening


STYLE = """
:root{--sans:system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK KR",sans-serif;
 --mono:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;
 --page:#fff;--card:#f5f7f9;--ink:#1b1f24;--muted:#5b6570;--line:#d5dbe1;--blue:#0072b2;--orange:#d55e00;
 --note:#eef5fb;--warn:#fff4e5;--warn-edge:#d98200}
@media screen and (prefers-color-scheme:dark){:root{color-scheme:dark;
 --page:#14171b;--card:#1d2227;--ink:#e4e8ec;--muted:#9aa5b0;--line:#363e46;--blue:#56b4e9;--orange:#f0903a;
 --note:#182633;--warn:#33270f;--warn-edge:#e0a030}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);font:16px/1.55 var(--sans)}
main{max-width:62rem;margin:0 auto;padding:2.5rem 1.25rem 4rem}
h1{font-size:1.75rem;line-height:1.25;margin:0 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.75rem 0 .75rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
p{margin:.6rem 0}.muted,.small{color:var(--muted)}.small{font-size:.875rem}
.box{margin:1rem 0;padding:.7rem 1rem;border-radius:.4rem;border-left:4px solid var(--blue);background:var(--note)}
.box.warn{background:var(--warn);border-color:var(--warn-edge)}
.box p{margin:.2rem 0}.box ul{margin:.2rem 0;padding-left:1.2rem}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(13.2rem,1fr));gap:.9rem;margin:1.25rem 0}
.card{background:var(--card);border:1px solid var(--line);border-radius:.6rem;padding:.9rem 1rem}
.card .name{font-size:.8rem;color:var(--muted)}
.card .big{font-size:2rem;font-weight:650;line-height:1.3;font-variant-numeric:tabular-nums}
.card.first .big{color:var(--blue)}.card .more{font-size:.8rem;font-variant-numeric:tabular-nums}
.scroll{overflow-x:auto;margin:.75rem 0}
table{border-collapse:collapse;width:100%;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{padding:.32rem .7rem;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th:first-child{text-align:left;padding-left:.2rem}
thead th{color:var(--muted);font-weight:600;vertical-align:bottom;white-space:normal}
tbody th{font-weight:500}tfoot th,tfoot td{font-weight:650;border-bottom:0}

.pairs th,.pairs td{text-align:left;vertical-align:top;white-space:normal;overflow-wrap:anywhere}
.pairs th{width:34%;color:var(--muted)}
figure{margin:1.25rem 0;overflow-x:auto}
svg{display:block;max-width:100%;height:auto;margin:0 auto;stroke-linejoin:round;stroke-linecap:butt}
details{margin:.6rem 0;border:1px solid var(--line);border-radius:.4rem;padding:.5rem .9rem}
summary{cursor:pointer;font-weight:600}
code,pre{font-family:var(--mono);font-size:.85rem}
pre{background:var(--card);border:1px solid var(--line);border-radius:.4rem;padding:.7rem 1rem;overflow-x:auto}
footer{margin-top:3rem;color:var(--muted);font-size:.85rem}
@media print{body{font-size:10pt}main{max-width:none;padding:0}h2{break-after:avoid}
 .card,.box,figure,tr{break-inside:avoid}.box,.card{print-color-adjust:exact;-webkit-print-color-adjust:exact}
 figure,.scroll{overflow:visible}svg{min-width:0!important}
 details::details-content{content-visibility:visible;block-size:auto}}
"""

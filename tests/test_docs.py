"""The documentation against the code: figures, tables, quoted lines, names, settings, links and commands."""

import ast
import re
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matplotlib
import pytest
import torch
import typer

from bandwise.apps.cli import app
from bandwise.errors import BandwiseError
from bandwise.models.ecapa import EcapaConfig
from bandwise.models.registry import resolve_config
from bandwise.paper import ROWS
from bandwise.settings import Experiment, Recipe
from bandwise.training.crossval import ESTIMATORS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [page for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))) if page.exists()]
PAPER = DOCS / "paper.md"
NAMES = ("figure-1", "figure-2", "figure-3")
FENCE = re.compile(r"^( *)(```+)(\w*)\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def docs():
    """The two scripts of docs/, which lie outside the package."""
    sys.path.insert(0, str(DOCS))
    try:
        import draw_figures
        import paper_tables
    finally:
        sys.path.remove(str(DOCS))
    return draw_figures, paper_tables


@pytest.fixture(scope="module")
def drawn(docs):
    return docs[0].figures()


def svg_texts(path):
    """What can be read in a drawing, in order; a formula is one entry."""
    found = ElementTree.parse(path).getroot().iter("{http://www.w3.org/2000/svg}text")
    return ["".join(element.itertext()).strip() for element in found]


def prose(page):
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


# Figures


@pytest.mark.parametrize("name", NAMES)
def test_the_drawn_figures_say_what_the_networks_are_now(docs, drawn, name, tmp_path):
    docs[0].save(drawn[name], tmp_path / "new.svg")
    kept = svg_texts(DOCS / "images" / f"{name}.svg")
    assert svg_texts(tmp_path / "new.svg") == kept, "run python docs/draw_figures.py"
    assert len(kept) > 20


def test_a_drawing_has_the_same_bytes_every_time(docs, tmp_path):
    for name in ("a", "b"):
        with matplotlib.rc_context(docs[0].STYLE):
            figure = docs[0].figure_3(docs[1].Traced("#15"))
        docs[0].save(figure, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert b"<dc:date>" not in (tmp_path / "a").read_bytes()


def test_figure_1_has_the_numbers_of_the_papers_table_1():
    text = "\n".join(svg_texts(DOCS / "images" / "figure-1.svg"))
    for said in ("k 5", "dilation 2", "dilation 3", "dilation 4", "1024 × T", "1536 × T", "3072"):
        assert said in text, said
    assert "14.72 M" in text  # 14,721,054 in the authors' code


def test_figure_3_has_the_bands_of_section_3_2():
    text = svg_texts(DOCS / "images" / "figure-3.svg")
    assert [t for t in text if re.fullmatch(r"\[\d+:\d+\]", t)] == ["[0:18]", "[10:28]", "[20:38]", "[30:48]"]
    assert "w = 18, h = 10" in text
    assert "3072 → 1536" in text
    # What enters the pooling layer: Last-Conv's 1536 and 3 blocks of 512 stop channels; mean and deviation come out.
    assert f"{1536 + 3 * 512} × T" in text
    assert str(2 * (1536 + 3 * 512)) in text


def test_another_network_is_drawn_otherwise(docs, tmp_path):
    """Nothing is typed in: two bands of a narrower network change every number."""
    with matplotlib.rc_context(docs[0].STYLE):
        figure = docs[0].figure_3(docs[1].Traced("#15", bands=2, continuous=512, stop=64, num_classes=7))
    docs[0].save(figure, tmp_path / "two.svg")
    text = svg_texts(tmp_path / "two.svg")
    assert [t for t in text if t.startswith("[")] == ["[0:28]", "[20:48]"]
    assert text.count("3 × 256") == text.count("3 × 32") == 2
    assert any(t.endswith("→ 7") for t in text) and not any(t.endswith("→ 10") for t in text)
    assert not any("18" in t or "3072" in t for t in text)


@pytest.mark.parametrize("name", NAMES)
def test_no_text_of_a_drawing_overlaps_another_or_leaves_the_page(drawn, name):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = drawn[name]
    renderer = FigureCanvasAgg(figure).get_renderer()
    texts = [text for text in figure.axes[0].texts if text.get_text().strip()]
    boxes = [text.get_window_extent(renderer).padded(-1) for text in texts]
    page = figure.bbox
    for i, (text, box) in enumerate(zip(texts, boxes, strict=True)):
        assert page.x0 <= box.x0 and box.x1 <= page.x1, text.get_text()
        assert page.y0 <= box.y0 and box.y1 <= page.y1, text.get_text()
        for other, further in zip(texts[:i], boxes[:i], strict=True):
            assert not box.overlaps(further), (text.get_text(), other.get_text())


@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_a_box_fits_into_it(drawn, name):
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.patches import FancyBboxPatch

    figure = drawn[name]
    renderer = FigureCanvasAgg(figure).get_renderer()
    frames = [p.get_window_extent(renderer) for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    for text in figure.axes[0].texts:
        box = text.get_window_extent(renderer)
        middle = ((box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2)
        for frame in frames:
            if text.get_text() and frame.contains(*middle):
                assert frame.x0 <= box.x0 and box.x1 <= frame.x1, text.get_text()
                assert frame.y0 <= box.y0 + 1 and box.y1 - 1 <= frame.y1, text.get_text()


def test_traced_shapes_are_those_of_a_real_forward_pass(docs):
    """The meta device against arithmetic on the CPU."""
    traced = docs[1].Traced("#15", size="tiny")
    from bandwise import create_model

    model = create_model("#15", size="tiny").eval()
    seen = {}
    model.pooling.register_forward_hook(lambda _m, x, y: seen.update(into=x[0].shape, out=y.shape))
    model(torch.randn(1, 48, docs[1].FRAMES))
    assert (traced.inputs["pooling"], traced.outputs["pooling"]) == (seen["into"], seen["out"])


# Tables and words of paper.md


def test_the_tables_of_the_paper_page_are_up_to_date(docs):
    page = PAPER.read_text(encoding="utf-8")
    assert docs[1].filled(page) == page, "run python docs/draw_figures.py"
    assert "| `#15` | `ecapa-ccs-fsa-s512-c1024` | 21,722,270 | 21,722,270 | 0 |" in page


def test_a_table_is_put_between_its_marks_and_nowhere_else(docs):
    page = "a\n<!-- t -->\nold\n<!-- /t -->\nb\n"
    assert docs[1].fill(page, "t", "new") == "a\n<!-- t -->\n\nnew\n\n<!-- /t -->\nb\n"
    with pytest.raises(SystemExit, match="not 0 times"):
        docs[1].fill(page.replace("/t", "/u"), "t", "new")


def test_the_parts_of_table_1_add_up(docs):
    lines = docs[1].components_table(docs[1].Traced("#8")).splitlines()[2:]
    counts = [int(line.split("|")[-2].replace(",", "")) for line in lines]
    assert sum(counts) == ROWS[8].parameters_in_published_code


def test_quoted_lines_stand_in_the_code():
    page = PAPER.read_text(encoding="utf-8")
    quotes = re.findall(r"<!-- quote (\S+) -->\n```python\n(.*?)```", page, re.DOTALL)
    assert len(quotes) >= 3
    for path, quote in quotes:
        lines = [line.strip() for line in (ROOT / path).read_text(encoding="utf-8").splitlines()]
        at = 0
        for line in (line.strip() for line in quote.splitlines()):
            if line and line != "…":
                assert line in lines[at:], f"{path} no longer has {line!r} here; put paper.md right"
                at = lines.index(line, at) + 1


def defined_names(path):
    """Functions, classes, their methods, fields and attributes, and the constants of a module."""
    names = set()

    def visit(body, prefix):
        for node in body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                names.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            names.update(prefix + t.id for t in targets if isinstance(t, ast.Name))
            if prefix and isinstance(node, ast.FunctionDef):  # self.x = …, self.x: T
                stored = (n for n in ast.walk(node) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store))
                names.update(prefix + n.attr for n in stored)

    visit(ast.parse(path.read_text(encoding="utf-8")).body, "")
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_code_exists(page):
    """[`Class.method`](../src/….py) promises that the file has it."""
    for name, target in re.findall(r"\[`([\w.]+)`\]\(([^)#]+\.py)\)", prose(page)):
        if not name.endswith(".py"):
            assert name in defined_names(page.parent / target), f"{target} has no {name}"


def test_the_check_of_names_can_fail():
    names = defined_names(ROOT / "src/bandwise/models/ecapa.py")
    assert {"EcapaConfig.stop", "EcapaTdnn.last_conv", "DILATIONS", "FeatureExtractor.forward"} <= names
    assert "FeatureExtractor.backward" not in names


def test_the_relative_improvement_of_the_abstract():
    ours, bbnn, plain = (ROWS[n].published_accuracy for n in (27, 21, 22))
    page = prose(PAPER)
    assert f"{100 * (ours - bbnn) / bbnn:.1f} %" == "16.9 %"
    assert f"Improved by {100 * (ours - bbnn) / bbnn:.1f} %" in page
    assert f"{ours - bbnn:.1f} points" in page
    assert f"{ours - plain:.1f} points,\n  {100 * (ours - plain) / plain:.1f} % relative" in page


# Settings, links and commands of every page


def check_setting(name):
    """Whether ``--set name=…`` would find its setting."""
    first, _, rest = name.partition(".")
    fields = {"recipe": Recipe.model_fields, "overrides": EcapaConfig.__dataclass_fields__}.get(first)
    return rest in fields if rest and fields is not None else not rest and first in Experiment.model_fields


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page):
    spans = re.findall(r"`([^`\n]+)`", prose(page))
    named = [m[1] for s in spans if (m := re.match(r"((?:recipe|overrides)\.[a-z_]+)\b", s))]
    for name in named:
        assert check_setting(name), f"there is no setting {name}"


def test_the_deviations_change_back_with_settings_that_exist():
    table = prose(PAPER).partition("## Deviations")[2].partition("\n## ")[0]
    cells = [line.rstrip(" |").rpartition("|")[2] for line in table.splitlines() if line.startswith("|")]
    spans = [span for cell in cells for span in re.findall(r"`([^`]+)`", cell)]
    settings = [span.split("=")[0] for span in spans if "=" in span]
    systems = [span for span in spans if span.startswith("#")]
    assert len(settings) > 8 and len(systems) == 3
    for name in settings:
        assert check_setting(name), f"there is no setting {name}"
    for name in systems:
        resolve_config(name)


def anchors(page):
    """The headings of a page as GitHub links to them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page):
    text = prose(page)
    targets = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?:src|href|srcset)=\"([^\"]+)\"", text)
    for target in targets:
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name} links to {target}, which does not exist"
        assert place.is_relative_to(ROOT), target
        if anchor and place.suffix == ".md":
            assert anchor in anchors(place), f"{page.name} links to {target}: no such heading"


def commands(page):
    """The ``bandwise …`` calls of a page: (arguments, whether the call is whole)."""
    found = []
    for block in FENCE.finditer(page.read_text(encoding="utf-8")):
        if block[3] in ("python", "yaml", "math", "json", "bibtex"):
            continue
        lines = block[4].replace("\\\n", " ").splitlines()
        prompts = [line.strip().removeprefix("$ ") for line in lines if line.strip().startswith("$ ")]
        found += [(line, True) for line in prompts or lines]
    found += [(span, False) for span in re.findall(r"`([^`\n]+)`", prose(page))]
    for text, whole in found:
        words = arguments(text)
        if words is not None:
            yield words, whole


def arguments(line):
    """What follows ``bandwise`` in a line of shell, up to a pipe; ``None`` where it calls something else."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # prose with an apostrophe
        return None
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if not words or Path(words[0]).name != "bandwise":
        return None
    ends = [i for i, word in enumerate(words) if word and set(word) <= set("|;&<>")]
    return words[1 : ends[0] if ends else None]


def check_call(words, whole):
    """Raise what the command line would raise; of a call that is not whole, only names are looked at."""
    command, name = typer.main.get_command(app), "bandwise"
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            raise BandwiseError(f"{name} has no command {words[0]!r}")
        name, command, words = words[0], command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
    for word in words:
        if word.startswith("-") and len(word) > 1 and word.partition("=")[0] not in known | {"--help"}:
            raise BandwiseError(f"{name} has no option {word}")
    if whole and words and "--help" not in words and not hasattr(command, "commands"):
        try:
            context = command.make_context(name, list(words))
        except Exception as error:  # typer's own, by whatever name this version has for it
            raise BandwiseError(getattr(error, "message", str(error))) from error
        for setting in context.params.get("sets") or ():
            if not check_setting(setting.partition("=")[0]):
                raise BandwiseError(f"there is no setting {setting}")
        system = context.params.get("system")
        if system and system not in ESTIMATORS:
            resolve_config(system)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page):
    for words, whole in commands(page):
        try:
            check_call(words, whole)
        except BandwiseError as error:
            pytest.fail(f"{page.name}: bandwise {shlex.join(words)}: {error}")


@pytest.mark.parametrize(
    "line",
    [
        "bandwise trian",
        "bandwise data lisst",
        "bandwise systems --sized full",
        "OMP_NUM_THREADS=1 .venv/bin/bandwise crossval --corpus gtzan:/d --fold 3  # comment",
        "bandwise crossval --epochs many",
        "bandwise crossval --set recipe.learning_rate=1",
        "bandwise crossval --system ecapa-csc",
        "bandwise reproduce --rows 8",
        "bandwise predict song.mp3 | sort",
    ],
)
def test_the_check_of_commands_can_fail(line):
    with pytest.raises(BandwiseError):
        check_call(arguments(line), True)


def test_what_counts_as_a_command(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "`bandwise systems`, `import bandwise`, `pip install bandwise`\n\n"
        "```console\n$ bandwise predict a.mp3 \\\n    --model m | sort\nbandwise: not a command\n```\n\n"
        "```sh\nbandwise data list   # the kinds\n```\n\n```python\nbandwise.trian\n```\n"
    )
    assert list(commands(page)) == [
        (["predict", "a.mp3", "--model", "m"], True),
        (["data", "list"], True),
        (["systems"], False),
    ]

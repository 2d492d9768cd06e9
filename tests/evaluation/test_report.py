"""The report: sound HTML that loads nothing, escapes everything and says what a reader must know."""

import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from bandwise.evaluation import phrases
from bandwise.evaluation.report import text_summary, write_report

VOID = {"meta", "br", "link", "img", "path", "use"}


class Page(HTMLParser):
    """Checks that tags are closed in order and gathers text, ids, attributes and the rows of tables."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.attributes, self.words, self.rows = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, name, attributes):
        self.attributes += attributes
        self.ids += [value for key, value in attributes if key == "id"]
        if name not in ("meta",):
            self.open.append(name)
        if name == "tr":
            self.rows.append([])
        elif name in ("td", "th"):
            self.rows[-1].append("")

    def handle_startendtag(self, name, attributes):
        self.attributes += attributes
        self.ids += [value for key, value in attributes if key == "id"]

    def handle_endtag(self, name):
        assert self.open and self.open.pop() == name, f"</{name}> closes something else"

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data

    @property
    def text(self):
        return " ".join("".join(self.words).split())


@pytest.fixture
def report(tmp_path):
    def make(result, name="my run"):
        path = write_report(result, tmp_path / name)
        assert path == tmp_path / name / "report.html"
        return Page(path.read_text(encoding="utf-8"))

    return make


def test_figures_stand_in_the_page(run, report):
    text = report(run()).text
    # 7, 6 and 8 of 8: mean 87.5, SD 12.5; 6, 6 and 7: mean 79.2, SD 7.2
    expected = [
        "87.5 %",
        "± 12.5 (SD, 3 folds)",
        "95 % interval 56.4–100.0 %",
        "79.2 %",
        "± 7.2",
        "0.867",
        "25.0 %",
        "24 clips tested",
        "dealt in turn, seed 0",
        "size full",
        "best by validation",
        "last epoch",
        "1,234,567",
        "a <fast> CPU",
        "3 h 05 min",
        "Student's t",
        "2 degrees of freedom",
    ]
    for words in expected:
        assert words in text, words


def test_tables_of_folds_and_genres(run, report):
    rows = report(run()).rows
    # Fold 2 has both blues taken for R&B: F1 is 0, 4/6, 1, 1.
    assert ["2", "8", "75.0 %", "75.0 %", "0.667", "4 of 6", "75.0 %", "1 h 01 min"] in rows
    assert ["mean ± SD", "24 in all", "87.5 ± 12.5 %", "79.2 ± 7.2 %"] in [row[:4] for row in rows]
    assert ["blues", "6", "50.0 %", "100.0 %", "0.667", "R&B <b> (50.0 %)"] in rows
    assert ["R&B <b>", "6", "100.0 %", "66.7 %", "0.800", "–"] in rows


def test_nothing_is_loaded_from_anywhere(run, report, tmp_path, parts):
    page = report(run(caveat=parts.caveat))
    raw = (tmp_path / "my run" / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//[a-z]|<script|<link|<img|@import|<iframe", raw)
    assert all(re.fullmatch(r"url\(#[\w-]+\)", found) for found in re.findall(r"url\([^)]*\)", raw))
    references = [v for k, v in page.attributes if k in ("href", "xlink:href", "src")]
    assert references
    assert all(v.removeprefix("#") in page.ids for v in references)
    assert {v[5:-1] for v in re.findall(r"url\(#[^)]*\)", raw)} <= set(page.ids)


def test_ids_are_unique(run, report):
    ids = report(run()).ids
    assert len(ids) == len(set(ids)) > 100


def test_light_dark_narrow_and_paper(run, report, tmp_path):
    report(run())
    raw = (tmp_path / "my run" / "report.html").read_text(encoding="utf-8")
    for words in ("prefers-color-scheme:dark", "@media print", "width=device-width", 'lang="en"', "var(--ink)"):
        assert words in raw
    # Ink that does not follow the page's colours would vanish in dark mode.
    assert "#1b1f24" not in raw.partition("</style>")[2]


def test_names_from_data_are_escaped(run, report, tmp_path, parts):
    nasty = ("<script>alert(1)</script>", '"><img src=x onerror=y>', "R&amp;B", "#0072b2", "bell\x07\udcff", "$x$")
    page = report(run(genres=nasty, per_genre=3, caveat=parts.caveat, left_out=[("<b>x", "</table>")]), "a <b>")
    raw = (tmp_path / "a <b>" / "report.html").read_text(encoding="utf-8")
    assert "<script" not in raw and "onerror=y>" not in raw.replace("onerror=y&gt;", "")
    for name in (*nasty[:4], "bell\\x07\\udcff", "$x$"):
        assert page.text.count(name) >= 3, name  # in the table and both figures
    assert parts.caveat in page.text
    assert ["<b>x", "</table>"] in page.rows
    assert "--config 'a <b>/experiment.json'" in page.text


def test_the_caveat_stands_above_every_figure_and_in_each(run, report, parts):
    text = report(run(caveat=parts.caveat)).text
    assert text.index(parts.caveat) < text.index("Macro-F1")
    assert text.count(parts.caveat) == 2 + 4
    assert "What this corpus is" not in report(run(caveat="")).text


def test_a_run_that_is_not_comparable_says_why(run, report):
    text = report(run()).text
    assert "This figure is not comparable" in text
    for words in ("the corpus is folder, the paper's is gtzan", "3 folds instead of ten"):
        assert words in text
    # The published figure appears once, with the words beside it.
    assert text.count("87.9 %") == 1
    assert "For orientation only, not comparable: row #8 (ecapa, gtzan) is published with 87.9 %" in text
    assert "difference" not in text


def test_a_comparable_run_stands_beside_the_published_figure(gtzan, report):
    # 100 clips a fold; 8 and 12 mistakes in turn give 90.0 %, the last epoch's 9 and 10 give 90.5 %
    result = gtzan(system="ecapa-ccs-fsa-s512-c1024")
    page = report(result)
    assert ["published, row #15 (ecapa-ccs-fsa-s512-c1024, gtzan)", "90.2 %", "", ""] in page.rows
    assert ["this run, best epoch by validation", "90.0 %", "−0.2 points", "inside the 95 % interval"] in page.rows
    assert ["this run, last epoch", "90.5 %", "+0.3 points", "inside the 95 % interval"] in page.rows
    assert "not comparable" not in page.text
    assert "#15 published 90.2 %, this run −0.2 points" in text_summary(result)


def test_a_row_with_a_note_shows_it(gtzan, report):
    assert "the authors' own logs show 91.1 to 91.3 on test" in report(gtzan(system="bbnn")).text


def test_warnings(run, gtzan, report):
    random = report(run()).text
    assert "random by track although this corpus knows artist" in random
    assert "--group artist" in random
    assert "Small sample: 24 clips were tested, 6 of blues" in random
    grouped = report(run(group="artist", finished=2)).text
    assert "random by track" not in grouped
    assert "Unfinished: 2 of 3 folds" in grouped
    assert "2 of 3 folds · " in grouped
    assert phrases.warnings_of(gtzan()) == []


def test_a_published_split_is_not_blamed_for_its_folds(run):
    result = run()
    result["folds"]["published"] = True
    assert not [line for line in phrases.warnings_of(result) if "random by track" in line]


def test_one_split(run, report):
    text = report(run(count=1, wrong=(2,))).text
    assert "one split · " in text
    assert "Wilson" in text
    assert "75.0 %" in text
    assert "SD" not in text


def test_a_system_without_epochs(run, report):
    result = run(history=0, system="mfcc-svm")
    page = report(result)
    assert "last epoch" not in page.text
    assert "epoch kept" not in page.text
    assert "Learning curves" not in page.text
    assert ["2", "8", "75.0 %"] in [row[:3] for row in page.rows if len(row) == 5]
    assert "last epoch" not in text_summary(result)


def test_many_genres_and_a_genre_without_clips(run, report):
    genres = [f"genre {i}" for i in range(28)]
    result = run(genres=genres, per_genre=3)
    best = result["figures"]["best"]
    best["confusion"][5], best["recall"][5] = [0] * 28, None
    rows = report(result).rows
    assert ["genre 5", "0", "–", "–", "–", "–"] in rows
    assert sum(row[0] in genres for row in rows if len(row) == 6) == 28


def test_left_out_tracks_are_listed_up_to_a_limit(run, report):
    page = report(run(left_out=[(f"lost {i}", "is empty") for i in range(300)]))
    assert "Tracks left out: 301" in page.text
    assert ["lost 198", "is empty"] in page.rows
    assert ["lost 199", "is empty"] not in page.rows
    assert "and 101 more" in page.text


def test_settings_versions_and_the_command(run, report):
    result = run()
    page = report(result, "my run")
    assert "bandwise crossval --config 'my run/experiment.json' --out 'my run-again'" in page.text
    assert ["recipe.lr", "0.001"] in page.rows
    assert ["store", "–"] in page.rows
    assert ["numpy", result["environment"]["versions"]["numpy"]] in page.rows


def test_text_summary_is_short_and_complete(run, parts):
    summary = text_summary(run(caveat=parts.caveat, group="artist"))
    lines = summary.splitlines()
    assert 7 <= len(lines) <= 10
    assert lines[0] == "ecapa on folder: 3 folds"
    assert "87.5 ± 12.5 % (95 % interval 56.4 to 100.0)" in lines[1]
    assert "79.2 ± 7.2 %" in lines[2]
    assert "0.867" in lines[3] and "25.0 %" in lines[3]
    assert "not comparable" in summary and parts.caveat in summary
    assert "87.9" not in summary


def test_the_largest_genre_is_named_where_it_is_more_than_chance(run):
    result = run()
    result["figures"]["best"]["confusion"][0][0] = 27
    assert phrases.chance(result) == pytest.approx((0.25, 30 / 48))
    assert "always the largest genre 62.5 %" in text_summary(result)


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (None, "–"),
        (3.04, "3.0 s"),
        (59.4, "59.4 s"),
        (60, "1 min 00 s"),
        (3599.7, "1 h 00 min"),
        (7384, "2 h 03 min"),
    ],
)
def test_durations(seconds, written):
    assert phrases.duration(seconds) == written


@pytest.mark.parametrize(("value", "written"), [(-0.34, "−0.3 points"), (0.04, "±0.0 points"), (1.26, "+1.3 points")])
def test_differences(value, written):
    assert phrases.points(value) == written


def test_the_terminals_summary_does_not_wait_for_matplotlib():
    code = "import sys, bandwise.evaluation.report as r; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""Figures: what is drawn is what the result says, and every name fits on the page."""

import warnings
from itertools import pairwise

import matplotlib.image
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from bandwise.evaluation import plots


def texts(figure):
    """Every text that is shown, the title and the footer included."""
    from matplotlib.text import Text

    return [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def words(figure):
    return " ".join(" ".join(text.get_text() for text in texts(figure)).split())


def render(figure):
    FigureCanvasAgg(figure).draw()
    return figure


def line_labelled(axes, label):
    return next(line for line in axes.lines if line.get_label() == label)


def test_png_files_are_written_whole(run, tmp_path, parts):
    written = plots.write_plots(run(caveat=parts.caveat), tmp_path / "plots")
    assert [path.name for path in written] == ["folds.png", "recall.png", "confusion.png", "learning-curves.png"]
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {path.name for path in written}
    for path in written:
        image = matplotlib.image.imread(path)
        height, width = image.shape[:2]
        assert 300 < height < 3000
        assert 500 < width < 3000
        assert image[..., :3].std() > 0.05
        assert image[0, 0, :3].tolist() == [1, 1, 1]


def test_every_figure_carries_the_caveat_and_says_what_it_shows(run, parts):
    for figure in plots.figures_of(run(caveat=parts.caveat)).values():
        assert parts.caveat in words(figure)
        assert "ecapa on folder, 3 folds" in words(figure)
    for figure in plots.figures_of(run(caveat="")).values():
        assert not figure.get_supxlabel()


def test_confusion_shows_counts_and_shares(run):
    (axes,) = plots.confusion_figure(run()).axes
    # Half of the first genre's six clips were taken for the second.
    shown = {text.get_position()[::-1]: text.get_text() for text in axes.texts}
    assert shown == {(0, 0): "3", (0, 1): "3", (1, 1): "6", (2, 2): "6", (3, 3): "6"}
    cells = {
        (round(p.get_y() + 0.5), round(p.get_x() + 0.5)): p for p in axes.patches if isinstance(p, Rectangle)
    }  # fmt: skip
    assert to_hex(cells[0, 0].get_facecolor()) != to_hex(cells[0, 1].get_facecolor())
    assert cells[0, 0].get_alpha() == cells[0, 1].get_alpha() < cells[1, 1].get_alpha() == 1
    assert [label.get_text() for label in axes.get_yticklabels()] == ["blues", "R&B <b>", "A$AP $ \\frac", "jazz"]


def test_large_counts_are_shortened(run):
    result = run()
    result["figures"]["best"]["confusion"][1][1] = 61_270
    (axes,) = plots.confusion_figure(result).axes
    assert "61k" in [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("classes", [2, 10, 28, 40])
def test_names_and_counts_fit(run, classes):
    genres = [f"genre {i} with a name that is far too long" if i % 5 == 0 else f"g{i}" for i in range(classes)]
    result = run(genres=genres, per_genre=3, wrong=(3,))
    for figure in (plots.confusion_figure(result), plots.recall_figure(result)):
        render(figure)
        page = figure.bbox
        for text in texts(figure):
            box = text.get_window_extent()
            assert box.x0 >= 0 and box.x1 <= page.x1 + 1 and box.y0 >= 0 and box.y1 <= page.y1, text.get_text()
        boxes = [label.get_window_extent() for label in figure.axes[0].get_yticklabels()]
        tops = sorted((box.y0, box.y1) for box in boxes)
        assert all(upper[0] >= lower[1] - 2 for lower, upper in pairwise(tops))
        assert max(figure.get_size_inches()) < 20


def test_recall_bars_are_sorted_and_true(run):
    (axes,) = plots.recall_figure(run()).axes
    assert [bar.get_width() for bar in axes.patches] == [100, 100, 100, 50]
    assert axes.get_yticklabels()[3].get_text() == "blues"
    assert [text.get_text() for text in axes.texts] == ["100.0 % of 6"] * 3 + ["50.0 % of 6"]


def test_a_genre_without_clips_stands_last_without_a_bar(run):
    result = run()
    best = result["figures"]["best"]
    best["recall"][1], best["confusion"][1] = None, [0, 0, 0, 0]
    (axes,) = plots.recall_figure(result).axes
    assert len(axes.patches) == 3
    assert axes.get_yticklabels()[3].get_text() == "R&B <b>"
    assert axes.texts[3].get_text() == "no test clip"


def test_folds_show_best_last_mean_and_interval(run):
    (axes,) = plots.folds_figure(run()).axes
    assert line_labelled(axes, "fold, best by validation").get_ydata() == pytest.approx([87.5, 75, 100])
    assert line_labelled(axes, "fold, last epoch").get_ydata() == pytest.approx([75, 75, 87.5])
    assert line_labelled(axes, "mean, best by validation").get_ydata() == pytest.approx([87.5, 87.5])
    (band,) = axes.patches
    assert (band.get_y(), band.get_y() + band.get_height()) == pytest.approx((56.448, 100), abs=1e-3)


def test_folds_of_one_split_and_of_an_unfinished_run(run):
    (axes,) = plots.folds_figure(run(count=1)).axes
    assert [line.get_label() for line in axes.lines] == ["fold, best by validation", "fold, last epoch"]
    figure = plots.folds_figure(run(finished=2))
    assert "2 of 3" in words(figure)
    assert figure.axes[0].get_xlim()[1] > 3


def test_learning_curves_average_what_was_measured(run):
    left, right = plots.learning_curves_figure(run()).axes
    mean = line_labelled(left, "training, mean of folds")
    assert mean.get_xdata() == pytest.approx(range(1, 7))
    # 2 / epoch, plus 0.1, 0.2 and 0.3 in the three folds
    assert mean.get_ydata() == pytest.approx([2 / e + 0.2 for e in range(1, 7)])
    valid = line_labelled(right, "validation, mean of folds")
    assert valid.get_xdata() == pytest.approx([2, 4, 6])
    assert valid.get_ydata() == pytest.approx([70, 75, 100 * (0.8 - 0.2 / 6)])
    kept = line_labelled(right, "epoch kept, by fold")
    assert (kept.get_xdata()[0], kept.get_ydata()[0]) == (4, 75)
    # a thin line for each of the three folds
    assert len([line for line in left.lines if line.get_linewidth() < 1]) == 3


def test_folds_that_ended_early_or_diverged_do_not_spoil_the_mean(run):
    result = run()
    del result["per_fold"][0]["history"][4:]
    result["per_fold"][1]["history"][5]["train_loss"] = float("nan")
    left, _ = plots.learning_curves_figure(result).axes
    values = line_labelled(left, "training, mean of folds").get_ydata()
    assert values[4:] == pytest.approx([2 / 5 + 0.25, 2 / 6 + 0.3])


def test_one_epoch_is_visible(run):
    left, right = plots.learning_curves_figure(run(history=1)).axes
    assert left.lines[-1].get_marker() == "o"
    render(right.figure)


def test_a_system_without_epochs_has_no_curves_and_no_last_epoch(run, tmp_path):
    result = run(history=0)
    assert plots.learning_curves_figure(result) is None
    assert "last epoch" not in words(plots.folds_figure(result))
    assert len(plots.write_plots(result, tmp_path / "plots")) == 3


def test_names_in_any_script_and_formulas_are_plain_text(run, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plots.write_plots(
            run(genres=("발라드", "$\\frac{$", "été 🎸", "_^_"), caveat="costs $5 or $6"), tmp_path / "p"
        )


def test_drawing_leaves_global_settings_alone(run, tmp_path):
    before = dict(matplotlib.rcParams)
    plots.write_plots(run(), tmp_path / "plots")
    assert dict(matplotlib.rcParams) == before

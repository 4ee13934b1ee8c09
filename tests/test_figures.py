import numpy as np
import pytest
from matplotlib.figure import Figure

from recon_anomaly.errors import InputError
from recon_anomaly.figures import (
    Page,
    entitle,
    in_lines,
    legend_beside,
    plain_frame,
    scores_and_labels,
)


def record(**changes):
    """Return the keys of a bench's record that are read here, with some values changed."""
    return {
        "model": "cae",
        "model_params": {},
        "test_set": "defects",
        "scores": [0.5, 2.0],
        "labels": [0, 1],
    } | changes


def test_scores_and_labels_are_arrays():
    """Lists of a record become floats and integers in their order."""
    scores, labels = scores_and_labels(record())
    assert (scores.dtype, scores.tolist()) == (np.float64, [0.5, 2.0])
    assert (labels.dtype.kind, labels.tolist()) == ("i", [0, 1])


@pytest.mark.parametrize(
    "scores", [[], [1.0], [1.0, 2.0, 3.0], [1.0, float("nan")], [1.0, float("inf")], [1.0, None]]
)
def test_scores_that_do_not_fit_are_refused(scores):
    """Too few, too many, missing or infinite scores raise an error that names the model."""
    with pytest.raises(InputError, match="cae on defects has"):
        scores_and_labels(record(scores=scores))


def test_an_empty_record_is_refused():
    """No scores for no labels are no figures either."""
    with pytest.raises(InputError, match="0 scores"):
        scores_and_labels(record(scores=[], labels=[]))


def test_long_text_goes_into_lines():
    """No line is longer than asked, and no word is lost."""
    text = "one two three four five"
    broken = in_lines(text, 9)
    assert max(map(len, broken.split("\n"))) <= 9
    assert broken.split() == text.split()


def test_dollars_are_no_formula():
    """A name with two dollars, one of them nothing that a formula could have, is drawn as it is."""
    figure = Figure()
    entitle(figure, "$a$ \\frac{ $x_$")
    figure.draw_without_rendering()
    assert figure.get_suptitle().count(r"\$") == 4


def test_a_title_keeps_its_lines():
    """Lines of the title stay lines, and one that is too long for the figure is broken."""
    figure = Figure(figsize=(2, 2))  # 24 letters
    entitle(figure, "short\n" + "word " * 10)
    assert [len(line) for line in figure.get_suptitle().split("\n")] == [5, 24, 24]


def test_the_frame_has_two_sides():
    """The left and the lower side are left."""
    axes = Figure().add_subplot()
    plain_frame(axes)
    assert {side for side, spine in axes.spines.items() if spine.get_visible()} == {
        "left",
        "bottom",
    }


def test_a_page_is_measured_from_its_upper_left_corner():
    """Axes of 1 by 2 inches, an inch from the left and the top of a page of 4 by 5 inches."""
    page = Page(4, 5)
    x, y, width, height = page.place(1, 1, 1, 2).get_position().bounds
    assert (x, y, width, height) == pytest.approx((0.25, 0.4, 0.25, 0.4))
    page.write(2, 1, "$5 \udcff", 10)
    assert page.figure.texts[0].get_position() == pytest.approx((0.5, 0.8))
    assert page.figure.texts[0].get_text() == "\\$5 ?"


def test_the_title_of_a_page_fits_its_width():
    """Lines of a title are drawn within the page, however long its words are."""
    lines = Page.lines("a-very-long-name-without-spaces" * 4 + " and more", 6)
    page = Page(6, 2)
    page.write(0.3, 0.1, "\n".join(lines), Page.TITLE)
    box = page.figure.texts[0].get_window_extent()
    assert len(lines) > 1
    assert box.x1 < page.figure.bbox.x1
    assert box.height <= (len(lines) * Page.LINE + 0.02) * page.figure.dpi


def test_a_legend_can_be_reordered():
    """Entries stand in the order that was asked for, right of the axes."""
    axes = Figure(layout="constrained").add_subplot()
    for name in "abc":
        axes.plot([1, 2], label=name)
    legend_beside(axes, [2, 0, 1])
    axes.figure.draw_without_rendering()
    legend = axes.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["c", "a", "b"]
    assert legend.get_window_extent().x0 > axes.get_window_extent().x1

import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.weightlines import weight_lines, weights_change


def record(weights, paths=None, terms=("reconstruction", "kl")):
    """Return a record whose epochs have these weights, a tuple each, and paths."""
    history = History(terms, len(weights))
    for number, these in enumerate(weights):
        path = tuple(paths[number]) if paths else ()
        by_term = dict(zip(terms, these, strict=True))
        history.records.append(EpochRecord(number + 1, {}, {}, by_term, 1e-4, path=path))
    return {"history": history.to_dict()}


def drawn(one):
    """Return the figure of a record, drawn, and its axes."""
    figure = weight_lines(one, "a title")
    figure.draw_without_rendering()
    return figure, figure.axes[0]


def test_each_term_has_a_line():
    """The points of a line are the weights of its term; the legend is in words."""
    _, axes = drawn(record([(1.0, 1.0), (1.0, 0.6), (0.9, 0.2)]))
    first, second = axes.lines
    assert (first.get_label(), second.get_label()) == ("reconstruction", "KL divergence")
    assert list(first.get_xdata()) == [1, 2, 3]
    assert first.get_ydata().tolist() == [1.0, 1.0, 0.9]
    assert second.get_ydata().tolist() == [1.0, 0.6, 0.2]


def test_lines_on_each_other_are_seen():
    """A line that is drawn later is narrower than each that may lie below it, and of its own colour."""
    _, axes = drawn(record([(1.0,) * 6] * 2, terms=tuple("abcdef")))
    widths = [line.get_linewidth() for line in axes.lines]
    assert widths == sorted(set(widths), reverse=True)
    assert len({line.get_color() for line in axes.lines}) == 6


def test_branches_are_marked():
    """A dashed line stands where a branch went on, between epochs, with its name in words."""
    weights = [(1.0, 1.0)] * 10 + [(1.0, 0.5)] * 10 + [(0.5, 0.5)] * 10
    paths = [()] * 10 + [("III",)] * 10 + [("III", "V")] * 10
    _, axes = drawn(record(weights, paths))
    assert [line.get_xdata()[0] for line in axes.lines[2:]] == [10.5, 20.5]
    texts = [" ".join(text.get_text().split()) for text in axes.texts]
    assert texts == ["III: KL divergence falls", "V: reconstruction falls"]


def test_the_names_of_short_stages_do_not_overlap():
    """Where stages have little room, the names of the branches stand alone and apart."""
    weights = [(1.0, 1.0)] * 30 + [(1.0, 0.5 - 0.01 * number) for number in range(30)]
    paths = [()] * 30 + [("II",) * (1 + number // 3) for number in range(30)]
    figure, axes = drawn(record(weights, paths))
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 10
    assert not any(
        one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number]
    )
    title = next(text for text in figure.texts if text.get_text() == "a title")
    assert not any(title.get_window_extent().overlaps(box) for box in boxes)


@pytest.mark.parametrize(
    ("weights", "scale"),
    [
        ([(1.0, 1.0), (1.0, 1e-10)], "linear"),
        ([(1.0, 0.02)], "linear"),
        ([(1.0, 0.01)], "symlog"),
        ([(500.0, 1.0), (500.0, 1e-10)], "symlog"),
        ([(1.0, 0.0)], "linear"),
        ([(0.0, 0.0)], "linear"),
    ],
)
def test_the_axis_is_logarithmic_where_terms_weigh_otherwise(weights, scale):
    """From a factor of 100 between the highest weights of two terms on; how far one falls is no matter."""
    _, axes = drawn(record(weights))
    assert axes.get_yscale() == scale


def test_weights_change_or_not():
    """One epoch that differs from the first is enough."""
    for weights, changes in (
        [[(1.0, 1.0)] * 3, False],
        [[(1.0, 1.0), (1.0, 0.9)], True],
        [[], False],
    ):
        assert weights_change(History.from_dict(record(weights)["history"])) is changes


def test_no_epochs_are_refused():
    """A history without epochs has no lines."""
    with pytest.raises(InputError, match="no epochs"):
        weight_lines(record([]), "title")

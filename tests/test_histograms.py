from itertools import pairwise

import numpy as np
import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.histograms import histograms
from recon_anomaly.rows import rows_of


def record(model="cae", seed=1, **changes):
    """Return a record such as a bench writes: scores from 0 to 19, the upper eight anomalous."""
    return {
        "model": model,
        "model_params": {},
        "scorer": "mse",
        "seed": seed,
        "test_set": "defects",
        "epochs": 5,
        "schedule": "constant",
        "schedule_params": {},
        "scores": [float(number) for number in range(20)],
        "labels": [0] * 12 + [1] * 8,
        "decisions": {"quantile": {"threshold": 10.5}},
    } | changes


def panels(*records):
    """Return the axes of the figure of the records, drawn."""
    figure = histograms(rows_of(records), "a title")
    figure.draw_without_rendering()
    return figure.axes


def heights(axes):
    """Return the counts of the bins by class, and the edges of each."""
    stairs = {patch.get_label(): patch.get_data() for patch in axes.patches}
    counts = {label: values for label, (values, _, _) in stairs.items()}
    return counts, [edges for _, edges, _ in stairs.values()]


def test_every_picture_is_counted_once():
    """Good and anomalous pictures stand in the same bins, each in the one that has its score."""
    counts, (edges, others) = heights(panels(record())[0])
    np.testing.assert_array_equal(edges, others)
    for name, scores in (("good", range(12)), ("anomalous", range(12, 20))):
        by_hand = [
            sum(low <= score < high or score == high == edges[-1] for score in scores)
            for low, high in pairwise(edges)
        ]
        assert counts[name].tolist() == by_hand
        assert sum(by_hand) == len(scores)


def test_each_model_has_a_panel():
    """Panels come in the order of the records."""
    found = panels(record("cvae"), record("pca"), record("cae"))
    assert [axes.get_title(loc="left") for axes in found] == ["cvae", "pca", "cae"]


def test_seeds_are_averaged():
    """Two seeds give the mean height over them, and a threshold each."""
    other = record(seed=2, decisions={"quantile": {"threshold": 12.0}})
    (axes,) = panels(record(), other)
    counts, _ = heights(axes)
    assert (counts["good"].sum(), counts["anomalous"].sum()) == (12, 8)
    assert [line.get_xdata()[0] for line in axes.lines] == [10.5, 12.0]
    assert axes.get_title(loc="left") == "cae (mean of 2 seeds)"


def test_the_threshold_is_seen():
    """A threshold beyond all scores still lies on the axis, and the legend names it."""
    figure = histograms({"cae": [record(decisions={"quantile": {"threshold": 40.0}})]}, "a title")
    low, high = figure.axes[0].get_xlim()
    assert low < 40 < high
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["good", "anomalous", "threshold, from the validation pictures"]


def test_without_the_rule_there_is_no_line():
    """A record whose decisions lack the validation rule has bins and no threshold."""
    (axes,) = panels(record(decisions={}))
    assert not axes.lines
    assert len(axes.patches) == 2


@pytest.mark.parametrize(("label", "name"), [(0, "good"), (1, "anomalous")])
def test_one_class_is_shown_alone(label, name):
    """Where all pictures are of one class, its bins alone are drawn."""
    counts, _ = heights(panels(record(labels=[label] * 20))[0])
    assert list(counts) == [name]
    assert counts[name].sum() == 20


@pytest.mark.parametrize(
    ("scores", "scale"),
    [
        ([0.01, 0.99], "linear"),
        ([0.01, 1.0], "log"),
        ([1e-9, 5.0], "log"),
        ([0.0, 5.0], "linear"),
        ([-1e3, -1.0], "linear"),
    ],
)
def test_the_axis_is_logarithmic_where_scores_span_decades(scores, scale):
    """From a factor of 100 between positive scores on the axis is logarithmic, with all in its bins."""
    one = record(scores=scores, labels=[0, 1], decisions={"quantile": {"threshold": scores[0]}})
    (axes,) = panels(one)
    assert axes.get_xscale() == scale
    counts, _ = heights(axes)
    assert [values.sum() for values in counts.values()] == [1, 1]


@pytest.mark.parametrize(
    "scores", [[0.0, 0.0], [0.3, 0.3], [0.3, np.nextafter(0.3, 1)], [-7.0, -7.0]]
)
def test_equal_scores_have_bins(scores):
    """Scores that are equal, or all but equal, are drawn in bins of some width, without a warning."""
    one = record(scores=scores, labels=[0, 1], decisions={"quantile": {"threshold": scores[0]}})
    counts, (edges, _) = heights(panels(one)[0])
    assert (np.diff(edges) > 0).all()
    assert [values.sum() for values in counts.values()] == [1, 1]


def test_titles_legend_and_axes_do_not_overlap():
    """Ten models: the title is above all panels, the legend below them, and no panel on another."""
    figure = histograms({f"model-{n}": [record()] for n in range(10)}, "first line\nsecond line")
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert not any(
        one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number]
    )
    assert not any(figure.legends[0].get_window_extent().overlaps(box) for box in boxes)
    (title,) = (text for text in figure.texts if "second line" in text.get_text())
    assert not any(title.get_window_extent().overlaps(box) for box in boxes)


def test_nothing_to_draw_is_refused():
    """No rows raise an error, and make no empty figure."""
    with pytest.raises(InputError, match="nothing to draw"):
        histograms({}, "a title")


def test_schedules_have_panels_of_their_own():
    """One model trained by two schedules has a panel for each."""
    found = panels(record(), record(schedule="awl-auc"), record(seed=2, schedule="awl-auc"))
    titles = [axes.get_title(loc="left") for axes in found]
    assert titles == ["cae, constant", "cae, awl-auc (mean of 2 seeds)"]

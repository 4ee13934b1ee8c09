import numpy as np
import pytest
from sklearn.metrics import auc, precision_recall_curve

from recon_anomaly.curves import curves, precision_recall, styles
from recon_anomaly.errors import InputError
from recon_anomaly.rows import rows_of


def record(model="cae", seed=1, **changes):
    """Return a record such as a bench writes, with scores of that seed."""
    rng = np.random.default_rng([seed, len(model)])
    labels = [0] * 12 + [1] * 8
    return {
        "model": model,
        "model_params": {},
        "scorer": "mse",
        "seed": seed,
        "test_set": "defects",
        "epochs": 5,
        "schedule": "constant",
        "schedule_params": {},
        "scores": (rng.normal(size=20) + labels).tolist(),
        "labels": labels,
    } | changes


def drawn(records, title="a title"):
    """Return the figure of the records, and its lines by their legend's text."""
    rows = rows_of(records)
    figure = precision_recall(rows, styles(rows), title)
    figure.draw_without_rendering()
    return figure, {line.get_label(): line for line in figure.axes[0].lines}


def by_hand(labels, scores):
    """Return recall and precision at each cut, from nothing to everything called anomalous."""
    points = {(0.0, 1.0)}
    for cut in scores:
        called = [score >= cut for score in scores]
        right = sum(label for label, call in zip(labels, called, strict=True) if call)
        points.add((right / sum(labels), right / sum(called)))
    return points


def test_a_curve_is_that_of_scikit_learn():
    """The points drawn are those of precision_recall_curve, and those of plain counting."""
    one = record()
    precision, recall, _ = precision_recall_curve(one["labels"], one["scores"])
    _, lines = drawn([one])
    (line,) = (line for label, line in lines.items() if label.startswith("cae"))
    np.testing.assert_array_equal(line.get_xdata(), recall)
    np.testing.assert_array_equal(line.get_ydata(), precision)
    found = set(zip(recall.tolist(), precision.tolist(), strict=True))
    assert found == by_hand(one["labels"], one["scores"])


def test_the_legend_has_the_area():
    """The legend says the trapezoidal area under the very line, as the tables print shares."""
    one = record()
    _, lines = drawn([one])
    line = next(iter(lines.values()))
    area = f"{auc(line.get_xdata(), line.get_ydata()):.3f}".removeprefix("0")
    assert list(lines) == [f"cae, PR-AUC {area}", "every picture called anomalous, precision .400"]


def test_a_perfect_area_keeps_its_one():
    """Scores that split the classes have the area 1.000."""
    perfect = record(scores=list(range(20)))
    assert "cae, PR-AUC 1.000" in drawn([perfect])[1]


def test_seeds_share_colour_and_legend():
    """Three seeds are three thinner lines in one style; the legend has their mean area, once."""
    records = [record(seed=seed) for seed in (1, 2, 3)]
    figure, lines = drawn([*records, record("cvae")])
    mean = np.mean([curve.area for curve in curves(rows_of(records))["cae"]])
    assert f"cae, PR-AUC {mean:.3f} (mean of 3 seeds)".replace("0.", ".", 1) in lines
    *seeds, single, _ = figure.axes[0].lines
    assert len({(line.get_color(), line.get_linewidth()) for line in seeds}) == 1
    assert seeds[0].get_linewidth() < single.get_linewidth()
    assert len(figure.axes[0].get_legend().get_texts()) == 3


def test_calling_everything_anomalous_is_a_line():
    """The dashed horizontal line is at the share of anomalous pictures."""
    figure, _ = drawn([record()])
    line = figure.axes[0].lines[-1]
    assert set(line.get_ydata()) == {8 / 20}
    assert line.get_linestyle() == "--"


def test_records_without_a_curve_are_left_out():
    """A record with one class has no curve, and where all are such there is no figure."""
    one_class = record("pca", labels=[0] * 20)
    assert list(curves(rows_of([one_class, record()]))) == ["cae"]
    with pytest.raises(InputError, match="both good and anomalous"):
        precision_recall(rows_of([one_class]), {}, "title")


def test_every_style_is_its_own():
    """Six networks more than there are colours, and four trivial models, all look different."""
    networks = [f"net-{number}" for number in range(12)]
    trivial = ["mean", "brightness", "pca", "nearest"]
    found = styles(rows_of([record(name) for name in [*networks, *trivial]]))
    assert list(found) == [*networks, *trivial]
    assert len({(style.colour, style.line) for style in found.values()}) == 16


def test_trivial_models_are_thin_and_gray():
    """Red, green and blue of a trivial model's colour are equal, and its line thinner."""
    found = styles(rows_of([record("cae"), record("pca")]))
    colour = found["pca"].colour
    assert colour[1:3] == colour[3:5] == colour[5:7]
    assert found["pca"].width < found["cae"].width


def test_parameters_make_another_model():
    """One model with other parameters has a curve and a style of its own."""
    rows = rows_of([record(), record(model_params={"n": 3})])
    assert list(curves(rows)) == list(styles(rows)) == ["cae", "cae (n=3)"]
    assert len(set(styles(rows).values())) == 2


def test_no_curve_leaves_the_axes():
    """The lower end of the precision axis lies below every curve, and is no less than 0."""
    worst = record(scores=[-label for label in record()["labels"]])
    figure, lines = drawn([record(), worst])
    lowest = min(min(line.get_ydata()) for line in lines.values())
    assert 0 <= figure.axes[0].get_ylim()[0] <= lowest


def test_the_legend_does_not_lie_over_curves():
    """The legend begins right of the axes and ends within the figure, with many long names too."""
    figure, _ = drawn([record(f"model-{n}", model_params={"weights": "x" * 80}) for n in range(9)])
    axes = figure.axes[0]
    legend = axes.get_legend().get_window_extent()
    frame = axes.get_window_extent()
    assert legend.x0 > frame.x1
    assert legend.x1 <= figure.bbox.x1
    assert frame.width > figure.bbox.width / 3

import numpy as np
import pytest

from recon_anomaly.epochbars import auroc_bars, measured
from recon_anomaly.errors import InputError
from recon_anomaly.figures import BLUE
from recon_anomaly.history import EpochRecord, History


def record(auroc=(0.7, 0.9, 0.8), observed=None, kept=2, changing=False):
    """Return a record whose epochs have these figures on validation and on test pictures."""
    history = History(("reconstruction", "kl"), len(auroc), kept_epoch=kept)
    for number, figure in enumerate(auroc, start=1):
        weights = {"reconstruction": 1.0, "kl": 1e-10 if changing and number > 1 else 1.0}
        figures = {} if figure is None else {"auroc": figure}
        history.records.append(EpochRecord(number, {}, {}, weights, 1e-4, figures))
    seen = [{"epoch": number, "auroc": one} for number, one in enumerate(observed or [], start=1)]
    return {"history": history.to_dict(), "observed": seen or None}


def drawn(rows):
    """Return the figure of the rows, drawn, its panels of bars, and those of weights."""
    figure = auroc_bars(rows, "a title\nof two lines")
    figure.draw_without_rendering()
    bars = [axes for axes in figure.axes if axes.get_ylabel() == "AUROC"]
    return figure, bars, [axes for axes in figure.axes if axes.get_ylabel() == "weight"]


def legend(axes):
    """Return the entries of the legend, each in one line."""
    return [" ".join(text.get_text().split()) for text in axes.get_legend().get_texts()]


def test_test_figures_come_first():
    """What was observed on the test pictures is an oracle's; else validation figures are taken."""
    found = measured(record(observed=[0.5, 0.6, 0.4]))
    assert (found.epochs.tolist(), found.auroc.tolist(), found.oracle) == (
        [1, 2, 3],
        [0.5, 0.6, 0.4],
        True,
    )
    found = measured(record())
    assert (found.auroc.tolist(), found.oracle) == ([0.7, 0.9, 0.8], False)


def test_epochs_without_a_figure_are_left_out():
    """A run that went on after it was stopped has seen fewer epochs than it trained."""
    one = record(auroc=(None, 0.9, 0.8))
    assert measured(one).epochs.tolist() == [2, 3]
    assert measured(record(auroc=(None, None))) is None
    assert measured({"history": None, "observed": None}) is None
    assert measured({}) is None


def test_bars_are_the_figures():
    """One bar an epoch, as high as its AUROC; the kept one is dark, the highest has a mark."""
    _, (axes,), _ = drawn({"awl-auc": record(observed=[0.5, 0.6, 0.7])})
    every, kept = axes.containers
    assert [bar.get_height() for bar in every] == [0.5, 0.6, 0.7]
    assert [bar.get_x() + bar.get_width() / 2 for bar in every] == pytest.approx([1, 2, 3])
    (bar,) = kept
    assert (bar.get_height(), bar.get_x() + bar.get_width() / 2) == pytest.approx((0.6, 2))
    assert bar.get_facecolor() == pytest.approx((0, 0x72 / 255, 0xB2 / 255, 1)), BLUE
    (mark,) = axes.lines
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (3, 0.7)
    assert legend(axes) == [
        "after each epoch, on test pictures (oracle)",
        "epoch 2, which was kept: .600",
        "highest, epoch 3: .700",
    ]


def test_validation_figures_are_no_oracle():
    """The legend says on which pictures the figure was taken."""
    _, (axes,), _ = drawn({"awl-auc": record()})
    assert legend(axes)[0] == "after each epoch, on validation pictures"


def test_a_kept_epoch_that_was_not_seen_has_no_bar():
    """Without its figure the kept epoch is not in the legend."""
    _, (axes,), _ = drawn({"awl-auc": record(auroc=(0.7, None, 0.8))})
    assert len(axes.containers) == 1
    assert legend(axes) == ["after each epoch, on validation pictures", "highest, epoch 3: .800"]


def test_weights_stand_below_where_they_change():
    """The adaptive training has an axis of weights, with the same epochs; the conventional one none."""
    _, bars, weights = drawn({"constant": record(), "awl-auc": record(changing=True)})
    assert [axes.get_title(loc="left") for axes in bars] == ["constant", "awl-auc"]
    (below,) = weights
    assert below.lines[1].get_ydata().tolist() == [1.0, 1e-10, 1e-10]
    assert below.get_xlim() == bars[1].get_xlim()
    assert below.get_position().y1 < bars[1].get_position().y0 < bars[0].get_position().y0
    assert below.get_xlabel() == "epoch"


def test_panels_share_their_axes():
    """Trainings of other lengths and heights have the same ends, beyond all bars but not beyond 1."""
    rows = {"a": record((0.2, 0.3)), "b": record((0.99, 0.9, 0.99, 0.9, 0.95))}
    _, (one, other), _ = drawn(rows)
    assert one.get_ylim() == other.get_ylim()
    low, high = one.get_ylim()
    assert 0 <= low < 0.2
    assert high == 1
    assert one.get_xlim() == other.get_xlim()
    assert np.less([one.get_xlim()[0], 5.4], [0.6, one.get_xlim()[1]]).all()


def test_equal_figures_have_room():
    """An AUROC that never moves has an axis with two ends."""
    _, (axes,), _ = drawn({"a": record((1.0, 1.0))})
    assert axes.get_ylim()[0] < 1


def test_nothing_to_draw_is_refused():
    """No rows, or one without any AUROC, raise an error."""
    for rows in ({}, {"a": record(), "b": record((None,))}):
        with pytest.raises(InputError, match="nothing to draw"):
            auroc_bars(rows, "title")


def test_nothing_overlaps():
    """Title, panels and legends lie apart, within the figure, with long names."""
    rows = {
        f"a long name of a schedule (milestones=[1, 2, {n}]) " * 2: record(changing=True)
        for n in range(3)
    }
    figure, *_ = drawn(rows)
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    boxes += [text.get_window_extent() for text in figure.texts if text.get_text()]
    assert not any(
        one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number]
    )
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)

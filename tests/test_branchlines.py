import json

import pytest

from recon_anomaly.branchlines import branch_losses
from recon_anomaly.errors import InputError
from recon_anomaly.figures import BLUE
from recon_anomaly.history import EpochRecord, History, LostBranch

RED = "#CC3311"


def epochs(start, losses, path=(), **weights):
    """Return epochs after one, of these losses and weights."""
    weights = {"reconstruction": 1.0, "kl": 1.0} | weights
    return [
        EpochRecord(
            start + number, {}, {"reconstruction": loss, "kl": 0.0}, weights, 1e-4, path=path
        )
        for number, loss in enumerate(losses, start=1)
    ]


def record(chosen="III", others=("I", "II"), lost_epochs=2, stages=1, value=5.0):
    """Return a record whose history has a trunk of 3 epochs and stages of 2."""
    history = History(("reconstruction", "kl"), 3 + 2 * stages, epochs(0, [9.0, 8.0, 7.0]))
    for _ in range(stages):
        start = len(history.records)
        for name in others:
            path = (*history.path, name)
            falls = {"II": {"kl": 0.5}, "III": {"reconstruction": 0.5}}.get(name, {})
            weights = history.records[-1].weights | falls
            records = tuple(epochs(start, [6.0, 5.0][:lost_epochs], path, **weights))
            history.lost.append(LostBranch(path, records, value))
        history.path = (*history.path, chosen)
        falls = {} if chosen == "I" else {"reconstruction": 0.5}
        history.records += epochs(start, [5.0, 4.0], history.path, **falls)
    return {"history": json.loads(json.dumps(history.to_dict()))}


def drawn(one):
    """Return the figure of a record, drawn, and its panels."""
    figure = branch_losses(one, "first line\nsecond line")
    figure.draw_without_rendering()
    return figure, figure.axes


def legend(figure):
    """Return the entries of the figure's legend."""
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_each_stage_has_a_panel():
    """The trunk and both stages have one each, which says what goes on."""
    _, panels = drawn(record(stages=2))
    assert [axes.get_title(loc="left") for axes in panels] == [
        "trunk, epochs 1 to 3",
        "stage 1, epochs 4 to 5: III goes on",
        "stage 2, epochs 6 to 7: III goes on",
    ]


def test_the_conventional_is_blue_and_the_chosen_red():
    """Branch I is blue, the one that goes on red, any other neither; each has its points."""
    _, (trunk, stage) = drawn(record())
    (line,) = trunk.lines
    assert (line.get_color(), line.get_ydata().tolist()) == (BLUE, [9, 8, 7])
    conventional, other, chosen = stage.lines
    assert (conventional.get_color(), chosen.get_color()) == (BLUE, RED)
    assert other.get_color() not in (BLUE, RED)
    assert chosen.get_xdata().tolist() == [3, 4, 5]
    assert chosen.get_ydata().tolist() == [7, 5, 4]
    widths = [line.get_linewidth() for line in (other, conventional, chosen)]
    assert widths == sorted(widths)  # and so none hides another that it lies on
    assert chosen.zorder < conventional.zorder < other.zorder


def test_the_conventional_can_be_the_chosen():
    """Then its line is red and blue."""
    _, (_, stage) = drawn(record(chosen="I", others=("II", "III")))
    line = stage.lines[0]
    assert (line.get_color(), line.get_gapcolor()) == (RED, BLUE)


def test_the_legend_is_in_words():
    """Each branch is named once, with what its weights did in any of the stages."""
    figure, _ = drawn(record(stages=2))
    assert legend(figure) == [
        "I: weights stay",
        "II: KL divergence falls",
        "III: reconstruction falls",
        "the branch that goes on",
    ]


@pytest.mark.parametrize(
    ("changes", "word", "marker"),
    [({"lost_epochs": 1}, "dropped", "o"), ({"value": None}, "diverged", "x")],
)
def test_dropped_branches_end_with_a_mark(changes, word, marker):
    """A branch that did not reach the stage's end has a mark at its last epoch, in its colour."""
    figure, (_, stage) = drawn(record(**changes))
    line, mark = stage.lines[2:4]
    assert mark.get_marker() == marker
    assert mark.get_color() == line.get_color()
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (
        line.get_xdata()[-1],
        line.get_ydata()[-1],
    )
    assert legend(figure)[-1] == word


def test_a_branch_looks_alike_in_all_stages():
    """The style of a muted branch is the same in both panels."""
    _, (_, first, second) = drawn(record(stages=2))
    style = [(one.lines[1].get_color(), one.lines[1].get_linestyle()) for one in (first, second)]
    assert style[0] == style[1]


def test_every_muted_branch_has_its_own_style():
    """Seventeen other branches all look different."""
    names = tuple(f"B{number:02}" for number in range(17))
    _, (_, stage) = drawn(record(others=names))
    looks = {(line.get_color(), str(line._dash_pattern)) for line in stage.lines[:-1]}
    assert len(looks) == 17


def test_a_cut_axis_says_so():
    """The label of the axis tells the highest loss where a branch leaves it."""
    one = record(lost_epochs=1)
    one["history"]["lost"][1]["records"][0]["validation"]["reconstruction"] = 4e4
    _, (trunk, stage) = drawn(one)
    assert trunk.get_ylabel() == "validation loss"
    assert stage.get_ylabel() == "validation loss\n(axis cut: the highest is 40000)"
    assert stage.get_ylim()[1] < 100


def test_no_branches_are_refused():
    """A plain history has no such figure."""
    plain = History(("reconstruction", "kl"), 1, epochs(0, [1.0])).to_dict()
    with pytest.raises(InputError, match="no branches"):
        branch_losses({"history": plain}, "title")


def test_nothing_overlaps():
    """Title, panels and a legend of many long entries lie apart, within the figure."""
    names = tuple(f"branch-{number:02}" for number in range(12))
    figure, panels = drawn(record(others=names, stages=4, lost_epochs=1))
    boxes = [axes.get_tightbbox() for axes in panels] + [figure.legends[0].get_window_extent()]
    boxes += [text.get_window_extent() for text in figure.texts if text.get_text()]
    assert not any(
        one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number]
    )
    assert all(box.x0 >= 0 and box.x1 <= figure.bbox.x1 for box in boxes)

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from recon_anomaly.history import EpochRecord, History, LostBranch
from recon_anomaly.stages import Line, compared_by_training, limits, movement, stages_of


def epoch(number, loss, path=(), kl=1.0, weight=1.0):
    """Return an epoch whose validation terms add up to the loss, and whose training terms do not."""
    terms = {"reconstruction": loss - kl, "kl": kl}
    doubled = {name: 2 * term for name, term in terms.items()}
    weights = {"reconstruction": 1.0, "kl": weight}
    return EpochRecord(number, doubled, terms, weights, 1e-4, path=path)


def branch(name, losses, start, before=(), value="loss", weight=0.5):
    """Return a lost branch after some epoch, whose value is that of its last epoch."""
    path = (*before, name)
    records = tuple(
        epoch(start + number, loss, path, weight=weight)
        for number, loss in enumerate(losses, start=1)
    )
    return LostBranch(path, records, records[-1].loss if value == "loss" else value)


def searched():
    """Return a history by hand: two epochs of trunk, then two stages of two epochs each."""
    history = History(("reconstruction", "kl"), 6)
    history.records = [epoch(1, 9.0), epoch(2, 8.0)]
    history.records += [epoch(3, 7.0, ("III",), weight=0.5), epoch(4, 6.0, ("III",), weight=0.2)]
    history.records += [epoch(5, 5.0, ("III", "I"), weight=0.2)]
    history.records += [epoch(6, 4.0, ("III", "I"), weight=0.2)]
    history.path = ("III", "I")
    history.lost = [
        branch("II", [7.5], 2),
        branch("I", [7.2, 6.5], 2, weight=1.0),
        branch("II", [5.5, 5.1], 4, ("III",)),
        branch("III", [], 4, ("III",), value=None),
    ]
    return History.from_dict(json.loads(json.dumps(history.to_dict())))


def test_stages_by_hand():
    """Every line begins where its stage does, and says what became of it."""
    trunk, first, second = stages_of(searched())
    assert [(stage.first, stage.last) for stage in (trunk, first, second)] == [
        (1, 2),
        (3, 4),
        (5, 6),
    ]
    found = [
        (line.name, line.epochs.tolist(), line.losses.tolist(), line.fate)
        for stage in (trunk, first, second)
        for line in stage.lines
    ]
    assert found == [
        ("", [1, 2], [9.0, 8.0], "went on"),
        ("I", [2, 3, 4], [8.0, 7.2, 6.5], "finished"),
        ("II", [2, 3], [8.0, 7.5], "dropped"),
        ("III", [2, 3, 4], [8.0, 7.0, 6.0], "went on"),
        ("I", [4, 5, 6], [6.0, 5.0, 4.0], "went on"),
        ("II", [4, 5, 6], [6.0, 5.5, 5.1], "finished"),
        ("III", [4], [6.0], "diverged"),
    ]
    assert [line.movement for line in first.lines] == ["weights stay", *["KL divergence falls"] * 2]


def test_without_branches_there_is_the_trunk():
    """A plain training has one stage, and one without epochs none."""
    history = History(("reconstruction", "kl"), 1, [epoch(1, 3.0)])
    assert [len(stage.lines) for stage in stages_of(history)] == [1]
    assert stages_of(History((), 0)) == []


def test_branches_that_all_diverged_at_once_are_no_stage():
    """Branches without an epoch leave the trunk; with one, the stage has no branch that went on."""
    history = History(("reconstruction", "kl"), 4, [epoch(1, 3.0)])
    history.lost = [branch(name, [], 1, value=None) for name in ("I", "II")]
    assert len(stages_of(history)) == 1
    history.lost[1] = branch("II", [2.0], 1, value=None)
    _, stage = stages_of(history)
    assert [(line.name, line.fate) for line in stage.lines] == [
        ("I", "diverged"),
        ("II", "diverged"),
    ]


def test_the_loss_is_the_one_that_was_compared():
    """Where the branches' values are weighted training losses, the lines are these."""
    history = searched()
    assert not compared_by_training(history)
    history.lost = [
        replace(lost, value=lost.records[-1].weighted_training_loss)
        for lost in history.lost
        if lost.records
    ]
    assert compared_by_training(history)
    trunk, *_ = stages_of(history)
    assert trunk.lines[0].losses.tolist() == [18.0, 16.0]


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ((1.0, 1.0, 1.0), "weights stay"),
        ((0.5, 1.0, 1.0), "scaled error falls"),
        ((0.5, 1.0, 0.5), "scaled error and KL divergence fall"),
        ((0.5, 2.0, 0.5), "scaled error and KL divergence fall, log-variance rises"),
        ((3.0, 2.0, 5.0), "scaled error, log-variance and KL divergence rise"),
    ],
)
def test_movements_in_words(weights, words):
    """What fell and what rose between the first and the last epoch, by term."""
    terms = ("scaled_error", "log_variance", "kl")
    ends = [dict(zip(terms, these, strict=True)) for these in ((1.0, 1.0, 1.0), weights)]
    assert movement([EpochRecord(1, {}, {}, these, 1e-4) for these in ends]) == words
    assert movement([]) == "weights stay"


def line(name, losses, fate="finished"):
    """Return a line whose losses stand at the epochs from 0."""
    return Line(name, np.arange(len(losses)), np.array(losses, float), fate, "")


def test_an_axis_shows_everything_where_that_is_legible():
    """Losses near each other are all within the axis, whose label needs no word."""
    low, high, note = limits(
        [line("I", [5, 4]), line("II", [5, 3.8]), line("III", [5, 3], "went on")]
    )
    assert low < 3 < 5 < high
    assert note == ""


def test_an_axis_cuts_a_branch_that_runs_away():
    """By hand: the branches that matter go from 3 to 5, or 4.8 without the highest tenth."""
    lines = [line("II", [5, 1e6]), line("III", [5, 4, 3], "went on"), line("IV", [4, -1e3])]
    low, high, note = limits(lines)
    assert note == "\n(axis cut: the highest is 1000000, the lowest is -1000)"
    usual = float(np.quantile([5, 4, 3], 0.9))
    room = 0.5 * (usual - 3)
    span = usual - 3 + 2 * room
    assert (low, high) == pytest.approx((3 - room - 0.04 * span, usual + room + 0.04 * span))


def test_an_axis_of_a_trunk_cuts_its_first_epochs():
    """A loss that falls from far above does not flatten the rest."""
    losses = [1e5 * math.exp(-number) for number in range(40)]
    low, high, note = limits([line("", losses, "went on")])
    assert high < 0.05 * losses[0]
    assert low < losses[-1]
    assert "the highest is 100000" in note


@pytest.mark.parametrize("loss", [0.0, 7.0, -7.0])
def test_equal_losses_have_an_axis(loss):
    """One value all the way, or none that is finite beside it, still has two ends."""
    low, high, note = limits([line("I", [loss, loss, math.nan])])
    assert low < loss < high
    assert note == ""

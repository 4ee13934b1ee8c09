"""Branches of a training: what they start from, who survives a rung, who goes on, and resuming inside."""

import functools
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from recon_anomaly.batches import Batches
from recon_anomaly.checkpoints import Checkpoint
from recon_anomaly.errors import InputError, SavedFileError, TrainingWarning
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.images import PixelRange
from recon_anomaly.protocols import Branches, Reconstruction
from recon_anomaly.snapshots import Snapshots
from recon_anomaly.store import from_array
from recon_anomaly.training import Plan, RunState, train

CPU = torch.device("cpu")


class Drifting(nn.Module):
    """A small network with dropout, whose second term pulls its weights elsewhere."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Dropout(), nn.Conv2d(3, 1, 1))
        self.seen = []

    def forward(self, images):
        if self.training:
            self.seen.append(images.detach().clone())
        return Reconstruction(self.layers(images))

    def losses(self, target, reconstruction):
        return {
            "reconstruction": (target - reconstruction.mean).square().mean(),
            "pull": (reconstruction.mean - 2).square().mean(),
        }


class Forking:
    """Weights of 1 to epoch 2; then a branch for each weight of ``pull``, to epoch 6, and again to 8."""

    keeps = "last"
    pulls = {"same": 1.0, "less": 0.2, "none": 0.0, "more": 5.0}  # noqa: RUF012 - never changed

    def __init__(self, rungs=(), stages=((2, 6),), criterion="validation-loss"):
        self.rungs, self.stages, self.criterion = rungs, stages, criterion

    def __call__(self, history):
        for stage, (start, until) in enumerate(self.stages):
            if len(history) == start and len(history.path) == stage:
                return Branches(tuple(self.pulls), until, self.criterion, self.rungs)
        pull = self.pulls[history.path[-1]] if history.path else 1.0
        return {"reconstruction": 1.0, "pull": pull}


class Along(Forking):
    """Goes the way of one path without branching: what each branch must equal."""

    def __init__(self, *path, **options):
        super().__init__(**options)
        self.way = path

    def __call__(self, history):
        done = [
            name
            for name, (start, _) in zip(self.way, self.stages, strict=False)
            if len(history) >= start
        ]
        return {"reconstruction": 1.0, "pull": self.pulls[done[-1]] if done else 1.0}


def batches(count, seed=0):
    array = np.random.default_rng(seed).random((count, 4, 4, 1), dtype=np.float32)
    return Batches(from_array(array), PixelRange(0.0, 1.0, "float32"), 4, CPU)


def fresh(schedule, epochs):
    torch.manual_seed(0)
    plan = Plan(schedule, epochs, 0.05, seed=1)
    return RunState(Drifting(), plan, ("reconstruction", "pull"), CPU), plan


def trained(schedule, epochs=6, **more):
    state, plan = fresh(schedule, epochs)
    records = [
        event
        for event in train(state, batches(9), batches(3, 1), plan, **more)
        if isinstance(event, EpochRecord)
    ]
    return state, records


def without_seconds(history):
    def plain(record):
        return {**record, "seconds": 0}

    values = history.to_dict()
    values["records"] = [plain(record) for record in values["records"]]
    values["lost"] = [
        {**branch, "records": [plain(record) for record in branch["records"]]}
        for branch in values["lost"]
    ]
    return json.loads(json.dumps(values))


def losses(records):
    return [record.loss for record in records]


# Exhaustive ----------------------------------------------------------------------------------------


def test_each_branch_is_what_a_training_along_it_alone_would_be():
    """Same snapshot, same batches and noise: losers and winner equal a run that never branched, bit for bit."""
    state, _ = trained(Forking())
    history = state.history
    assert len(history.lost) == 3
    ways = {branch.path[0]: [*history.records[:2], *branch.records] for branch in history.lost}
    ways[history.path[0]] = history.records
    assert set(ways) == set(Forking.pulls)
    for name, records in ways.items():
        alone, _ = trained(Along(name))
        assert losses(records) == losses(alone.history.records)
        assert [record.training for record in records] == [
            record.training for record in alone.history.records
        ]


def test_the_branch_with_the_lowest_loss_goes_on_with_its_weights():
    """The winner is the one that an exhaustive comparison by hand finds, and the network is its own."""
    alone = {name: trained(Along(name))[0] for name in Forking.pulls}
    best = min(alone, key=lambda name: alone[name].history.records[-1].loss)
    state, _ = trained(Forking())
    assert state.history.path == (best,)
    for name, tensor in state.network.state_dict().items():
        assert torch.equal(tensor, alone[best].network.state_dict()[name])
    assert {branch.path[0]: branch.value for branch in state.history.lost} == {
        name: run.history.records[-1].loss for name, run in alone.items() if name != best
    }


def test_the_training_loss_may_be_the_criterion():
    """The weighted sum of the training terms decides then; a weight of nothing wins by itself."""
    state, _ = trained(Forking(criterion="training-loss"))
    assert state.history.path == ("none",)
    record = state.history.records[-1]
    assert record.weighted_training_loss == record.training["reconstruction"]


def test_records_are_given_for_every_epoch_of_every_branch_with_its_path():
    """Whoever draws progress sees the trunk, then branch by branch, and the losers' epochs are counted."""
    state, records = trained(Forking())
    assert [record.path for record in records] == [(), ()] + [
        (name,) for name in Forking.pulls for _ in range(4)
    ]
    assert [record.epoch for record in records] == [1, 2] + [3, 4, 5, 6] * 4
    assert [record.epoch for record in state.history.records] == [1, 2, 3, 4, 5, 6]
    assert state.history.epochs_trained == len(records) == 18


def test_a_second_stage_starts_from_the_winner_of_the_first():
    """Paths grow by a name a stage, and what goes on is the training along that path."""
    stages = ((2, 4), (4, 6))
    state, _ = trained(Forking(stages=stages))
    path = state.history.path
    assert len(path) == 2
    assert len(state.history.lost) == 6
    assert {branch.path[0] for branch in state.history.lost if len(branch.path) == 2} == {path[0]}
    alone, _ = trained(Along(*path, stages=stages))
    assert losses(state.history.records) == losses(alone.history.records)


def test_of_equal_branches_the_first_goes_on():
    """The conventional branch, which comes first, is left only for a lower loss."""

    class Alike(Forking):
        pulls = dict.fromkeys(["first", "second"], 1.0)

    assert trained(Alike())[0].history.path == ("first",)


# Races ---------------------------------------------------------------------------------------------


def test_a_race_drops_the_worst_at_each_rung():
    """Survivors are the best at the rung's epoch; a loser's records end there, and all are as if alone."""
    state, _ = trained(Forking(rungs=((3, 3), (5, 2))))
    alone = {name: losses(trained(Along(name))[0].history.records) for name in Forking.pulls}
    first = sorted(alone, key=lambda name: alone[name][2])
    second = sorted(first[:3], key=lambda name: alone[name][4])
    best = min(second[:2], key=lambda name: alone[name][5])
    assert state.history.path == (best,)
    lost = {branch.path[0]: losses(branch.records) for branch in state.history.lost}
    wanted = {first[3]: alone[first[3]][2:3], second[2]: alone[second[2]][2:5]}
    wanted |= {name: alone[name][2:6] for name in second[:2] if name != best}
    assert lost == wanted
    assert state.history.epochs_trained == 2 + 4 + 1 + 3 + 4
    assert losses(state.history.records) == alone[best]


def test_branches_wait_on_disk_and_leave_nothing_behind(tmp_path):
    """While a branch trains the others are files; after the training there are none."""
    state, plan = fresh(Forking(rungs=((4, 2),)), 6)
    most = 0
    for _ in train(state, batches(9), batches(3, 1), plan, snapshots=Snapshots(tmp_path)):
        most = max(most, len(list(tmp_path.iterdir())))
    assert 2 <= most <= 5
    assert list(tmp_path.iterdir()) == []


# Divergence ----------------------------------------------------------------------------------------


def test_a_branch_that_diverges_loses_and_the_others_go_on(monkeypatch):
    """It is given up with a warning that says which and why; its value is None."""

    class Wild(Forking):
        pulls = {"wild": 1e38, "same": 1.0}  # noqa: RUF012 - never changed

    class Overflowing(Drifting):
        def losses(self, target, reconstruction):
            terms = super().losses(target, reconstruction)
            return {**terms, "pull": terms["pull"] * 100}  # times 1e38 that is no float32

    monkeypatch.setitem(globals(), "Drifting", Overflowing)
    with pytest.warns(TrainingWarning, match=r"the branch wild was given up: .* became nan"):
        state, _ = trained(Wild())
    assert state.history.path == ("same",)
    assert [(branch.path, branch.value) for branch in state.history.lost] == [(("wild",), None)]
    assert state.history.diverged is None
    assert all(bool(weight.isfinite().all()) for weight in state.network.state_dict().values())


class Doomed(Drifting):
    """Breaks from the ``doom``-th step of its life on."""

    doom = 0

    def __init__(self):
        super().__init__()
        self.steps = 0

    def losses(self, target, reconstruction):
        terms = super().losses(target, reconstruction)
        self.steps += self.training
        if self.training and self.steps > self.doom:
            terms["pull"] = terms["pull"] * math.nan
        return terms


def test_when_every_branch_diverges_the_snapshot_is_kept(monkeypatch):
    """The training ends there with the weights that all branches started from, and says so."""
    monkeypatch.setitem(globals(), "Drifting", Doomed)
    monkeypatch.setattr(Doomed, "doom", 6)  # three steps an epoch: from the third epoch on
    with pytest.warns(TrainingWarning) as warned:
        state, _ = trained(Forking())
    assert len(warned) == 4
    assert "the training ended early" in str(warned[-1].message)
    assert "the weights of epoch 2 are kept" in str(warned[-1].message)
    assert state.history.path == ()
    assert state.history.diverged == (
        "the training loss term 'pull' became nan in epoch 3, as in all other branches since epoch 2"
    )
    assert state.history.kept_epoch == 2
    assert {branch.value for branch in state.history.lost} == {None}
    assert all(bool(weight.isfinite().all()) for weight in state.network.state_dict().values())


def test_the_last_branch_left_keeps_its_last_good_weights(monkeypatch):
    """Where the others were dropped before, its epochs count, and the message says the term and the branch."""
    monkeypatch.setitem(globals(), "Drifting", Doomed)
    # Three steps an epoch: 2 epochs of the trunk, 4 branches to epoch 3, and one epoch of the survivor.
    monkeypatch.setattr(Doomed, "doom", 3 * (2 + 4 + 1))
    with pytest.warns(TrainingWarning, match="the training ended early"):
        state, _ = trained(Forking(rungs=((3, 1),)))
    (branch,) = state.history.path
    assert state.history.diverged.endswith(f"in epoch 5, in the last branch left, {branch}")
    assert [record.epoch for record in state.history.records] == [1, 2, 3, 4]
    assert state.history.kept_epoch == 4
    assert len(state.history.lost) == 3
    assert None not in {lost.value for lost in state.history.lost}


def test_a_divergence_in_the_last_branch_ends_at_the_planned_epoch(monkeypatch):
    """Nothing is trained past the plan when the race's last branch is given up at its last epoch."""
    monkeypatch.setitem(globals(), "Drifting", Doomed)
    monkeypatch.setattr(Doomed, "doom", 3 * (2 + 4 * 4) - 1)
    with pytest.warns(TrainingWarning, match="the branch more was given up"):
        state, _ = trained(Forking())
    assert len(state.history) == 6
    assert state.history.diverged is None
    assert {lost.path[0]: lost.value for lost in state.history.lost}["more"] is None


# Resuming ------------------------------------------------------------------------------------------


@functools.cache
def undisturbed(stages):
    """The schedule of these stages, a race where there is one, and a run of it."""
    schedule = Forking(rungs=((stages[0][1] - 1, 2),) if len(stages) == 1 else (), stages=stages)
    return schedule, trained(schedule)[0]


@pytest.mark.parametrize("killed_after", range(1, 15))
@pytest.mark.parametrize("stages", [((2, 6),), ((1, 3), (3, 6))])
def test_a_run_that_is_killed_inside_a_branch_goes_on_bit_for_bit(tmp_path, killed_after, stages):
    """Whatever epoch of whatever branch was the last, weights, history and losers are an undisturbed run's."""
    schedule, whole = undisturbed(stages)
    state, plan = fresh(schedule, 6)
    checkpoint = Checkpoint(tmp_path, {})
    count = 0
    for event in train(state, batches(9), batches(3, 1), plan, snapshots=checkpoint.snapshots):
        if isinstance(event, EpochRecord):
            checkpoint.save(state)
            count += 1
        elif count == killed_after:  # in the midst of the next epoch
            break
    resumed, plan = fresh(schedule, 6)
    again = Checkpoint(tmp_path, {})
    assert again.load(resumed)
    for event in train(resumed, batches(9), batches(3, 1), plan, snapshots=again.snapshots):
        if isinstance(event, EpochRecord):
            again.save(resumed)
    assert without_seconds(resumed.history) == without_seconds(whole.history)
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name])
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_a_branch_that_is_missing_from_the_checkpoint_is_an_error(tmp_path):
    """A file that someone deleted is named; nothing goes on from something else."""
    schedule = Forking()
    state, plan = fresh(schedule, 6)
    checkpoint = Checkpoint(tmp_path, {})
    running = train(state, batches(9), batches(3, 1), plan, snapshots=checkpoint.snapshots)
    records = (event for event in running if isinstance(event, EpochRecord))
    for _ in range(4):
        next(records)
    checkpoint.snapshots.remove()
    with pytest.raises(SavedFileError, match="cannot read the checkpoint"):
        list(records)


def test_the_history_of_a_search_survives_json():
    """Lost branches, paths and values come back as they were."""
    state, _ = trained(Forking(rungs=((4, 2),)))
    values = json.loads(json.dumps(state.history.to_dict()))
    assert History.from_dict(values) == state.history


# Bad wishes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        Branches((), 6),
        Branches(("a", "a"), 6),
        Branches(("a", "b"), 2),
        Branches(("a", "b"), 7),
        Branches(("a", "b"), 6, "accuracy"),
        Branches(("a", "b"), 6, rungs=((6, 1),)),
        Branches(("a", "b"), 6, rungs=((4, 3),)),
        Branches(("a", "b", "c"), 6, rungs=((4, 1), (5, 2))),
        Branches(("a", "b", "c"), 6, rungs=((4, 0),)),
    ],
)
def test_branches_that_cannot_be_are_refused(asked):
    """No names, twice the same, epochs out of order, more survivors than branches, unknown criterion."""

    def schedule(history):
        return asked if len(history) == 2 else dict.fromkeys(history.terms, 1.0)

    with pytest.raises(InputError, match="the schedule asked for Branches"):
        trained(schedule)


def test_branches_within_a_branch_are_refused():
    """A schedule that asks again inside a branch is told so."""

    def schedule(history):
        if len(history) >= 2:
            return Branches(("a", "b"), 6)
        return dict.fromkeys(history.terms, 1.0)

    with pytest.raises(InputError, match="inside the branch 'a'"):
        trained(schedule)

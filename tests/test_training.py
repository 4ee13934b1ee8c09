"""The training loop: learning rate, stopping, kept weights, schedules, errors and random numbers.

Most tests train a network whose validation loss follows a script, one value an epoch.
"""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from torch import nn

from recon_anomaly import EpochRecord, InputError, Reconstruction, TrainingError, TrainingWarning
from recon_anomaly.batches import Batches
from recon_anomaly.images import PixelRange
from recon_anomaly.store import from_array
from recon_anomaly.training import Plan, RunState, Tick, evaluate, train

CPU = torch.device("cpu")
TERMS = ("reconstruction", "kl")


class Scripted(nn.Module):
    """One weight, which each step moves by the learning rate; validation terms come from a script."""

    def __init__(self, script, kl=None):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))
        self.script = list(script)
        self.kl = [0.0] * len(self.script) if kl is None else list(kl)
        self.asked = 0

    def forward(self, images):
        return Reconstruction(images + self.weight)

    def losses(self, target, reconstruction):
        if self.training:  # a constant gradient: Adam's step is then the learning rate itself
            return {"reconstruction": (target - reconstruction.mean).mean(), "kl": 0 * self.weight}
        self.asked += 1
        values = self.script[self.asked - 1], self.kl[self.asked - 1]
        return {name: torch.tensor(value) for name, value in zip(TERMS, values, strict=True)}


class Spread(nn.Module):
    """A small network that draws random numbers while it trains."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.Dropout(), nn.Conv2d(4, 1, 1))
        self.seen = []

    def forward(self, images):
        if self.training:
            self.seen.append(images.detach().clone())
        return Reconstruction(self.layers(images))

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


class Weights:
    """Weights of 1, or what is given, and any attributes of a schedule."""

    def __init__(self, weights=None, **attributes):
        self.weights = weights
        self.__dict__.update(attributes)

    def __call__(self, history):
        return dict.fromkeys(history.terms, 1.0) if self.weights is None else self.weights


def pictures(count, seed=0, batch_size=16):
    array = np.random.default_rng(seed).random((count, 4, 4, 1), dtype=np.float32)
    return Batches(from_array(array), PixelRange(0.0, 1.0, "float32"), batch_size, CPU)


def run(network, schedule=None, *, epochs=None, rate=0.5, measure=dict, terms=TERMS):
    """Train to the end; return the state, the records and the network's weight after each epoch."""
    plan = Plan(schedule or Weights(), epochs or len(network.script), rate, seed=1)
    state = RunState(network, plan, terms, CPU)
    records, weights = [], []
    for event in train(state, pictures(2), pictures(1), plan, measure):
        if isinstance(event, EpochRecord):
            records.append(event)
            weights.append(network.weight.item())
    return state, records, weights


def rates(records):
    return [record.learning_rate for record in records]


def train_spread(network=None, *, plan=None, training=None, ticks=None):
    torch.manual_seed(0)
    network = network or Spread()
    plan = plan or Plan(Weights(), 3, 0.01, seed=1)
    state = RunState(network, plan, ("reconstruction",), CPU)
    for event in train(state, training or pictures(9, batch_size=4), pictures(3, 1), plan):
        if ticks is not None:
            ticks.append(event)
    return state


# Learning rate, stopping, kept weights -------------------------------------------------------------


def test_the_learning_rate_falls_after_two_epochs_without_improvement():
    """It falls to a tenth after exactly 2 such epochs, and again after 2 more."""
    _, records, _ = run(Scripted([5, 4, 4, 4, 4, 4, 4]))
    assert rates(records) == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.05, 0.05, 0.005])


def test_one_epoch_without_improvement_keeps_the_learning_rate():
    """Single bad epochs between better ones never lower it."""
    _, records, _ = run(Scripted([5, 6, 4, 6, 3, 6, 2, 6, 1]))
    assert set(rates(records)) == {0.5}


def test_the_slightest_improvement_counts():
    """There is no threshold: a loss that falls at all keeps the learning rate and the training."""
    script = [1 - 1e-6 * epoch for epoch in range(12)]
    _, records, _ = run(Scripted(script))
    assert set(rates(records)) == {0.5}
    assert len(records) == 12


def test_training_stops_after_seven_epochs_without_improvement():
    """Exactly 7 epochs after the best one are trained, and no more."""
    state, records, _ = run(Scripted([5, 4, 3, *[3] * 20]))
    assert len(records) == 3 + 7
    assert state.finished
    assert state.history.planned_epochs == 23


def test_six_epochs_without_improvement_do_not_stop_it():
    """An improvement in the seventh epoch starts the count afresh."""
    _, records, _ = run(Scripted([5, *[6] * 6, 4, *[6] * 20]))
    assert len(records) == 8 + 7


def test_all_planned_epochs_are_trained_while_the_loss_improves():
    """Without a reason to stop, the epochs are those that were asked for."""
    _, records, _ = run(Scripted(range(20, 0, -1)))
    assert [record.epoch for record in records] == list(range(1, 21))


def test_the_best_epochs_weights_are_kept():
    """The network ends with the weights of the epoch of the lowest validation loss."""
    network = Scripted([5, 3, 1, 4, 2, 6])
    state, _, weights = run(network)
    assert network.weight.item() == weights[2]
    assert len(set(weights)) == 6
    assert state.history.kept_epoch == 3
    assert not network.training


def test_of_equal_epochs_the_first_is_kept():
    """A loss that is merely reached again is no improvement."""
    network = Scripted([5, 1, 1, 1])
    state, _, weights = run(network)
    assert state.history.kept_epoch == 2
    assert network.weight.item() == weights[1]


def test_stopping_keeps_the_best_epochs_weights():
    """Early stopping, too, ends with the best weights and not with the last."""
    network = Scripted([5, 1, *[2] * 20])
    _, _, weights = run(network)
    assert network.weight.item() == weights[1]


def test_falling_weights_are_no_improvement():
    """Plateau, stopping and best weights watch the unweighted sum of the validation terms."""

    class Falling(Weights):
        def __call__(self, history):
            return dict.fromkeys(history.terms, 0.5 ** (len(history) + 1))

    network = Scripted([3.0, 2.0, *[2.0] * 20], kl=[1.0] * 22)
    state, records, weights = run(network, Falling())
    assert rates(records)[:5] == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.05])
    assert len(records) == 2 + 7
    assert state.history.kept_epoch == 2
    assert network.weight.item() == weights[1]
    assert records[3].weights == {"reconstruction": 0.0625, "kl": 0.0625}


def test_the_watched_loss_is_the_sum_of_all_terms():
    """A fall of one term that another one outweighs is no improvement."""
    network = Scripted([3.0, 2.0, 1.0, 1.0], kl=[0.0, 0.0, 5.0, 0.5])
    state, records, _ = run(network)
    assert [record.loss for record in records] == [3.0, 2.0, 6.0, 1.5]
    assert state.history.kept_epoch == 4


def test_a_term_of_weight_zero_is_still_watched():
    """The unweighted sum holds every term, whatever the schedule makes of it."""
    network = Scripted([3.0, 2.0, 1.0], kl=[0.0, 5.0, 9.0])
    state, _, _ = run(network, Weights({"reconstruction": 1.0, "kl": 0.0}))
    assert state.history.kept_epoch == 1


# What a schedule may say ---------------------------------------------------------------------------


def test_a_plan_can_keep_the_learning_rate_and_go_on():
    """Without the plateau rule and early stopping all epochs are run at one rate, as Nakata et al. train."""
    network = Scripted([1, *[2] * 11])
    plan = Plan(Weights(), 12, 0.5, 1, reduce_learning_rate=False, early_stopping=False)
    state = RunState(network, plan, TERMS, CPU)
    list(train(state, pictures(2), pictures(1), plan))
    assert [record.learning_rate for record in state.history.records] == [0.5] * 12


def test_a_schedule_can_keep_the_learning_rate():
    """reduces_learning_rate=False leaves it as it is, however long nothing improves."""
    _, records, _ = run(Scripted([1, *[2] * 6]), Weights(reduces_learning_rate=False))
    assert set(rates(records)) == {0.5}


def test_a_schedule_can_forbid_early_stopping():
    """stops_early=False trains all epochs, and the best weights are still kept."""
    network = Scripted([1, *[2] * 19])
    state, records, weights = run(network, Weights(stops_early=False))
    assert len(records) == 20
    assert state.history.kept_epoch == 1
    assert network.weight.item() == weights[0]


def test_a_schedule_can_keep_the_last_epoch():
    """keeps="last" ends with the last epoch's weights, though an earlier loss was lower."""
    network = Scripted([1, 2, 3, 4])
    state, _, weights = run(network, Weights(keeps="last"))
    assert state.history.kept_epoch == 4
    assert network.weight.item() == weights[-1]


def test_a_schedule_can_keep_the_best_epoch_by_a_figure():
    """keeps="auroc" ends with the weights of the epoch of the highest figure."""
    figures = iter([0.7, 0.9, 0.8, 0.9])
    network = Scripted([4, 3, 2, 1])
    schedule = Weights(keeps="auroc", needs=("auroc",))
    state, records, weights = run(network, schedule, measure=lambda: {"auroc": next(figures)})
    assert [record.figures["auroc"] for record in records] == [0.7, 0.9, 0.8, 0.9]
    assert state.history.kept_epoch == 2
    assert network.weight.item() == weights[1]


def test_a_figure_that_nobody_measures_cannot_decide():
    """An unknown word in keeps is refused, and the known ones are listed."""
    with pytest.raises(InputError, match=r"'f1'.*known are lowest-loss, last, auroc"):
        run(Scripted([1]), Weights(keeps="f1"), measure=lambda: {"auroc": 0.5})


def test_weights_decide_what_is_trained():
    """A loss whose only moving term weighs nothing moves no weight."""
    _, _, still = run(Scripted([2, 1]), Weights({"reconstruction": 0.0, "kl": 1.0}))
    _, _, moved = run(Scripted([2, 1]), Weights({"reconstruction": 2.0, "kl": 1.0}))
    assert still == [0.0, 0.0]
    assert moved == pytest.approx([0.5, 1.0])


def test_the_schedule_sees_the_history_before_each_epoch():
    """It knows terms and planned epochs from the start, and all records so far."""
    seen = []

    class Looking(Weights):
        def __call__(self, history):
            seen.append((history.terms, history.planned_epochs, [r.epoch for r in history.records]))
            return super().__call__(history)

    run(Scripted([3, 2, 1]), Looking())
    assert seen == [(TERMS, 3, []), (TERMS, 3, [1]), (TERMS, 3, [1, 2])]


@pytest.mark.parametrize(
    "weights",
    [
        {"reconstruction": 1.0},
        {"reconstruction": 1.0, "kl": 1.0, "adversarial": 1.0},
        {"reconstruction": 1.0, "kld": 1.0},
        {"reconstruction": 1.0, "kl": -0.1},
        {"reconstruction": 1.0, "kl": math.nan},
        {"reconstruction": math.inf, "kl": 1.0},
        {},
    ],
)
def test_weights_that_do_not_fit_are_refused(weights):
    """Missing, unknown, negative, NaN and infinite weights are errors that list the terms."""
    network = Scripted([1])
    with pytest.raises(InputError, match="for each of: reconstruction, kl"):
        run(network, Weights(weights))
    assert network.weight.item() == 0


# Records, ticks, errors ----------------------------------------------------------------------------


def test_ticks_and_records_come_in_the_order_of_events():
    """Each batch gives a tick, each epoch a record after its ticks."""
    events = []
    train_spread(ticks=events, plan=Plan(Weights(), 2, 0.01, seed=1))
    shown = [event if isinstance(event, Tick) else event.epoch for event in events]
    assert shown == [
        *[Tick(1, 2, batch, 3) for batch in (1, 2, 3)],
        1,
        *[Tick(2, 2, batch, 3) for batch in (1, 2, 3)],
        2,
    ]


def test_terms_are_means_over_pictures_and_not_over_batches():
    """A smaller last batch weighs by its pictures, in validation as in training."""

    class Constant(Spread):
        def losses(self, target, reconstruction):
            return {"reconstruction": target.mean() + 0 * reconstruction.mean.sum()}

    training = pictures(9, batch_size=4)
    state = train_spread(Constant(), training=training, plan=Plan(Weights(), 1, 0.01, seed=1))
    mean = training.pictures.array.mean()
    assert state.history.records[0].training["reconstruction"] == pytest.approx(mean, rel=1e-5)
    assert evaluate(Constant(), training)["reconstruction"] == pytest.approx(mean, rel=1e-5)


def test_evaluation_neither_draws_nor_learns():
    """Validation terms are taken in evaluation mode, without gradients, twice the same."""
    network = Spread()
    before = [weight.detach().clone() for weight in network.parameters()]
    first, second = evaluate(network, pictures(5)), evaluate(network, pictures(5))
    assert first == second
    assert not network.training
    assert network.seen == []
    assert all(torch.equal(*pair) for pair in zip(before, network.parameters(), strict=True))


class Breaking(Scripted):
    """Gives a broken training term in the epoch after the ``asked``-th evaluation."""

    def __init__(self, script, value, after):
        super().__init__(script)
        self.value, self.after = value, after

    def losses(self, target, reconstruction):
        terms = super().losses(target, reconstruction)
        if self.training and self.asked == self.after:
            terms["kl"] = terms["kl"] + self.value
        return terms


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_training_loss_ends_the_training_and_names_epoch_and_term(value):
    """The last good weights are kept, with a warning and a note in the history."""
    network = Breaking([3, 2, 1], value, after=2)
    pattern = rf"training loss term 'kl' became {value} in epoch 3; the weights of epoch 2 are kept"
    with pytest.warns(TrainingWarning, match=pattern):
        state, records, weights = run(network)
    assert state.finished
    assert [record.epoch for record in state.history.records] == [1, 2]
    assert state.history.diverged == f"the training loss term 'kl' became {value} in epoch 3"
    assert network.weight.item() == weights[1]
    assert len(records) == 2


def test_a_loss_that_is_broken_from_the_start_is_an_error():
    """There are no good weights to keep, so the message names epoch, term and a remedy."""
    pattern = r"training loss term 'kl' became nan in epoch 1; try a lower learning_rate"
    with pytest.raises(TrainingError, match=pattern):
        run(Breaking([3, 2, 1], math.nan, after=0))


def test_a_broken_validation_loss_names_epoch_and_term():
    """A validation term that becomes NaN ends the training with its name and epoch, and leaves no record."""
    with pytest.warns(TrainingWarning, match=r"validation loss term 'reconstruction' .* epoch 2"):
        state, _, _ = run(Scripted([3.0, math.nan, 1.0]))
    assert [record.epoch for record in state.history.records] == [1]


# Random numbers ------------------------------------------------------------------------------------


def test_the_same_seed_trains_the_same_weights():
    """Seed and epoch decide the order, the dropout and so every bit of the weights."""
    first, second = train_spread(), train_spread()
    for name, weight in first.network.state_dict().items():
        assert torch.equal(weight, second.network.state_dict()[name])
    assert len(first.network.seen) == 9
    assert all(torch.equal(*p) for p in zip(first.network.seen, second.network.seen, strict=True))


def test_another_seed_trains_other_weights():
    """Dropout and order follow the plan's seed and not the process's global one."""
    first = train_spread().network.state_dict()
    second = train_spread(plan=Plan(Weights(), 3, 0.01, seed=2)).network.state_dict()
    assert not any(torch.equal(first[name], second[name]) for name in first)


def test_every_step_draws_anew():
    """Steps and epochs have random numbers of their own, and another run the same ones again."""

    def draws():
        found = []

        class Drawing(Spread):
            def forward(self, images):
                if self.training:
                    found.append(float(torch.rand(())))
                return super().forward(images)

        train_spread(Drawing())
        return found

    first = draws()
    assert len(set(first)) == len(first) == 9
    assert draws() == first


def test_training_draws_nothing_from_the_global_generators():
    """At every event the process's generators are as they were before."""
    plan = Plan(Weights(), 2, 0.01, seed=1, corruptor=add_noise)
    state = RunState(Spread(), plan, ("reconstruction",), CPU)
    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002 -- the global generator is what is tested
    count = 0
    for _ in train(state, pictures(9, batch_size=4), pictures(3, 1), plan):
        count += 1
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002 -- the global generator is what is tested
        assert random.getstate() == before[2]
    assert count == 8


def add_noise(image, rng):
    corrupted = np.clip(image + rng.normal(0, 0.3, image.shape), 0, 1).astype(np.float32)
    return corrupted, (corrupted != image).any(-1)


def test_a_corruptor_spoils_what_goes_in_and_not_the_target():
    """A denoising training sees corrupted pictures and is measured against the clean ones."""
    targets = []

    class Looking(Spread):
        def losses(self, target, reconstruction):
            if self.training:
                targets.append(target)
            return super().losses(target, reconstruction)

    network = Looking()
    training = pictures(6, batch_size=4)
    train_spread(network, training=training, plan=Plan(Weights(), 1, 0.01, 1, add_noise))
    clean = {row.tobytes() for row in training.pictures.array}
    assert {row.numpy().tobytes() for row in torch.cat(targets)} == clean
    assert not clean & {row.numpy().tobytes() for row in torch.cat(network.seen)}


def test_what_a_network_makes_of_clean_pictures_is_its_target():
    """A network with a target of its own is trained towards that, also when the input is corrupted."""

    class Featured(Spread):
        def target(self, images):
            return images.flip(-1)

        def losses(self, target, reconstruction):
            if self.training:
                found.append(target)
            return super().losses(target, reconstruction)

    found = []
    training = pictures(6, batch_size=4)
    train_spread(Featured(), training=training, plan=Plan(Weights(), 1, 0.01, 1, add_noise))
    expected = {row[:, ::-1].tobytes() for row in training.pictures.array[..., 0]}
    assert {row[0].numpy().tobytes() for row in torch.cat(found)} == expected


# The state -----------------------------------------------------------------------------------------


def test_a_state_taken_at_any_epoch_goes_on_as_if_undisturbed():
    """A fresh network that loads the state of epoch k ends with the same bits, for every k."""
    plan = Plan(Weights(), 5, 0.05, seed=1, corruptor=add_noise)
    whole = RunState(seeded_spread(), plan, ("reconstruction",), CPU)
    saved = [
        plain(whole.state_dict())
        for event in train(whole, pictures(9, batch_size=4), pictures(3, 1), plan)
        if isinstance(event, EpochRecord)
    ]
    assert len(saved) == 5
    for contents in saved:
        other = RunState(Spread(), plan, ("reconstruction",), CPU)
        other.load_state_dict(contents)
        list(train(other, pictures(9, batch_size=4), pictures(3, 1), plan))
        for name, weight in whole.network.state_dict().items():
            assert torch.equal(weight, other.network.state_dict()[name])
        assert timeless(other.history) == timeless(whole.history)


def test_plateau_and_stopping_counts_are_part_of_the_state():
    """Epochs without improvement before a break count after it."""
    script = [5.0, 4.0, *[4.0] * 20]
    plan = Plan(Weights(), 22, 0.5, seed=1)
    broken = RunState(Scripted(script), plan, TERMS, CPU)
    for event in train(broken, pictures(2), pictures(1), plan):
        if isinstance(event, EpochRecord) and event.epoch == 3:
            break
    network = Scripted(script)
    network.asked = 3
    state = RunState(network, plan, TERMS, CPU)
    state.load_state_dict(plain(broken.state_dict()))
    list(train(state, pictures(2), pictures(1), plan))
    assert len(state.history) == 2 + 7
    assert rates(state.history.records)[:6] == pytest.approx([0.5, 0.5, 0.5, 0.5, 0.05, 0.05])


def test_a_finished_state_trains_no_more():
    """It gives no event, and the network has the kept weights."""
    state, _, weights = run(Scripted([3, 1, 2]))
    network = Scripted([])
    plan = Plan(Weights(), 3, 0.5, seed=1)
    other = RunState(network, plan, TERMS, CPU)
    other.load_state_dict(plain(state.state_dict()))
    assert list(train(other, pictures(2), pictures(1), plan)) == []
    assert network.weight.item() == weights[1]
    assert not network.training


def seeded_spread():
    torch.manual_seed(0)
    return Spread()


def plain(contents):
    """Copy a state as a file would, so that nothing of it is shared."""
    from io import BytesIO

    file = BytesIO()
    torch.save(contents, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def timeless(history):
    values = history.to_dict()
    for record in values["records"]:
        del record["seconds"]
    return values

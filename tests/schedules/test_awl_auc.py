import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.errors import InputError
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.schedules.awl_auc import AUCAdaptiveWeights
from recon_anomaly.schedules.constant import ConstantWeights

TWO = ("alpha", "beta")
THREE = ("M", "A", "D")
TABLE_1 = [(1, 1), (1, 0), (0, 1)]
TABLE_2 = [(1, 1, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (1, 0, 1), (0, 1, 1)]


def history_of(aucs, terms=TWO, planned=100):
    values = dict.fromkeys(terms, 1.0)
    records = [
        EpochRecord(epoch, values, values, values, 1e-4, {"auroc": auc})
        for epoch, auc in enumerate(aucs, 1)
    ]
    return History(terms, planned, records)


def simulated(aucs, size, patterns):
    """Return the pattern of each epoch and of the next one, as the flowchart of Fig. 4 is read."""
    current, used = 0, []
    for epoch in range(1, len(aucs) + 2):
        used.append(patterns[current])
        if epoch >= 2 * size and epoch % size == 0 and epoch <= len(aucs):
            before = after = 0
            for k in range(epoch - 2 * size + 1, epoch - size + 1):
                before += aucs[k - 1]
            for k in range(epoch - size + 1, epoch + 1):
                after += aucs[k - 1]
            if after <= before:
                current = (current + 1) % len(patterns)
    return used


@pytest.mark.parametrize(("terms", "table"), [(TWO, TABLE_1), (THREE, TABLE_2)])
def test_patterns_are_those_of_the_papers_tables(terms, table):
    """While the AUC never improves, the rows of Tables 1 and 2 follow each other, and begin anew."""
    schedule = AUCAdaptiveWeights(update_every=1)
    for epochs in range(1, 2 * len(table) + 2):
        row = table[(epochs - 1) % len(table)]
        expected = {t: 1.0 if on else 1e-10 for t, on in zip(terms, row, strict=True)}
        assert schedule(history_of([0.5] * epochs, terms)) == expected


def test_for_one_and_for_four_terms():
    """One term stays enabled; of four, every non-empty subset comes once in a cycle, all of them first."""
    schedule = AUCAdaptiveWeights(update_every=1)
    assert {schedule(history_of([0.5] * n, ("error",)))["error"] for n in range(5)} == {1.0}
    enabled = []
    for epochs in range(1, 16):
        weights = schedule(history_of([0.5] * epochs, tuple("abcd")))
        enabled.append("".join(term for term, weight in weights.items() if weight == 1))
    assert len(set(enabled)) == 15
    assert enabled == sorted(enabled, key=lambda p: (p != "abcd", len(p), p))


def test_a_hand_worked_training():
    """With F = 3 the first comparison is after epoch 6, and only equal or lower means switch."""
    aucs = [0.6, 0.6, 0.6, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9]
    # Means of three: 0.6, 0.633, 0.5, 0.5, 0.9: better, worse, equal, better.
    enabled = []
    for epochs in range(16):
        weights = AUCAdaptiveWeights()(history_of(aucs[:epochs]))
        enabled.append("".join(t[0] for t, weight in weights.items() if weight == 1))
    assert enabled == ["ab"] * 9 + ["a"] * 3 + ["b"] * 4


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=40),
    st.integers(1, 6),
    st.sampled_from([(TWO, TABLE_1), (THREE, TABLE_2)]),
)
def test_it_does_what_a_plain_loop_does(aucs, size, case):
    """Epoch by epoch the weights are those of a simulation that goes forward with a state."""
    terms, table = case
    schedule = AUCAdaptiveWeights(update_every=size)
    for epochs, row in enumerate(simulated(aucs, size, table)):
        weights = schedule(history_of([auc / 4 for auc in aucs[:epochs]], terms))
        assert tuple(weights.values()) == tuple(1.0 if on else 1e-10 for on in row)


def test_equal_means_are_equal_in_any_order():
    """The same AUCs in another order are no improvement, although plain sums of them differ."""
    aucs = [0.3, 0.2, 0.1, 0.1, 0.2, 0.3]
    assert sum(aucs[3:]) > sum(aucs[:3])
    assert AUCAdaptiveWeights()(history_of(aucs)) == {"alpha": 1.0, "beta": 1e-10}


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=12, max_size=12), st.integers(12, 30))
def test_updates_as_rare_as_the_training_is_long_are_the_conventional_vae(aucs, size):
    """With F of the number of epochs or more, each epoch weighs as with constant weights."""
    schedule = AUCAdaptiveWeights(update_every=size, weights={"beta": 4})
    constant = ConstantWeights({"beta": 4}, keeps="auroc")
    for epochs in range(13):
        history = history_of(aucs[:epochs], planned=12)
        assert schedule(history) == constant(history)
    assert schedule.keeps == constant.keeps


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=20))
def test_it_is_a_pure_function_of_the_history(aucs):
    """Twice, by another object, from JSON, or with other weights recorded, the answer is the same."""
    schedule, history = AUCAdaptiveWeights(2), history_of(aucs)
    before = history.to_dict()
    weights = schedule(history)
    assert history.to_dict() == before
    assert schedule(history) == weights
    assert AUCAdaptiveWeights(2)(history) == weights
    assert schedule(History.from_dict(json.loads(json.dumps(history.to_dict())))) == weights
    history.records[:] = [replace(record, weights={"alpha": 7.0}) for record in history.records]
    assert schedule(history) == weights


def test_other_patterns_and_weights():
    """Given patterns are cycled in place of the paper's; enabled terms have their own weights."""
    schedule = AUCAdaptiveWeights(1, [["D"], ["A", "M"]], disabled=0.001, weights={"D": 5})
    first = {"M": 0.001, "A": 0.001, "D": 5.0}
    second = {"M": 1.0, "A": 1.0, "D": 0.001}
    given = [schedule(history_of([0.5] * n, THREE)) for n in range(5)]
    assert given == [first, first, second, first, second]


def test_what_it_asks_of_the_training():
    """It needs and keeps the AUC, and neither the plateau rule nor early stopping runs."""
    schedule = AUCAdaptiveWeights()
    assert schedule.needs == ("auroc",)
    assert schedule.keeps == "auroc"
    assert not schedule.reduces_learning_rate
    assert not schedule.stops_early
    assert not hasattr(schedule, "epochs")


@pytest.mark.parametrize("size", [0, -3, 2.5, "3", True, None])
def test_update_frequencies_below_one_are_refused(size):
    """F has to be a whole number of at least 1; the message says what was got."""
    with pytest.raises(InputError, match=r"update_every is .*; give a whole number of at least 1"):
        AUCAdaptiveWeights(update_every=size)


def test_whole_numbers_of_numpy_are_taken():
    """A number from a NumPy range is as good as Python's own."""
    assert AUCAdaptiveWeights(np.int64(2)).update_every == 2


@pytest.mark.parametrize("disabled", [-1e-10, float("nan"), float("inf"), "x", None])
def test_a_weight_that_no_loss_can_have_is_refused(disabled):
    """Disabled terms weigh from 0 on, and finitely much."""
    with pytest.raises(InputError, match=r"disabled is .*; give a small weight from 0 on"):
        AUCAdaptiveWeights(disabled=disabled)


def test_weights_that_are_none_are_refused():
    """Before any training, and not only where the term is enabled."""
    with pytest.raises(InputError, match="the weight of kl is -1; give a finite one from 0 on"):
        AUCAdaptiveWeights(weights={"kl": -1})


def test_terms_that_the_model_does_not_have_are_refused():
    """In a pattern or in the weights: the error lists the model's terms, before the first epoch."""
    with pytest.raises(InputError, match=r"pattern names gamma;.*are: alpha, beta"):
        AUCAdaptiveWeights(patterns=[["alpha"], ["gamma", "beta"]])(history_of([]))
    with pytest.raises(InputError, match=r"weights are given for kl;.*are: alpha, beta"):
        AUCAdaptiveWeights(weights={"kl": 2})(history_of([]))
    with pytest.raises(InputError, match="nothing in it"):
        AUCAdaptiveWeights(patterns=[["alpha"], []])


def test_an_epoch_without_an_auc_is_refused():
    """The error says which epoch, and that the schedule 'awl-loss' needs no labels."""
    history = history_of([0.5, 0.5])
    history.records[1] = replace(history.records[1], figures={})
    with pytest.raises(InputError, match=r"epoch 2 has no AUC.*'awl-loss'"):
        AUCAdaptiveWeights()(history)

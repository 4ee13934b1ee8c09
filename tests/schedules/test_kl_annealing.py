import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.errors import InputError
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.schedules.kl_annealing import KLAnnealing


def history_of(epochs, planned, terms=("reconstruction", "kl")):
    records = [EpochRecord(epoch, {}, {}, {}, 1e-4) for epoch in range(1, epochs + 1)]
    return History(terms, planned, records)


def weights_of(schedule, planned):
    """The weight of the KL term in each planned epoch."""
    return [schedule(history_of(epochs, planned))["kl"] for epochs in range(planned)]


def test_monotonic_hand_worked():
    """Over half of the planned epochs, or the warm-up that is given, it rises to 1 and stays."""
    assert weights_of(KLAnnealing(), 8) == [0, 0.25, 0.5, 0.75, 1, 1, 1, 1]
    assert weights_of(KLAnnealing(), 3) == pytest.approx([0, 2 / 3, 1])
    assert weights_of(KLAnnealing(warm_up=1), 4) == [0, 1, 1, 1]
    assert weights_of(KLAnnealing(warm_up=5), 3) == pytest.approx([0, 0.2, 0.4])
    assert weights_of(KLAnnealing(), 1) == [0]


def test_cyclical_hand_worked():
    """In each of the cycles it rises for the share of it, stays, and begins anew at 0."""
    cycle = [0, 0.5, 1, 1]
    assert weights_of(KLAnnealing(shape="cyclical"), 16) == cycle * 4
    assert weights_of(KLAnnealing(shape="cyclical", cycles=2), 8) == cycle * 2
    longer = weights_of(KLAnnealing(shape="cyclical", cycles=1, share=1.0), 4)
    assert longer == [0, 0.25, 0.5, 0.75]


@settings(deadline=None)
@given(st.integers(1, 60), st.data())
def test_cyclical_is_equation_7_of_fu(planned, data):
    """Any number of epochs and cycles follows the printed formula, with its rounding up."""
    cycles = data.draw(st.integers(1, planned))
    share = data.draw(st.floats(0.05, 1))
    expected = []
    for t in range(1, planned + 1):
        tau = ((t - 1) % math.ceil(planned / cycles)) / (planned / cycles)
        expected.append(tau / share if tau <= share else 1.0)
    schedule = KLAnnealing(shape="cyclical", cycles=cycles, share=share)
    assert weights_of(schedule, planned) == pytest.approx(expected)


def test_the_sigmoid_ramp():
    """It is the logistic function from -6 to 6, stretched to begin at 0 and end at 1."""
    weights = weights_of(KLAnnealing(ramp="sigmoid", warm_up=12), 13)
    ends = [1 / (1 + math.exp(x)) for x in (6, -6)]
    expected = [(1 / (1 + math.exp(6 - k)) - ends[0]) / (ends[1] - ends[0]) for k in range(13)]
    assert weights == pytest.approx(expected, abs=1e-12)
    assert (weights[0], weights[6], weights[12]) == (0.0, 0.5, 1.0)


def test_the_weights_at_both_ends_can_be_chosen():
    """The ramp then goes from the lowest to the highest, for any term; the others weigh 1."""
    schedule = KLAnnealing("D", lowest=0.1, highest=4.1, warm_up=4)
    given = [schedule(history_of(epochs, 5, ("M", "A", "D"))) for epochs in range(5)]
    assert [weights["D"] for weights in given] == pytest.approx([0.1, 1.1, 2.1, 3.1, 4.1])
    assert {weights[term] for weights in given for term in "MA"} == {1.0}


@settings(deadline=None)
@given(
    st.sampled_from(["monotonic", "cyclical"]),
    st.sampled_from(["linear", "sigmoid"]),
    st.integers(4, 40),
)
def test_it_is_a_pure_function_of_the_history(shape, ramp, planned):
    """Twice, by another object or from JSON the weight is the same, from 0 to 1."""
    schedule = KLAnnealing(shape=shape, ramp=ramp)
    for epochs in range(planned):
        history = history_of(epochs, planned)
        before = history.to_dict()
        weights = schedule(history)
        assert history.to_dict() == before
        assert schedule(history) == weights
        assert KLAnnealing(shape=shape, ramp=ramp)(history) == weights
        assert schedule(History.from_dict(json.loads(json.dumps(before)))) == weights
        assert 0 <= weights["kl"] <= 1


def test_what_it_asks_of_the_training():
    """It keeps the lowest loss of any number of epochs, without plateau rule and early stopping."""
    schedule = KLAnnealing(warm_up=3)
    assert getattr(schedule, "keeps", "lowest-loss") == "lowest-loss"
    assert not hasattr(schedule, "epochs")
    assert not schedule.reduces_learning_rate
    assert not schedule.stops_early


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"shape": "zigzag"}, "one of: monotonic, cyclical"),
        ({"ramp": "cosine"}, "ramp is 'cosine'; give one of: linear, sigmoid"),
        ({"share": 0.0}, r"share is 0.0; give a number in \(0, 1\]"),
        ({"share": 1.5}, "share is 1.5"),
        ({"warm_up": 0}, "warm_up is 0"),
        ({"cycles": 2.5}, "cycles is 2.5"),
        ({"lowest": -1.0}, "lowest is -1.0"),
        ({"lowest": 1.0}, "0 <= lowest < highest"),
        ({"highest": math.inf}, "highest is inf; give a finite number"),
        ({"highest": "a"}, "highest is 'a'; give a finite number"),
        ({"lowest": None}, "lowest is None; give a number from 0 on"),
        ({"share": "a"}, r"share is 'a'; give a number in \(0, 1\]"),
        ({"ramp": ["linear"]}, "one of: linear, sigmoid"),
        ({"shape": ["cyclical"]}, "one of: monotonic, cyclical"),
        ({"term": 3}, "term is 3; give the name of a loss term"),
    ],
)
def test_bad_parameters_are_refused(params, named):
    """Each error names the parameter and what it may be."""
    with pytest.raises(InputError, match=named):
        KLAnnealing(**params)


def test_a_term_that_the_model_does_not_have_is_refused():
    """The error lists the model's terms."""
    with pytest.raises(InputError, match="called D; the model's terms are: reconstruction, kl"):
        KLAnnealing("D")(history_of(0, 4))


def test_more_cycles_than_epochs_are_refused():
    """Such a weight would never rise."""
    with pytest.raises(InputError, match="cycles is 4, of 3 epochs"):
        KLAnnealing(shape="cyclical")(history_of(0, 3))

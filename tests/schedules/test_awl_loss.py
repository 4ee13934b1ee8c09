import json
import math
from dataclasses import replace
from fractions import Fraction
from itertools import chain, combinations, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.errors import InputError
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.protocols import Branches
from recon_anomaly.schedules.awl_loss import RACE, LossAdaptiveWeights

TWO = ("alpha", "beta")
THREE = ("M", "A", "D")


def history_of(values, path=(), planned=200):
    """A history whose training terms are the given lists; the other fields are of no concern."""
    records = [
        EpochRecord(epoch, dict(zip(values, terms, strict=True)), {}, {}, 1e-4)
        for epoch, terms in enumerate(zip(*values.values(), strict=True), 1)
    ]
    return History(tuple(values), planned, records, path=tuple(path))


def falling(epochs, terms=TWO):
    return {term: [float(100 - epoch) for epoch in range(epochs)] for term in terms}


def logistic(x):
    return 1 / (1 + math.exp(-x))


def simulated(values, milestones, path, moves, *, steepness, window, patience, highest):
    """Return each epoch's weights by going forward, epoch by epoch, with a state."""
    weights = dict.fromkeys(values, 1.0)
    used = [dict(weights)] * milestones[0]
    for name, start, end in zip(path, milestones, milestones[1:], strict=False):
        at_start, stopped = dict(weights), set()
        positive = dict.fromkeys(values, 0)
        for epoch in range(start + 1, end + 1):
            t = (epoch - start) / (end - start)
            high, low = logistic(steepness / 2), logistic(-steepness / 2)
            s = (logistic(steepness * (0.5 - t)) - low) / (high - low)
            for term, way in moves[name].items():
                if term not in stopped:
                    final = 1e-10 if way == "falls" else highest
                    weights[term] = final + (at_start[term] - final) * s
            used.append(dict(weights))
            for term, seen in values.items():
                mean = Fraction(sum(seen[epoch - window : epoch]), window)
                before = Fraction(sum(seen[epoch - 1 - window : epoch - 1]), window)
                positive[term] = positive[term] + 1 if mean > before else 0
                if positive[term] >= patience:
                    stopped.add(term)
    return used


# Patterns ----------------------------------------------------------------------------------------


def test_patterns_for_two_terms_are_those_of_table_3():
    """II lets the second term fall, III the first; I is conventional."""
    assert LossAdaptiveWeights().patterns_of(TWO) == {
        "I": {},
        "II": {"beta": "falls"},
        "III": {"alpha": "falls"},
    }


def test_patterns_for_three_terms_agree_with_the_paper():
    """III lets D fall alone and V lets M and D fall (section 5.2.1); the rest follows the stated rule."""
    branches = LossAdaptiveWeights().patterns_of(THREE)
    assert list(branches) == ["I", "II", "III", "IV", "V", "VI", "VII"]
    assert ["".join(moves) for moves in branches.values()] == ["", "A", "D", "M", "MD", "MA", "AD"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_every_proper_subset_has_a_branch(count):
    """For any number of terms each non-empty proper subset falls once, and small ones come first."""
    terms = [f"term {k}" for k in range(count)]
    branches = LossAdaptiveWeights().patterns_of(terms)
    subsets = chain.from_iterable(combinations(terms, size) for size in range(count))
    assert {frozenset(moves) for moves in branches.values()} == set(map(frozenset, subsets))
    assert len(branches) == 2**count - 1
    assert [len(moves) for moves in branches.values()] == sorted(map(len, branches.values()))


def test_rising_branches_have_the_same_numerals():
    """Rising ones are marked with a plus, and come behind the falling ones where there are both."""
    rising = LossAdaptiveWeights(directions="rising").patterns_of(TWO)
    assert rising == {"I": {}, "II+": {"beta": "rises"}, "III+": {"alpha": "rises"}}
    both = LossAdaptiveWeights(directions="both").patterns_of(TWO)
    assert both == {**LossAdaptiveWeights().patterns_of(TWO), **rising}
    assert list(both) == ["I", "II", "III", "II+", "III+"]


def test_patterns_of_the_users_own():
    """They are numbered in their order, behind the conventional branch."""
    schedule = LossAdaptiveWeights(patterns=[["D", "M"], ["M", "A", "D"]])
    everything = dict.fromkeys(THREE, "falls")
    assert schedule.patterns_of(THREE) == {
        "I": {},
        "II": {"M": "falls", "D": "falls"},
        "III": everything,
    }


# Branches ----------------------------------------------------------------------------------------


def test_branches_are_asked_for_at_each_milestone_but_the_last():
    """Everywhere else, the end among them, there are weights."""
    schedule = LossAdaptiveWeights((2, 4, 7), race=False)
    asked = {}
    for epochs in range(9):
        path = ["II"] * sum(epochs > milestone for milestone in (2, 4))
        answer = schedule(history_of(falling(epochs), path))
        if isinstance(answer, Branches):
            asked[epochs] = answer
        else:
            assert set(answer) == set(TWO)
    names = ("I", "II", "III")
    assert asked == {2: Branches(names, until=4), 4: Branches(names, until=7)}
    assert set(schedule(history_of(falling(2), ["III"]))) == set(TWO)
    assert set(schedule(history_of(falling(4), ["III", "I"]))) == set(TWO)


def test_more_than_two_stages():
    """Any number of milestones has a stage between each two."""
    schedule = LossAdaptiveWeights((1, 2, 3, 4, 5))
    for stage in range(4):
        asked = schedule(history_of(falling(stage + 1), ["I"] * stage))
        assert asked.until == stage + 2
    assert schedule.planned_epochs == 5
    every_branch = history_of(falling(4), ["I", "II", "III", "I"])
    assert set(schedule(every_branch)) == set(TWO)


def test_the_criterion_is_passed_on():
    """Which loss decides is the training's business; the schedule says its name."""
    schedule = LossAdaptiveWeights((1, 2), criterion="training-loss")
    assert schedule(history_of(falling(1))).criterion == "training-loss"


@pytest.mark.parametrize(
    ("race", "terms", "rungs"),
    [
        (False, THREE, ()),
        ([[0.2, 3], [0.4, 2]], THREE, ((110, 3), (120, 2))),
        ([[0.5, 5]], TWO, ((125, 3),)),
        ([[0.001, 3]], THREE, ((101, 3),)),
        ([[0.1, 3], [0.101, 2]], THREE, ((105, 2),)),
        ([[0.5, 3], [0.999, 2]], THREE, ((125, 3),)),
    ],
    ids=["exhaustive", "two rungs", "few branches", "first epoch", "one epoch", "at the end"],
)
def test_shares_of_a_stage_become_epochs(race, terms, rungs):
    """They are rounded, at least one epoch after the start, and before the end; one rung an epoch."""
    asked = LossAdaptiveWeights(race=race)(history_of(falling(100, terms)))
    assert asked.rungs == rungs


def test_the_default_race():
    """True means the default, with the shares taken of the stage and not of the training."""
    schedule = LossAdaptiveWeights((10, 110, 120), race=True)
    asked = schedule(history_of(falling(10, THREE)))
    assert asked.rungs == tuple((10 + round(100 * share), n) for share, n in RACE)
    assert LossAdaptiveWeights((10, 110, 120))(history_of(falling(10, THREE))) == asked


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=2, max_size=5),
    st.lists(st.tuples(st.floats(0.001, 0.999), st.integers(1, 9)), max_size=4),
    st.sampled_from(["alpha", "MAD", "abcd"]),
)
def test_rungs_are_such_as_a_race_wants(lengths, race, terms):
    """Epochs ascend between start and end, and survivors never grow, in every stage."""
    milestones = [sum(lengths[: k + 1]) for k in range(len(lengths))]
    shares = sorted({share for share, _ in race})
    survivors = sorted((count for _, count in race), reverse=True)
    schedule = LossAdaptiveWeights(milestones, race=list(zip(shares, survivors, strict=False)))
    for stage, (start, end) in enumerate(pairwise(milestones)):
        asked = schedule(history_of(falling(start, terms), ["I"] * stage))
        epochs = [start, *(epoch for epoch, _ in asked.rungs), end]
        counts = [len(asked.names), *(count for _, count in asked.rungs), 1]
        assert all(a < b for a, b in pairwise(epochs))
        assert all(a >= b for a, b in pairwise(counts))


# Weights -----------------------------------------------------------------------------------------


def test_a_hand_worked_stage():
    """On a straight line over four epochs a weight stops where its term rose, and stays there."""
    schedule = LossAdaptiveWeights((2, 6, 8), steepness=0, patterns=[TWO])
    values = {"alpha": [9, 8, 7, 7, 6, 5], "beta": [5, 4, 3, 3.5, 2, 1]}
    given = []
    for epochs in range(2, 6):
        history = history_of({term: seen[:epochs] for term, seen in values.items()}, ["II"])
        given.append(schedule(history))
    assert [weights["alpha"] for weights in given] == pytest.approx([0.75, 0.5, 0.25, 1e-10])
    assert [weights["beta"] for weights in given] == pytest.approx([0.75, 0.5, 0.5, 0.5])
    # The next stage starts at what was reached: half of 0.5 and of 1e-10 in its first epoch.
    weights = schedule(history_of(values, ["II", "II"]))
    assert weights == pytest.approx({"alpha": 1e-10, "beta": 0.25})


def test_the_first_slope_of_a_stage_reaches_back_into_the_one_before():
    """The stage's first epoch is compared with the last one before; what rose earlier does not count."""
    schedule = LossAdaptiveWeights((3, 7), steepness=0)
    rising = history_of({"alpha": [3, 3, 3, 3], "beta": [1, 2, 3, 3.1]}, ["II"])
    assert schedule(rising)["beta"] == pytest.approx(0.75)
    falling = history_of({"alpha": [3, 3, 3, 3], "beta": [1, 2, 3, 2.9]}, ["II"])
    assert schedule(falling)["beta"] == pytest.approx(0.5)


def test_terms_that_never_rise_end_as_table_3_has_it():
    """At the end of each stage what falls has fallen to 1e-10, from 1 or from where it stood."""
    schedule = LossAdaptiveWeights((2, 10, 20))
    last = {name: schedule(history_of(falling(9), [name])) for name in ("I", "II", "III")}
    assert last == {
        "I": {"alpha": 1.0, "beta": 1.0},
        "II": {"alpha": 1.0, "beta": 1e-10},
        "III": {"alpha": 1e-10, "beta": 1.0},
    }
    values = falling(19)
    values["beta"][5] = 1000.0  # beta stops in epoch 6
    stopped = schedule(history_of(falling(19) | {"beta": values["beta"]}, ["II", "I"]))
    assert stopped["alpha"] == 1.0
    assert stopped["beta"] == pytest.approx(0.5)
    both = schedule(history_of(values, ["II", "III"]))
    assert both == {"alpha": 1e-10, "beta": stopped["beta"]}
    again = schedule(history_of(values, ["II", "II"]))
    assert again == {"alpha": 1.0, "beta": 1e-10}


def test_rising_weights_mirror_falling_ones():
    """What a falling weight has lost of its way, a rising one has gained of its own."""
    schedule = LossAdaptiveWeights((1, 9), directions="both", highest=3, lowest=0)
    for epochs in range(1, 9):
        fallen = schedule(history_of(falling(epochs), ["II"]))["beta"]
        risen = schedule(history_of(falling(epochs), ["II+"]))["beta"]
        assert risen == pytest.approx(1 + 2 * (1 - fallen))
    assert risen == 3.0


def test_the_highest_weight_is_a_multiple_of_the_start():
    """A weight that fell to the lowest rises to the same end in the next stage."""
    schedule = LossAdaptiveWeights((1, 5, 9), directions="both", weights={"beta": 4}, highest=2)
    assert schedule(history_of(falling(4), ["II"]))["beta"] == 1e-10
    assert schedule(history_of(falling(8), ["II", "II+"]))["beta"] == 8.0


def test_weights_before_the_first_milestone_are_those_given():
    """Until then the training is the conventional one, with its own weights."""
    schedule = LossAdaptiveWeights((3, 5), weights={"beta": 4})
    for epochs in range(3):
        assert schedule(history_of(falling(epochs))) == {"alpha": 1.0, "beta": 4.0}
    assert schedule(history_of(falling(3), ["I"])) == {"alpha": 1.0, "beta": 4.0}


CASES = st.fixed_dictionaries(
    {
        "lengths": st.lists(st.integers(1, 7), min_size=2, max_size=4),
        "window": st.integers(1, 3),
        "patience": st.integers(1, 3),
        "steepness": st.floats(0.1, 20),
        "directions": st.sampled_from(["falling", "rising", "both"]),
        "data": st.data(),
    }
)


def _drawn(case, terms=THREE):
    """A schedule and a whole training: its values, path and milestones."""
    lengths = [max(case["lengths"][0], case["window"]), *case["lengths"][1:]]
    milestones = [sum(lengths[: k + 1]) for k in range(len(lengths))]
    names = ("steepness", "window", "patience", "directions")
    schedule = LossAdaptiveWeights(milestones, **{name: case[name] for name in names})
    draw = case["data"].draw
    numbers = st.lists(st.integers(0, 5), min_size=milestones[-1], max_size=milestones[-1])
    values = {term: draw(numbers) for term in terms}
    path = [
        draw(st.sampled_from(list(schedule.patterns_of(terms)))) for _ in range(len(milestones) - 1)
    ]
    return schedule, values, path, milestones


def _before(values, epochs, path, milestones):
    """The history before the next epoch, inside of its branch."""
    stage = min(sum(epochs >= milestone for milestone in milestones), len(milestones) - 1)
    return history_of({term: seen[:epochs] for term, seen in values.items()}, path[:stage])


@settings(deadline=None)
@given(CASES)
def test_it_does_what_a_plain_loop_does(case):
    """For any losses, branches, windows and patiences the weights are those of the simulation."""
    schedule, values, path, milestones = _drawn(case)
    names = ("steepness", "window", "patience")
    expected = simulated(
        values,
        milestones,
        path,
        schedule.patterns_of(THREE),
        highest=10.0,
        **{name: case[name] for name in names},
    )
    for epochs, weights in enumerate(expected):
        given = schedule(_before(values, epochs, path, milestones))
        assert given == pytest.approx(weights, rel=1e-9, abs=1e-12)


@settings(deadline=None)
@given(CASES)
def test_it_is_a_pure_function_of_the_history(case):
    """Twice, by another object, from JSON, or with other weights recorded, the answer is the same."""
    schedule, values, path, milestones = _drawn(case)
    names = ("steepness", "window", "patience", "directions")
    other = LossAdaptiveWeights(milestones, **{name: case[name] for name in names})
    for epochs in range(milestones[-1]):
        history = _before(values, epochs, path, milestones)
        before = history.to_dict()
        answer = schedule(history)
        assert history.to_dict() == before
        assert schedule(history) == answer
        assert other(history) == answer
        assert schedule(History.from_dict(json.loads(json.dumps(before)))) == answer
        history.records[:] = [replace(record, weights={"M": 9.0}) for record in history.records]
        assert schedule(history) == answer


@settings(deadline=None)
@given(CASES)
def test_weights_move_one_way_within_a_stage_and_stay_in_their_bounds(case):
    """They lie between the lowest and the highest, never turn back, and once they rest they rest."""
    schedule, values, path, milestones = _drawn(case)
    given = [
        schedule(_before(values, epochs, path, milestones)) for epochs in range(milestones[-1])
    ]
    assert all(1e-10 <= weight <= 10 for weights in given for weight in weights.values())
    branches = schedule.patterns_of(THREE)
    for name, start, end in zip(path, milestones, milestones[1:], strict=False):
        for term in THREE:
            track = [weights[term] for weights in given[start - 1 : end]]
            steps = [b - a for a, b in pairwise(track)]
            way = branches[name].get(term)
            assert all(step <= 0 for step in steps) or way == "rises"
            assert all(step >= 0 for step in steps) or way == "falls"
            resting = [step == 0 for step in steps]
            assert resting == sorted(resting)


def test_patience_outlasts_a_short_rise():
    """A single rise stops the paper's rule, and neither a patience of two nor a moving average."""
    values = {"alpha": [9.0] * 7, "beta": [9, 8, 7, 6, 6.5, 5, 4.0]}
    paper = LossAdaptiveWeights((3, 13), steepness=0)
    assert paper(history_of(values, ["II"]))["beta"] == pytest.approx(0.8)
    for more in ({"patience": 2}, {"window": 2}):
        schedule = LossAdaptiveWeights((3, 13), steepness=0, **more)
        assert schedule(history_of(values, ["II"]))["beta"] == pytest.approx(0.5)


# What it says of itself, and what it refuses -----------------------------------------------------


def test_what_it_asks_of_the_training():
    """It lays out its epochs, keeps the last one and wants no plateau rule, early stopping or labels."""
    schedule = LossAdaptiveWeights()
    assert schedule.milestones == (100, 150, 200)
    assert schedule.planned_epochs == 200
    assert schedule.keeps == "last"
    assert not schedule.reduces_learning_rate
    assert not schedule.stops_early
    assert not getattr(schedule, "needs", ())


@pytest.mark.parametrize(
    "milestones", [[150, 100, 200], [100, 100], [100], [], [1.5, 3], "12", 7, [True, 3]]
)
def test_milestones_that_do_not_ascend_are_refused(milestones):
    """E1 < E2 < ..., two or more whole numbers from 1 on; the message says so."""
    with pytest.raises(InputError, match=r"E1 < E2 < \.\.\.|give a whole number of at least 1"):
        LossAdaptiveWeights(milestones)


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"lowest": -1e-3}, "lowest is -0.001"),
        ({"lowest": 1.0}, "below every weight at the start"),
        ({"weights": {"beta": 0}}, "below every weight at the start"),
        ({"weights": {"beta": math.inf}}, "the weight of beta is inf; give a finite one"),
        ({"weights": ["beta"]}, r"weights is \['beta'\]; give weights"),
        ({"lowest": "a"}, "lowest is 'a'; give a number from 0 on"),
        ({"highest": True}, "highest is True; give a number above 1"),
        ({"steepness": None}, "steepness is None; give a number from 0 on"),
        ({"directions": ["falling"]}, "^directions is .*; give one of: falling, rising, both$"),
        (
            {"criterion": ["training-loss"]},
            "^criterion is .*; give one of: validation-loss, training-loss$",
        ),
        ({"patterns": [[["beta"]]]}, "no name of a term"),
        ({"race": [["a", 2]]}, "a share is 'a'"),
        ({"race": None}, "race is None"),
        ({"highest": 1.0}, "highest is 1.0; give a number above 1"),
        ({"highest": math.nan}, "highest is nan"),
        ({"steepness": -1}, "steepness is -1"),
        ({"directions": "sideways"}, "one of: falling, rising, both"),
        ({"criterion": "loss"}, "one of: validation-loss, training-loss"),
        ({"window": 0}, "window is 0"),
        ({"patience": 1.5}, "patience is 1.5"),
        ({"milestones": (2, 5), "window": 3}, "window is 3 and the first milestone 2"),
        ({"patterns": [["beta"], []]}, "nothing in it"),
        ({"patterns": [["a", "b"], ["b", "a"]]}, "each set of terms once"),
        ({"race": [[0.4, 2], [0.2, 1]]}, "shares ascending"),
        ({"race": [[0.2, 2], [0.4, 3]]}, "never more than before"),
        ({"race": [[0.0, 2]]}, "shares ascending"),
        ({"race": [[1.0, 2]]}, "shares ascending"),
        ({"race": [[0.5, 0]]}, "survivors is 0"),
        ({"race": [0.5]}, "race is"),
        (
            {"race": 3},
            r"race is 3; give True, False or \(share of a stage, survivors\), the shares ascending in \(0, 1\): ",
        ),
        ({"milestones": [0, 5]}, "^a milestone is 0; give a whole number of at least 1$"),
    ],
)
def test_bad_parameters_are_refused(params, named):
    """Each error names the parameter and what it may be, before any training."""
    with pytest.raises(InputError, match=named):
        LossAdaptiveWeights(**params)


def test_terms_that_the_model_does_not_have_are_refused():
    """In a pattern or in the weights: the error lists the model's terms, before the first epoch."""
    with pytest.raises(InputError, match=r"pattern names gamma;.*are: alpha, beta"):
        LossAdaptiveWeights(patterns=[["gamma"]])(history_of(falling(0)))
    with pytest.raises(InputError, match=r"weights are given for kl;.*are: alpha, beta"):
        LossAdaptiveWeights(weights={"kl": 2})(history_of(falling(0)))


@pytest.mark.parametrize("path", [[], ["VIII"], ["I", "I"]])
def test_a_history_on_no_known_branch_is_refused(path):
    """In the middle of a stage the path has a known branch for each stage; the error lists them."""
    with pytest.raises(InputError, match=r"after epoch 3 .*\(1\), of: I, II, III"):
        LossAdaptiveWeights((2, 5))(history_of(falling(3), path))

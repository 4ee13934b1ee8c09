"""The check of a schedule finds what breaks its contract."""

import pytest

from recon_anomaly.testing import check_schedule


def annealed(history):
    """Keep the contract: the KL term rises over ten epochs, and falls if the loss did."""
    share = min(1.0, len(history) / 10)
    if len(history) > 1 and history.records[-1].loss > history.records[-2].loss:
        share /= 2
    return {term: share if term == "kl" else 1.0 for term in history.terms}


class ByAccuracy:
    """Keeps the contract: reads the figure that it needs."""

    needs = ("auroc",)

    def __call__(self, history):
        weight = history.records[-1].figures["auroc"] if history.records else 1.0
        return dict.fromkeys(history.terms, weight)


class Counting:
    """Counts its own calls."""

    calls = 0

    def __call__(self, history):
        self.calls += 1
        return dict.fromkeys(history.terms, 1 / self.calls)


class Remembering:
    """Remembers the epochs it was asked for, which a resumed run would not know."""

    def __init__(self):
        self.seen = set()

    def __call__(self, history):
        self.seen.add(len(history))
        return dict.fromkeys(history.terms, 1 / len(self.seen))


def forgetful(history):
    return {"reconstruction": 1.0}


def inventive(history):
    return dict.fromkeys((*history.terms, "beta"), 1.0)


def rewarding(history):
    return {"reconstruction": 1.0, "kl": -0.5}


def diverging(history):
    return {"reconstruction": 1.0, "kl": float("inf") if len(history) > 5 else 1.0}


def tidying(history):
    del history.records[:-3]
    return dict.fromkeys(history.terms, 1.0)


@pytest.mark.parametrize("schedule", [annealed, ByAccuracy])
def test_a_schedule_that_keeps_the_contract_passes(schedule):
    """A function of the terms and of the figures that it needs passes."""
    check_schedule(schedule)


@pytest.mark.parametrize(
    ("schedule", "law"),
    [
        (Counting, "the same history gives the same weights"),
        (Remembering, "the same history gives the same weights"),
        (Remembering(), "the same history gives the same weights"),
        (forgetful, "each term has a weight"),
        (inventive, "each term has a weight"),
        (rewarding, "finite and not negative"),
        (diverging, "finite and not negative"),
        (tidying, "the history is left as it is"),
    ],
)
def test_a_schedule_that_breaks_a_law_fails(schedule, law):
    """Each broken schedule raises AssertionError with the law that it breaks."""
    with pytest.raises(AssertionError, match=law):
        check_schedule(schedule)

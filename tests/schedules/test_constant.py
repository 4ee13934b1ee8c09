import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.schedules.constant import ConstantWeights


@pytest.fixture
def history():
    return History(("reconstruction", "kl"), 3)


def test_every_term_weighs_one(history):
    """Without weights of its own, each term of the model gets 1."""
    assert ConstantWeights()(history) == {"reconstruction": 1.0, "kl": 1.0}


def test_named_terms_get_their_weights(history):
    """A given weight, zero among them, is given; the other terms keep 1."""
    assert ConstantWeights({"kl": 4})(history) == {"reconstruction": 1.0, "kl": 4.0}
    assert ConstantWeights({"kl": 0})(history) == {"reconstruction": 1.0, "kl": 0.0}


def test_weights_stay_the_same_in_every_epoch(history):
    """The epochs so far change nothing."""
    schedule = ConstantWeights({"kl": 0.5})
    before = schedule(history)
    terms = {"reconstruction": 3.0, "kl": 100.0}
    history.records.append(EpochRecord(1, terms, terms, before, 0.1))
    assert schedule(history) == before


def test_a_weight_for_no_term_is_refused(history):
    """The error names the unknown terms and the model's own."""
    with pytest.raises(InputError, match=r"for beta, gamma;.*are: reconstruction, kl"):
        ConstantWeights({"gamma": 1.0, "kl": 1.0, "beta": 1.0})(history)


def test_the_given_mapping_is_copied(history):
    """Changing the mapping afterwards does not change the schedule."""
    weights = {"kl": 2.0}
    schedule = ConstantWeights(weights)
    weights["kl"] = 9.0
    assert schedule(history)["kl"] == 2.0


@pytest.mark.parametrize(
    ("keeps", "needs"), [("lowest-loss", ()), ("last", ()), ("auroc", ("auroc",))]
)
def test_the_epoch_that_is_kept_can_be_chosen(history, keeps, needs):
    """Only the one of the highest AUC needs labelled pictures; the weights stay the same."""
    schedule = ConstantWeights({"kl": 2.0}, keeps=keeps)
    assert (schedule.keeps, schedule.needs) == (keeps, needs)
    assert schedule(history) == ConstantWeights({"kl": 2.0})(history)


def test_by_default_the_lowest_loss_is_kept():
    """Without a word about it no labels are needed."""
    assert (ConstantWeights().keeps, ConstantWeights().needs) == ("lowest-loss", ())


def test_an_epoch_that_cannot_be_kept_is_refused():
    """The error lists the three that can."""
    with pytest.raises(InputError, match=r"keeps is 'best'.*lowest-loss, last, auroc"):
        ConstantWeights(keeps="best")


@pytest.mark.parametrize("weights", [{"kl": "a"}, {"kl": -1}, ["kl"], {3: 1.0}])
def test_weights_that_are_none_are_refused(weights):
    """What is no mapping of terms to numbers from 0 on is found when the schedule is made."""
    with pytest.raises(InputError, match=r"give (weights|a finite one) from 0 on"):
        ConstantWeights(weights)


def test_an_epoch_that_is_no_word_is_refused():
    """A list with a word in it is none of the three."""
    with pytest.raises(InputError, match=r"keeps is \['last'\].*lowest-loss, last, auroc"):
        ConstantWeights(keeps=["last"])

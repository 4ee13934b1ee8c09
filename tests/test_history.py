import dataclasses
import json

import pytest

from recon_anomaly.history import EpochRecord, History


@pytest.fixture
def epoch():
    return EpochRecord(
        epoch=2,
        training={"reconstruction": 12.345678, "kl": 0.5},
        validation={"reconstruction": 10.0, "kl": 0.25},
        weights={"reconstruction": 1.0, "kl": 4.0},
        learning_rate=0.003,
        figures={"auroc": 0.98765},
        seconds=1.26,
    )


def test_loss_is_the_unweighted_sum_of_validation_terms(epoch):
    """Neither the weights nor the training terms enter the loss."""
    assert epoch.loss == 10.25


def test_a_line_for_people(epoch):
    """The line has training / validation terms, figures, the learning rate and seconds."""
    assert epoch.line(50) == (
        "epoch 2/50  reconstruction 12.346 / 10  kl 0.5 / 0.25  auroc 0.9877  "
        "learning rate 0.003  1.3 s"
    )


def test_a_record_cannot_be_changed(epoch):
    """A schedule that assigns to a record gets an error."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        epoch.epoch = 3


def test_a_history_survives_json(epoch):
    """What to_dict gives passes through JSON and comes back equal."""
    history = History(("reconstruction", "kl"), 50, [epoch, epoch], kept_epoch=2)
    back = History.from_dict(json.loads(json.dumps(history.to_dict())))
    assert back == history
    assert isinstance(back.terms, tuple)
    assert back.records[0].loss == 10.25


def test_a_dictionary_is_a_copy(epoch):
    """Changing the dictionary does not change the history."""
    history = History(("reconstruction", "kl"), 50, [epoch])
    history.to_dict()["records"][0]["validation"]["kl"] = 99.0
    assert epoch.validation["kl"] == 0.25


def test_a_new_history_is_empty():
    """Terms and planned epochs are known before the first epoch, and records are not shared."""
    one, other = History(("a",), 3), History(("a",), 3)
    assert (len(one), one.terms, one.planned_epochs, one.kept_epoch) == (0, ("a",), 3, None)
    one.records.append(None)
    assert len(one) == 1
    assert len(other) == 0

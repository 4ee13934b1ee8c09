import json

import pytest

from recon_anomaly.decisions import decide
from recon_anomaly.errors import SavedFileError
from recon_anomaly.ledger import Ledger
from recon_anomaly.settings import key_of

SETTINGS = [{"model": name} for name in "abc"]


def _record(settings, scores=(1.0, 2.0)):
    return {
        **dict.fromkeys(("data", "test_set"), "a"),
        **dict.fromkeys(("layout", "epochs", "batch_size", "learning_rate", "schedule", "seed")),
        **dict.fromkeys(("scorer", "auroc", "average_precision", "pr_auc", "validation_scores")),
        **{name: {} for name in ("schedule_params", "model_params", "intervals")},
        **dict.fromkeys(("n_good", "n_test_good", "n_test_anomalous"), 1),
        "drop_leaked": False,
        "image_size": [16, 16],
        **settings,
        "key": key_of(settings),
        "data_checksum": "x",
        "labels": [0, 1],
        "scores": list(scores) if scores else None,
        "decisions": {},
    }


def test_the_file_is_whole_after_every_record(tmp_path):
    """Each line is a record with its leakage, in the order in which they were kept."""
    out = tmp_path / "a.jsonl"
    ledger = Ledger(out, False)
    ledger.note_leakage("x", {"near": 1})
    for count, settings in enumerate(SETTINGS, start=1):
        kept = ledger.keep(_record(settings))
        assert kept["leakage"] == {"near": 1}
        lines = [json.loads(line) for line in out.read_text().splitlines()]
        assert [line["model"] for line in lines] == list("abc"[:count])
        assert lines[-1] == kept


def test_a_later_ledger_knows_the_records_of_the_file(tmp_path):
    """Those of its settings are given back, and what is known of the data now stands beside them."""
    out = tmp_path / "a.jsonl"
    Ledger(out, False).keep(_record(SETTINGS[0]))
    with pytest.raises(SavedFileError, match="say --resume"):
        Ledger(out, False)
    later = Ledger(out, True)
    later.note_leakage("x", {"near": 3})
    assert [later.knows(settings) for settings in SETTINGS] == [True, False, False]
    assert later.known(SETTINGS[0])["leakage"] == {"near": 3}
    later.keep(_record(SETTINGS[1]))
    assert not later.knows(SETTINGS[1])  # before this bench there was none
    assert len(out.read_text().splitlines()) == 2


def test_leakage_is_of_one_data_set_alone(tmp_path):
    """The records of other data keep theirs."""
    out = tmp_path / "a.jsonl"
    first = Ledger(out, False)
    first.note_leakage("x", {"near": 1})
    first.keep(_record(SETTINGS[0]))
    later = Ledger(out, True)
    later.note_leakage("y", {"near": 5})
    assert later.known(SETTINGS[0])["leakage"] == {"near": 1}


def test_a_fixed_threshold_joins_every_record_with_scores(tmp_path):
    """Those of the file, too; a record without scores has nothing to decide."""
    out = tmp_path / "a.jsonl"
    Ledger(out, False).keep(_record(SETTINGS[0]))
    ledger = Ledger(out, True, threshold=1.5)
    known, kept = ledger.known(SETTINGS[0]), ledger.keep(_record(SETTINGS[1], scores=()))
    assert known["decisions"]["value"] == decide(known, "value", threshold=1.5)
    assert kept["decisions"] == {}


def test_without_a_file_records_are_only_given_back():
    """Nothing is written and nothing known."""
    ledger = Ledger(None, False)
    assert ledger.keep(_record(SETTINGS[0]))["model"] == "a"
    assert not ledger.knows(SETTINGS[0])

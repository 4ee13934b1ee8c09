"""What is written as TOML is read back as it was."""

import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recon_anomaly import InputError
from recon_anomaly.cli.runfiles import ConfigText, offered, toml_of, write_beside

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ONE = st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXTS


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the first text takes long
@given(ONE | st.lists(ONE, min_size=1))
def test_values_come_back(value):
    """Any number, text or list of them is what tomllib reads, of the same type."""
    found = tomllib.loads(f"key = {toml_of(value)}")["key"]
    assert repr(found) == repr(value)  # NaN is not equal to itself, and true is to 1


def test_what_was_not_given_is_left_out():
    """None and empty lists do not stand in the file; false and empty texts do."""
    values = {"a": None, "b": [], "c": False, "d": ""}
    assert tomllib.loads(str(ConfigText("fit", values))) == {"fit": {"c": False, "d": ""}}


def test_a_name_that_is_no_unicode_is_refused():
    """A path with other bytes cannot stand in TOML."""
    with pytest.raises(InputError, match="no Unicode"):
        toml_of("pictures-\udcff")


def test_what_cannot_be_written_does_not_cost_the_model(tmp_path, capsys):
    """Beside a model it is only said that the options were not written; outside of a command nothing is."""
    with offered(ConfigText("fit", {"folder": "pictures-\udcff"})):
        write_beside(tmp_path / "model.safetensors")
    assert "no Unicode" in capsys.readouterr().err
    with offered(ConfigText("fit", {})):
        write_beside(tmp_path / "missing" / "model.safetensors")
    assert "cannot write" in capsys.readouterr().err
    write_beside(tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == []

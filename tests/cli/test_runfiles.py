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


def test_files_of_one_stem_have_options_of_their_own(tmp_path):
    """The whole name is kept, so that a model and records of the same stem do not meet."""
    for name in ("parts.safetensors", "parts.a", "parts"):
        with offered(ConfigText("fit", {"out": name})):
            write_beside(tmp_path / name)
    for name in ("parts.safetensors", "parts.a", "parts"):
        found = tomllib.loads((tmp_path / f"{name}.run.toml").read_text())
        assert found == {"fit": {"out": name}}


@pytest.mark.parametrize(
    ("more", "read", "message"),
    [
        ("", True, "is what --config read"),
        ("[threshold]\nfalse-alarm = 0.1\n", False, "holds more than [fit]: threshold"),
        ("[fit", False, "no TOML"),
    ],
)
def test_what_would_be_lost_stays(more, read, message, tmp_path, capsys):
    """A file that was read, or that holds what the command would not write again, is left alone, and a line says so."""
    path = tmp_path / "a.safetensors.run.toml"
    text = str(ConfigText("fit", {"seed": 1})) + more
    path.write_text(text)
    # The same file by another name.
    source = tmp_path / ".." / tmp_path.name / path.name if read else None
    with offered(ConfigText("fit", {"seed": 2}, source=source)):
        write_beside(tmp_path / "a.safetensors")
    assert path.read_text() == text
    assert message in capsys.readouterr().err


def test_what_the_same_command_wrote_is_written_anew(tmp_path, capsys):
    """Where nothing but the options of an earlier run would be lost, those of this one take their place."""
    for seed in (1, 2):
        with offered(ConfigText("fit", {"seed": seed})):
            write_beside(tmp_path / "a.safetensors")
    path = tmp_path / "a.safetensors.run.toml"
    assert tomllib.loads(path.read_text()) == {"fit": {"seed": 2}}
    assert capsys.readouterr().err == ""

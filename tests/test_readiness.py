from types import SimpleNamespace

import pytest

from recon_anomaly import InputError, PluginError, devices, readiness
from recon_anomaly.grid import Row
from recon_anomaly.hookspecs import hookimpl
from recon_anomaly.jobs import Pool
from recon_anomaly.readiness import (
    check_everywhere,
    check_here,
    precisions_here,
    used_versions,
)
from recon_anomaly.registry import plugin_manager, register

SHAPE = (16, 16, 1)
ROWS = [
    Row("pca"),
    Row(
        "cvae",
        {"kernels": [2]},
        "combined",
        parts=("awl-auc", "constant"),
        corruptor="gaussian",
    ),
]


def test_all_names_that_are_used_have_versions():
    """Of scorers, models, corruptors, schedules and the schedules that these are made of."""
    versions = used_versions(ROWS, ["mse"])
    assert set(versions) == {
        ("scorer", "mse"),
        ("model", "pca"),
        ("model", "cvae"),
        ("schedule", "combined"),
        ("schedule", "awl-auc"),
        ("schedule", "constant"),
        ("corruptor", "gaussian"),
    }
    assert len(set(versions.values())) == 1
    check_here(ROWS, versions, SHAPE, "cpu")


def test_what_another_process_cannot_find_is_refused():
    """A plugin that was registered by hand is in this process alone."""

    @hookimpl
    def recon_anomaly_models():
        return {"mine": "recon_anomaly.models.mean:MeanPicture"}

    manager = plugin_manager()
    register(manager, SimpleNamespace(recon_anomaly_models=recon_anomaly_models), "notebook")
    try:
        with pytest.raises(InputError, match="'mine' was registered in this process only"):
            used_versions([Row("mine")], ["mse"])
    finally:
        manager.unregister(name="notebook")


def test_another_version_or_none_is_refused():
    """Where the trainings would run, not where they were planned."""
    versions = used_versions(ROWS, ["mse"])
    with pytest.raises(InputError, match=r"'pca' is of recon-anomaly .*, and of 7 where the bench"):
        check_here(ROWS, versions | {("model", "pca"): "7"}, SHAPE, "cpu")
    with pytest.raises(PluginError, match="no scorer is named 'acme:sharp'"):
        check_here(ROWS, {("scorer", "acme:sharp"): "1"}, SHAPE, "cpu")
    with pytest.raises(InputError, match="known are: auto"):
        check_here(ROWS, versions, SHAPE, "cuda:99")


def test_other_frozen_weights_are_refused(monkeypatch):
    """Rows name theirs by a checksum."""
    row = Row("cvae", {"kernels": [2]}, "constant", weights={"backbone": "abc"})
    monkeypatch.setattr(readiness, "weights_checksums", lambda network: {"backbone": "abc"})
    check_here([row], {}, SHAPE, "cpu")
    monkeypatch.setattr(readiness, "weights_checksums", lambda network: {"backbone": "xyz"})
    with pytest.raises(InputError, match="'cvae' has other frozen weights"):
        check_here([row], {}, SHAPE, "cpu")


def test_precisions_are_those_of_the_batches(monkeypatch):
    """The word auto looks at the pixels of a batch, whose size is the row's or the model's own; a closed form has none."""
    monkeypatch.setattr(devices, "_has_matrix_extensions", lambda: True)
    rows = [
        Row("pca"),
        Row("cae", schedule="constant", precision="auto"),
        Row("cae", schedule="constant", batch_size=4, precision="auto"),
        Row("cae", schedule="constant", precision="float32"),
    ]
    assert precisions_here(rows, (128, 128, 1), "cpu") == [None, "bfloat16", "float32", "float32"]
    assert check_here(rows[:2], {}, (128, 128, 1), "cpu") == [None, "bfloat16"]


def test_processes_that_would_train_in_other_precisions_are_refused():
    """The error says where, and what to name; alike they are what the rows are trained in."""
    rows = [Row("pca"), Row("cae", schedule="constant", precision="auto")]
    told = {"tcp://a": [None, "float32"], "tcp://b": [None, "float32"]}

    class Fake(Pool):
        def everywhere(self, function, *arguments):
            return told

    assert check_everywhere(Fake(2), rows, ["mse"], SHAPE, "cpu") == [None, "float32"]
    told["tcp://b"] = [None, "bfloat16"]
    with pytest.raises(
        InputError, match=r"float32 for 'cae' on tcp://a and bfloat16 on tcp://b.*name one"
    ):
        check_everywhere(Fake(2), rows, ["mse"], SHAPE, "cpu")

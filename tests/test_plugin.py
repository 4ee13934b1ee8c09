"""A third party's model, scorer, corruptor and schedule work everywhere that the built-ins do."""

import json
import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image
from sklearn.utils.estimator_checks import check_estimator

from recon_anomaly import ReconstructionDetector, SavedFileError, load, registry, run_bench
from recon_anomaly.cli import main
from recon_anomaly.testing import CHECKS

ACME = {
    "model": "skip-ae",
    "scorer": "worst-tenth",
    "corruptor": "black-bar",
    "schedule": "warm-up",
}


def _detector(**params):
    return ReconstructionDetector(**ACME, epochs=2, **params)


@pytest.mark.parametrize("kind", ACME)
def test_it_is_found_with_its_package(acme, kind):
    """The registry knows the plugin, its distribution and its version."""
    offer = registry.find(kind, ACME[kind])
    assert (offer.plugin, offer.distribution, offer.version) == (
        "acme",
        "recon-anomaly-acme",
        "1.2.3",
    )


@pytest.mark.parametrize("kind", ACME)
def test_it_passes_the_shipped_checks(acme, kind):
    """What a plugin author would run on their own parts."""
    CHECKS[kind](ACME[kind])


def test_it_passes_scikit_learns_checks(acme):
    """A third party's model in the detector obeys every convention of scikit-learn."""
    results = check_estimator(_detector(batch_size=64))
    assert len(results) >= 46
    assert {result["status"] for result in results} == {"passed"}


def test_it_fits_scores_and_loads(acme, good, bad, tmp_path):
    """All four parts together: fitted, saved and loaded, with equal scores."""
    detector = _detector(model_params={"width": 3}, scorer_params={"share": 0.2}).fit(good)
    assert detector.anomaly_score(bad).min() > np.median(detector.anomaly_score(good))
    detector.save(tmp_path / "acme.safetensors")
    loaded = load(tmp_path / "acme.safetensors")
    assert loaded.get_params()["model"] == "acme:skip-ae"
    assert np.array_equal(loaded.score_samples(bad), detector.score_samples(bad))
    assert loaded.scorer_.level == detector.scorer_.level


def test_a_file_without_its_plugin_names_the_package(acme, good, tmp_path, monkeypatch):
    """Loading where the plugin is missing says what to install."""
    _detector().fit(good).save(tmp_path / "acme.safetensors")
    monkeypatch.setenv("RECON_ANOMALY_PLUGINS", "")
    registry.plugin_manager.cache_clear()
    with pytest.raises(SavedFileError, match=r"install the package recon-anomaly-acme 1\.2\.3"):
        load(tmp_path / "acme.safetensors")


def test_it_works_on_the_command_line(acme, good, bad, tmp_path, monkeypatch, capsys):
    """Fit and score take the plugin's names."""
    for name, pictures in {"good": good, "new": bad}.items():
        (tmp_path / name).mkdir()
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / name / f"{k:02}.png")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["recon-anomaly", *map(str, arguments)])
        monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert not ended.value.code, printed.err
        return printed.out

    parts = [part for kind, name in ACME.items() for part in (f"--{kind}", name)]
    options = ["--image-size", "16", "--epochs", "2", "--model-param", "width=3"]
    model = tmp_path / "m.safetensors"
    command("fit", tmp_path / "good", "-o", model, *parts, *options)
    rows = json.loads(command("score", model, tmp_path / "new", "--json"))
    assert [row["label"] for row in rows] == ["anomalous"] * len(bad)


def test_it_is_listed_by_a_fresh_process(acme_site):
    """`plugins` finds the parts of the package that is installed, without a test's help."""
    environment = os.environ | {"PYTHONPATH": str(acme_site), "RECON_ANOMALY_PLUGINS": "acme"}
    command = [sys.executable, "-m", "recon_anomaly", "plugins", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)
    assert {row["name"] for row in listed if row["plugin"] == "acme"} == set(ACME.values())


def test_it_works_in_the_bench(acme):
    """A grid takes the plugin's model, scorer, corruptor and schedule by name."""
    records = run_bench(
        models=["skip-ae"],
        scorers=["worst-tenth"],
        corruptors=["black-bar"],
        schedules=["warm-up"],
        image_size=16,
        epochs=1,
    )
    ours = [record for record in records if record["model"] == "skip-ae"]
    assert [record["test_set"] for record in ours] == ["black-bar", "defects"]
    assert all(0 <= record["auroc"] <= 1 for record in ours)

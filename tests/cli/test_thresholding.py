"""The command that sets a threshold anew, and what score says by p-values."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector, load
from recon_anomaly.conformal import conformal, discoveries
from recon_anomaly.saving import to_bytes
from recon_anomaly.thresholds import youden


@pytest.fixture
def model(tmp_path, good):
    """A saved detector of the mean picture of the 40 good ones, 32 of which it was trained on."""
    detector = ReconstructionDetector("mean", image_size=16, batch_size=8, device="cpu").fit(good)
    path = tmp_path / "model.safetensors"
    detector.save(path)
    return path


@pytest.fixture
def folders(tmp_path, good, bad):
    """Folders of PNGs: 25 new good pictures, 8 defective ones, and the trained ones."""
    new = np.random.default_rng(9).integers(20, 40, (25, 16, 16, 1))
    new[:, 4:12, 4:12] += 140
    made = {}
    for name, pictures in {"new": new.astype(np.uint8), "bad": bad, "trained": good}.items():
        made[name] = tmp_path / "pictures" / name
        made[name].mkdir(parents=True)
        for number, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(made[name] / f"{number:02}.png")
    return made


def tensors_of(path):
    from safetensors.numpy import load_file

    return load_file(path)


def test_the_file_has_the_new_threshold_and_else_what_it_had(run, model, folders):
    """It is rewritten in place: the rule's threshold, the calibration scores, and the same network."""
    before, old = tensors_of(model), load(model)
    code, stdout, errors = run(
        "threshold", model, "--good", folders["new"], "--rule", "conformal", "--false-alarm", "0.1"
    )
    assert code == 0
    new = load(model)
    scores = old.anomaly_score(folders["new"])
    assert -new.offset_ == conformal(scores, false_alarm=0.1)
    assert new.threshold_rule_ == {"rule": "conformal", "false_alarm": 0.1}
    assert np.array_equal(new.calibration_scores_, np.sort(scores))
    after = tensors_of(model)
    changed = {key for key in before if not np.array_equal(before[key], after[key])}
    assert (set(before), changed) == (set(after), {"detector.calibration_scores"})
    assert np.array_equal(new.score_samples(folders["bad"]), old.score_samples(folders["bad"]))
    above = [(scores > -one.offset_).sum() for one in (old, new)]
    lines = stdout.splitlines()
    assert lines[0].startswith(
        f"old threshold {-old.offset_:.6g} (quantile false_alarm=0.05): {above[0]} of 25 good"
    )
    assert lines[1] == (
        f"new threshold {-new.offset_:.6g} (conformal false_alarm=0.1): {above[1]} of 25 good pictures above"
    )
    assert "at most 0.1," in lines[2]
    assert "needs 9 good pictures; there were 25" in lines[3]
    assert "written" in errors
    assert "warning" not in errors


def test_json_says_the_same(run, model, folders, tmp_path):
    """With defects, into another file: thresholds, counts and promise, on stdout alone; FILE stays."""
    out, content = tmp_path / "other.safetensors", model.read_bytes()
    code, stdout, errors = run(
        *("threshold", model, "--good", folders["new"], "--defects", folders["bad"]),
        *("--false-alarm", "0.01", "-o", out, "--json"),
    )
    said, old, new = json.loads(stdout), load(model), load(out)
    assert code == 0
    assert model.read_bytes() == content
    good, bad = (old.anomaly_score(folders[name]) for name in ("new", "bad"))
    for which, detector in (("old", old), ("new", new)):
        assert said[which] == {
            "threshold": -detector.offset_,
            "rule": detector.threshold_rule_,
            "good_above": (good > -detector.offset_).sum(),
            "defects_above": (bad > -detector.offset_).sum(),
        }
    assert (said["file"], said["good"], said["defects"], said["skipped"]) == (str(out), 25, 8, [])
    promise = said["promise"]
    assert (promise["false_alarm"], promise["guaranteed"], promise["needed"]) == (1 / 26, True, 99)
    assert said["new"]["good_above"] == 0
    assert "warning: 25 good pictures are too few" in errors
    assert len(new.calibration_scores_) == 25


def test_rules_with_labels_take_defects(run, model, folders):
    """Youden's J between the two folders; without defects it is wrong usage, and nothing is scored."""
    command = ("threshold", model, "--good", folders["new"], "--rule", "youden")
    detector = load(model)
    good, bad = (detector.anomaly_score(folders[name]) for name in ("new", "bad"))
    assert run(*command)[0] == 2
    code, stdout, _ = run(*command, "--defects", folders["bad"])
    assert code == 0
    assert -load(model).offset_ == youden(np.append(good, bad), np.repeat([0, 1], [25, 8]))
    assert "8 of 8 defective ones" in stdout.splitlines()[1]
    assert "nothing about how often" in stdout


def test_a_given_threshold_is_set(run, model, folders):
    """The rule value takes --threshold."""
    command = ("threshold", model, "--good", folders["new"], "--rule", "value")
    assert run(*command, "--threshold", "0.25")[0] == 0
    assert load(model).offset_ == -0.25


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--good", "TRAINED"], 1, "32 of the 40 pictures were trained on, the first is "),
        (["--good", "NEW", "--defects", "TRAINED"], 1, "32 of the 40 pictures were trained on"),
        (
            ["--good", "NEW", "--false-alarm", "2"],
            1,
            "false_alarm is 2.0; give a share between 0 and 1",
        ),
        (["--good", "NEW", "--tail", "0.2"], 1, "rule 'conformal' does not take"),
        (["--good", "NEW", "--rule", "value"], 1, "does not take"),
        (["--good", "NEW", "--rule", "peaks-over-threshold"], 1, "of 25 good pictures' scores lie"),
        (["--good", "NEW", "--rule", "median"], 2, "say one of best-f1, conformal"),
        (["--good", "nowhere"], 1, "nowhere does not exist"),
        (["--good", "NEW", "-o", "nowhere/a.safetensors"], 1, "cannot write"),
        (["--good", "PICTURES"], 1, "does not sound like good parts"),
        ([], 2, "--good"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(options, code, message, run, model, folders):
    """No traceback, nothing on stdout, and the file is what it was."""
    content = model.read_bytes()
    places = {"NEW": folders["new"], "TRAINED": folders["trained"]}
    places["PICTURES"] = folders["new"].parent
    found, stdout, errors = run("threshold", model, *(places.get(one, one) for one in options))
    assert (found, stdout) == (code, "")
    assert message in " ".join(errors.replace("│", " ").split())
    assert "Traceback" not in errors
    assert model.read_bytes() == content


def test_files_that_cannot_be_read_are_listed(run, model, folders):
    """With --skip-unreadable they are left out of the counts, else the first is the error."""
    (folders["new"] / "03.png").write_text("no picture")
    command = ("threshold", model, "--good", folders["new"], "--false-alarm", "0.1")
    code, _, errors = run(*command)
    assert code == 1
    assert "03.png cannot be used" in errors
    code, stdout, errors = run(*command, "--skip-unreadable")
    assert code == 0
    assert "of 24 good pictures above" in stdout
    assert "skipped files: 1" in errors


def test_a_file_with_its_frozen_weights_keeps_them(run, tmp_path, folders, good, drawn_weights):
    """What was saved self-contained is so afterwards, and what names its weights still names them."""
    detector = ReconstructionDetector("tcae", image_size=16, epochs=1, device="cpu").fit(good)
    for whole in (True, False):
        path = tmp_path / "tcae.safetensors"
        detector.save(path, self_contained=whole)
        before = tensors_of(path)
        assert run("threshold", path, "--good", folders["new"], "--false-alarm", "0.1")[0] == 0
        assert set(tensors_of(path)) == set(before)
        assert len(to_bytes(load(path))) == path.stat().st_size


# score ------------------------------------------------------------------------------------------------


def rows_of(text):
    return list(csv.DictReader(text.splitlines()))


def test_score_has_a_column_of_p_values(run, model, folders):
    """In CSV and JSON, those of the library; the label is still that of the threshold."""
    code, stdout, _ = run("score", model, folders["new"], folders["bad"])
    rows, detector = rows_of(stdout), load(model)
    paths = [row["path"] for row in rows]
    assert code == 0
    assert list(rows[0]) == ["path", "score", "decision", "label", "p_value"]
    assert [float(row["p_value"]) for row in rows] == detector.p_value(paths).tolist()
    labels = np.where(detector.predict(paths) == 1, "good", "anomalous").tolist()
    assert [row["label"] for row in rows] == labels
    _, stdout, _ = run("score", model, folders["new"], folders["bad"], "--json")
    assert [row["p_value"] for row in json.loads(stdout)] == detector.p_value(paths).tolist()


def test_a_false_discovery_rate_decides_on_the_batch(run, model, folders):
    """The labels are those of Benjamini and Hochberg over all pictures; scores and decisions stay."""
    run("threshold", model, "--good", folders["new"], "--rule", "value", "--threshold", "99")
    command = ("score", model, folders["trained"], folders["bad"])
    plain = rows_of(run(*command)[1])
    assert {row["label"] for row in plain} == {"good"}  # the threshold is out of reach
    code, stdout, errors = run(*command, "--false-discovery", "0.3")
    rows = rows_of(stdout)
    called = np.array([row["label"] == "anomalous" for row in rows])
    assert code == 0
    assert np.array_equal(called, discoveries(load(model).p_value([r["path"] for r in rows]), 0.3))
    assert called[40:].all()
    assert f"48 pictures, {called.sum()} anomalous\n" in errors
    assert "a share of at most 0.3 is expected to be good" in errors
    for name in ("path", "score", "decision", "p_value"):
        assert [row[name] for row in rows] == [row[name] for row in plain]


def test_a_rate_that_nothing_can_reach_is_warned_of(run, model, folders):
    """Calibrated on 8 pictures no p-value is below 1/9, and a rate of 0.1 calls nothing anomalous."""
    code, stdout, errors = run("score", model, folders["bad"], "--false-discovery", "0.1")
    assert code == 0
    assert {row["label"] for row in rows_of(stdout)} == {"good"}
    assert "calibrated on 8 good pictures, and with fewer than 9 no picture can be" in errors


def test_a_batch_without_discoveries_says_what_it_takes(run, model, folders):
    """One defect among 25 good pictures, 25 calibration pictures: 1/26 is at most 0.2 k / 26 from k = 5 on."""
    run("threshold", model, "--good", folders["new"], "--false-alarm", "0.1")
    bad = folders["bad"] / "00.png"
    code, _, errors = run("score", model, folders["new"], bad, "--false-discovery", "0.2")
    assert code == 0
    assert "26 pictures, 0 anomalous" in errors
    assert "with 25 calibration pictures fewer than 5 of 26 cannot be called so" in errors


@pytest.mark.parametrize("share", ["0", "1", "1.5", "nan"])
def test_a_false_discovery_rate_is_a_share(share, run, model, folders):
    """Wrong usage, before anything is scored."""
    code, stdout, errors = run("score", model, folders["bad"], "--false-discovery", share)
    assert (code, stdout) == (2, "")
    assert "a share between 0 and 1" in " ".join(errors.replace("│", " ").split())

"""Calibration: on pictures that were not trained on, and p-values that agree with the threshold."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recon_anomaly import AutoDetector, CalibrationWarning, ReconstructionDetector, read_pictures
from recon_anomaly.calibration import unseen_scores
from recon_anomaly.errors import InputError, PictureError
from recon_anomaly.fitted import NotFittedError
from recon_anomaly.pictures import list_pictures


def fitted(X, model="mean", validation_data=None, **params):
    params = {"image_size": 16, "epochs": 1, "batch_size": 8, "device": "cpu", **params}
    return ReconstructionDetector(model, **params).fit(X, validation_data=validation_data)


@pytest.fixture
def new():
    """30 good pictures like those of the fixture ``good``, and none of them."""
    pictures = np.random.default_rng(9).integers(20, 40, (30, 16, 16, 1))
    pictures[:, 4:12, 4:12] += 140
    return pictures.astype(np.uint8)


@pytest.fixture
def folder(good, new, tmp_path):
    """25 new pictures and, in between, two of those that are trained on, as files."""
    for number, picture in enumerate([*new[:9], good[3], *new[9:20], good[8], *new[20:25]]):
        Image.fromarray(picture[..., 0]).save(tmp_path / f"{number:02}.png")
    return tmp_path


# What was trained on ----------------------------------------------------------------------------------


def test_pictures_that_were_trained_on_are_refused(good, new):
    """The error counts them and says which is the first; threshold and calibration stay as they were."""
    detector = fitted(good, validation_fraction=0.5)
    trained = [picture for picture in good if in_training(detector, picture)]
    before = dict(vars(detector))
    assert len(trained) == 20
    X = np.concatenate([new[:3], trained[:2], new[3:6]])
    message = "2 of the 8 pictures were trained on, the first is number 3 of X: .*give others"
    with pytest.raises(InputError, match=message):
        detector.calibrate(X)
    assert vars(detector) == before


def in_training(detector, picture):
    try:
        detector.calibrate(picture[None], rule="value", threshold=1.0)
    except InputError:
        return True
    return False


def test_validation_pictures_are_not_trained_on(good):
    """They may calibrate: those that are given for it, and those that are held out."""
    detector = fitted(good[:30], validation_data=good[30:])
    assert detector.calibrate(good[30:]) is detector
    with pytest.raises(InputError, match="30 of the 40"):
        detector.calibrate(good)
    held_out = fitted(good, validation_fraction=0.25)
    assert sum(in_training(held_out, picture) for picture in good) == 30
    assert held_out.calibrate_on_validation("conformal", false_alarm=0.2) is held_out


@pytest.mark.parametrize("model", ["mean", "cae"])
def test_files_are_known_again(model, good, folder):
    """Whatever holds them: a folder, paths, or a store; the error names the first file."""
    detector = fitted(good, model, validation_data=good[:1] // 2)
    paths = sorted(folder.iterdir())
    store = read_pictures(paths, image_size=16)
    turned = store.take(np.arange(26, -1, -1))
    for X, first in ((folder, "09"), (paths, "09"), (store, "09"), (turned, "21")):
        with pytest.raises(
            InputError, match=rf"2 of the 27 pictures were .*first is .*{first}\.png: "
        ):
            detector.calibrate(X)
    others = [path for path in paths if path.name not in ("09.png", "21.png")]
    assert np.array_equal(
        unseen_scores(detector, others),
        detector.anomaly_score(read_pictures(others, image_size=16)),
    )


@pytest.mark.parametrize("kind", ["floats", "uint16", "rows", "frame"])
def test_arrays_of_other_types_are_known_again(kind, good, new):
    """A detector of uint8 knows shares, 16 bits and rows of the same pictures, and no others."""
    made = {
        "floats": lambda X: X / 255,
        "uint16": lambda X: X.astype(np.uint16) * 257,
        "rows": lambda X: X.reshape(len(X), -1),
        "frame": lambda X: pd.DataFrame(X.reshape(len(X), -1)),
    }[kind]
    detector = fitted(good, validation_data=good[:1] // 2)
    assert detector.calibrate(made(new)) is detector
    with pytest.raises(InputError, match="1 of the 31 pictures"):
        detector.calibrate(made(np.concatenate([new, good[5:6]])))


def test_files_that_cannot_be_read_are_left_out(folder, good):
    """With a list that takes them up, and what remains is scored; the progress counts what was read."""
    (folder / "09.png").write_text("no picture")
    (folder / "21.png").unlink()
    detector, skipped, seen = fitted(good), [], []
    with pytest.raises(PictureError, match=r"09\.png"):
        unseen_scores(detector, folder)
    scores = unseen_scores(detector, folder, skipped=skipped, progress=seen.append)
    assert [path.name for path, _ in skipped] == ["09.png"]
    assert (len(scores), seen) == (25, [8, 16, 24, 25])


def test_another_scorer_and_the_chosen_model_know_them_too(good, new):
    """with_scorer's detector and AutoDetector have the hashes of what they were trained on."""
    detector = fitted(good[:30], validation_data=good[30:]).with_scorer("max1p", good[30:])
    auto = AutoDetector(candidates=[("mean", {})], scorers=("mse",), device="cpu")
    auto.fit(good[:30], validation_data=good[30:])
    for one in (detector, auto):
        assert one.training_hashes_.shape == (30, 8)
        assert one.training_hashes_.dtype == np.uint8
        with pytest.raises(InputError, match="30 of the 40"):
            one.calibrate(good)
        assert one.calibrate(new) is one


def test_a_wrong_rule_is_refused_before_anything_is_scored(good, monkeypatch):
    """So are parameters that it does not take."""
    detector = fitted(good)
    monkeypatch.setattr("recon_anomaly.fitted.unseen_scores", lambda *_: pytest.fail("was scored"))
    with pytest.raises(InputError, match="say one of"):
        detector.calibrate(good, rule="median")
    with pytest.raises(InputError, match="does not take"):
        detector.calibrate(good, rule="conformal", tail=0.1)


# p-values ---------------------------------------------------------------------------------------------


def test_p_values_rank_among_the_pictures_of_the_last_calibration(good, new, bad):
    """Those of fit at first; calibrate takes others, and labels leave the anomalous ones out."""
    detector = fitted(good[:30], validation_data=good[30:])

    def wanted(calibration):
        scores = detector.anomaly_score(bad)
        others = detector.anomaly_score(calibration)
        return [(1 + sum(others >= score)) / (len(others) + 1) for score in scores]

    assert detector.p_value(bad).tolist() == wanted(good[30:])
    assert np.array_equal(detector.calibration_scores_, np.sort(-detector.validation_scores_))
    detector.calibrate(new)
    assert detector.p_value(bad).tolist() == wanted(new)
    labels = np.repeat([1, -1], [30, 8])
    detector.calibrate(np.concatenate([new, bad]), labels, "youden")
    assert detector.p_value(bad).tolist() == pytest.approx(wanted(new))
    assert detector.calibration_scores_.shape == (30,)
    assert detector.calibrate_on_validation().p_value(bad).tolist() == wanted(good[30:])


def test_without_good_pictures_the_calibration_scores_stay(good, bad):
    """A threshold that is given needs none."""
    detector = fitted(good)
    before = detector.calibration_scores_
    detector.calibrate(bad, [-1] * 8, "value", threshold=0.5)
    assert detector.calibration_scores_ is before


def test_the_decision_is_that_of_the_p_value(good, new):
    """By a conformal threshold exactly those with p <= false_alarm are anomalous, ties included."""
    detector = fitted(good, "nearest")
    detector.calibrate(new[:19], rule="conformal", false_alarm=0.25)
    X = np.concatenate([new, good, new[:19]])
    values = detector.p_value(X)
    assert np.array_equal(detector.predict(X) == -1, values <= 0.25)
    assert 0 < (values <= 0.25).sum() < len(X)
    assert (values[-19:] <= 0.25).sum() == 4  # 5/20 is allowed, and one place is the new picture's


def test_too_few_pictures_are_warned_of_by_the_detector(good, new):
    """The threshold is then the largest of their scores."""
    detector = fitted(good)
    with pytest.warns(CalibrationWarning, match="30 good pictures are too few .* 99 are needed"):
        detector.calibrate(new, rule="conformal", false_alarm=0.01)
    assert -detector.offset_ == pytest.approx(detector.anomaly_score(new).max(), rel=1e-12)
    assert (detector.predict(new) == 1).all()


def test_an_unfitted_detector_has_no_p_values(good):
    """It says that it is not fitted, as for everything else."""
    for ask in (ReconstructionDetector().p_value, ReconstructionDetector().calibrate):
        with pytest.raises(NotFittedError):
            ask(good)


def test_real_castings_are_known_again_and_seldom_false_alarms(real_data):
    """Of 80 that are trained on each is refused; of 100 others about a tenth lie above a threshold of 99."""
    paths = np.array(list_pictures(real_data / "casting_300" / "train" / "ok_front"), dtype=object)
    train, calibration, others = np.split(
        np.random.default_rng(0).permutation(paths)[:279], [80, 179]
    )
    detector = fitted(list(train), "pca", image_size=64, validation_data=list(calibration[:20]))
    with pytest.raises(InputError, match=r"80 of the 180 pictures were trained on.*\.jpeg: "):
        detector.calibrate([*others, *train])
    detector.calibrate(list(calibration), rule="conformal", false_alarm=0.1)
    # Ten on average, with a deviation of 4.2 over splits (a beta-binomial distribution).
    assert (detector.predict(list(others)) == -1).sum() <= 23

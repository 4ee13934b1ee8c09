"""The detector: repeatable fits, exact scores, thresholds, maps, reconstructions, and its errors."""

from __future__ import annotations

import copy
import random
from hashlib import md5
from itertools import product

import numpy as np
import pytest
import sklearn.exceptions
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from recon_anomaly import (
    CAE,
    CVAE,
    EpochRecord,
    InputError,
    NotFittedError,
    PluginError,
    ReconAnomalyError,
    Reconstruction,
    ReconstructionDetector,
    TrainingError,
    TrainingWarning,
    devices,
    load,
)
from recon_anomaly import detector as detector_module
from recon_anomaly.batches import Batches
from recon_anomaly.detector import Observed
from recon_anomaly.errors import CalibrationWarning
from recon_anomaly.images import range_for
from recon_anomaly.registry import offers
from recon_anomaly.scorers.reconstruction_probability import ReconstructionProbability
from recon_anomaly.store import from_array
from recon_anomaly.thresholds import RULES, find_threshold
from recon_anomaly.training import Tick, evaluate

MODELS = [offer.name for offer in offers("model")]
SCORERS = ["max1p", "mse", "reconstruction-probability"]  # tests/test_scoring.py has the others
SMALL = {
    "cae": {"kernels": (2, 3)},
    "contractive-ae": {"kernels": (2, 3)},
    "cvae": {"kernels": (2, 3), "latent_size": 3},
    "feature-ae": {"layers": ("blocks.2",)},
    "feature-pca": {"layers": ("blocks.2",), "n_components": 8},
    "ganomaly": {"kernels": (4, 6), "latent_size": 3},
    "sparse-ae": {"kernels": (2, 3)},
    "nearest": {"capacity": 64},
    "pca": {"n_components": 3},
}


def named(model, **params):
    """A small detector of any registered model."""
    return ReconstructionDetector(
        model, model_params=SMALL.get(model), **{"epochs": 2, "learning_rate": 0.02} | params
    )


def mean(**params):
    return ReconstructionDetector("mean", **params)


def equal_weights(first, second):
    weights, others = first.network_.state_dict(), second.network_.state_dict()
    assert weights.keys() == others.keys()
    return all(torch.equal(weights[name], others[name]) for name in weights)


def timeless(detector):
    values = detector.history_.to_dict()
    for record in values["records"]:
        del record["seconds"]
    return values


def generators():
    """Digests of the states of the process's generators, one each for torch, NumPy and Python."""
    states = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002 -- the global generator is what is tested
    return [md5(repr(state).encode()).hexdigest() for state in states]


def seed_all(seed):
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 -- the global generator is what is tested
    random.seed(seed)


@pytest.fixture
def labelled(good, bad):
    """Ten good and eight bad pictures with their labels."""
    return np.concatenate([good[30:], bad]), np.r_[np.ones(10), -np.ones(8)].astype(int)


# Repeatable ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("corruptor", [None, "gaussian", "salt-and-pepper", "objects"])
@pytest.mark.parametrize("model", ["cae", "cvae"])
def test_one_random_state_gives_one_detector(model, corruptor, good, bad):
    """Fitted again, weights, history and scores are bit-equal, whatever the global generators hold."""
    seed_all(1)
    first = named(model, corruptor=corruptor).fit(good)
    seed_all(2)
    second = named(model, corruptor=corruptor).fit(good)
    again = first.network_, timeless(first)
    first.fit(good)
    assert first.network_ is not again[0]
    assert equal_weights(first, second)
    assert timeless(first) == timeless(second) == again[1]
    assert np.array_equal(first.score_samples(bad), second.score_samples(bad))
    assert first.offset_ == second.offset_


@pytest.mark.parametrize("model", ["cae", "cvae"])
def test_another_random_state_gives_another_detector(model, good):
    """The seed decides the first weights, the order and the draws."""
    first, second = (named(model, random_state=seed).fit(good) for seed in (1, 2))
    assert not equal_weights(first, second)


def test_a_generator_as_random_state_is_drawn_from(good):
    """A RandomState gives what its state gives, and moves on; None gives another fit each time."""
    first = named("cae", random_state=np.random.RandomState(3))
    second = named("cae", random_state=np.random.RandomState(3)).fit(good)
    assert equal_weights(first.fit(good), second)
    assert not equal_weights(first.fit(good), second)
    assert (
        named("mean", random_state=None).fit(good).seed_ != mean(random_state=None).fit(good).seed_
    )


def test_a_closed_form_fit_is_seeded_too(good):
    """A model that draws in fit_batches draws from the detector's seed, and not from the process's."""

    class Projection(torch.nn.Module):
        def __init__(self, image_shape):
            super().__init__()
            self.register_buffer("row", torch.zeros(image_shape))

        def fit_batches(self, batches):
            self.row.copy_(torch.randn_like(self.row))

        def forward(self, images):
            return Reconstruction(images + self.row.permute(2, 0, 1))

        def losses(self, target, reconstruction):
            return {"reconstruction": (target - reconstruction.mean).square().mean()}

    seed_all(1)
    before = generators()
    first = ReconstructionDetector(Projection).fit(good)
    untouched = generators() == before
    seed_all(2)
    second = ReconstructionDetector(Projection).fit(good)
    assert torch.equal(first.network_.row, second.network_.row)
    assert untouched


@pytest.mark.parametrize("model", MODELS)
def test_the_global_generators_are_left_as_they_were(model, good, bad, tmp_path):
    """Nothing that a detector does draws from the generators of torch, NumPy or Python."""
    seed_all(5)
    before = generators()
    corruptor = "gaussian" if model in ("cae", "cvae") else None
    detector = named(model, corruptor=corruptor).fit(good)
    assert generators() == before, "fit"
    detector.score_samples(bad)
    detector.anomaly_map(bad)
    assert generators() == before, "scoring"
    detector.with_scorer("reconstruction-probability", good[:9]).predict(bad)
    detector.calibrate(bad)
    assert generators() == before, "with_scorer and calibrate"
    detector.save(tmp_path / "a.safetensors")
    assert generators() == before, "save"
    ReconstructionDetector.load(tmp_path / "a.safetensors")
    assert generators() == before, "load"


def test_a_second_fit_starts_afresh(good):
    """Nothing of an earlier fit, on other pictures of another shape, is left."""
    other = np.random.default_rng(0).random((9, 5, 7, 3)) * 9
    detector = named("cvae", scorer="reconstruction-probability").fit(other).fit(good)
    fresh = named("cvae", scorer="reconstruction-probability").fit(good)
    assert equal_weights(detector, fresh)
    assert detector.image_shape_ == (16, 16, 1)
    assert detector.pixel_range_ == fresh.pixel_range_
    assert np.array_equal(detector.decision_function(good), fresh.decision_function(good))


def test_a_scorer_given_as_an_object_is_not_shared(good):
    """What a scorer learns belongs to the detector: the object that was given stays as it is."""
    scorer = ReconstructionProbability(draws=2)
    first = named("cvae", scorer=scorer).fit(good)
    scores = first.score_samples(good)
    named("cvae", scorer=scorer).fit(good // 2)
    again = first.score_samples(good)
    assert again.tolist() == scores.tolist()
    assert scorer.log_variance is None


# Scores --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_scores_do_not_depend_on_the_batch(model, good, bad):
    """Scored twice they are bit-equal; alone, in other batches or another order within 1e-6 relative."""
    detector = named(model).fit(good)
    X = np.concatenate([bad, np.flip(good[:9], 2)])
    for scorer in SCORERS:
        scoring = detector.with_scorer(scorer, good[:20])
        scores = scoring.anomaly_score(X)
        assert np.array_equal(scoring.anomaly_score(X), scores)
        # A log-likelihood may cross zero: its unit is nats, summed over pixels.
        close = {"rel": 1e-6, "abs": 1e-6 * 256 if scorer == "reconstruction-probability" else 0}
        alone = np.concatenate([scoring.anomaly_score(picture[None]) for picture in X])
        assert alone == pytest.approx(scores, **close)
        assert scoring.anomaly_score(X[::-1])[::-1] == pytest.approx(scores, **close)
        for batch_size in (1, 5, 100):
            scoring.recipe_ = {**detector.recipe_, "batch_size": batch_size}
            parts = [part for part, _ in scoring.iter_scores(X)]
            assert len(parts) == -(-len(X) // batch_size)
            assert np.concatenate(parts) == pytest.approx(scores, **close)


@pytest.mark.parametrize("scorer", SCORERS)
@pytest.mark.parametrize("model", MODELS)
def test_bad_pictures_have_the_lower_score_samples(model, scorer, good, bad):
    """The lower, the more abnormal, for every model and scorer; the corner is far too bright."""
    epochs = 60 if model == "feature-ae" else 8  # two steps each, and it knows no picture before
    detector = named(model, scorer=scorer, epochs=epochs).fit(good)
    assert detector.score_samples(bad).max() < np.median(detector.score_samples(good))
    if model != "brightness":
        maps = detector.anomaly_map(bad)
        assert maps[:, :5, :5].mean() > maps[:, 5:, 5:].mean()


@pytest.mark.parametrize(
    "scorer",
    [
        "gradient",
        "l1",
        "ms-ssim",
        "perceptual",
        "smoothed-maximum",
        "ssim",
        "standardised",
        "top-k",
        pytest.param("elbo", id="elbo of a cvae"),
    ],
)
def test_every_scorer_finds_the_corner(scorer, good, bad):
    """Of the one training that each scorer is tried with, the bright corner scores highest, and is where it is."""
    model = "cvae" if scorer == "elbo" else "pca"
    detector = named(model, scorer=scorer, epochs=8).fit(good)
    assert detector.anomaly_score(bad).min() > np.median(detector.anomaly_score(good))
    maps = detector.anomaly_map(bad)
    assert maps[:, :5, :5].mean() > maps[:, 5:, 5:].mean()


@pytest.mark.parametrize("scorer", SCORERS)
def test_the_score_is_the_reduction_of_the_map(scorer, good, bad):
    """The very map that is returned, reduced in float64, is the score bit for bit."""
    detector = named("cvae", scorer=scorer).fit(good)
    reduced = {"mse": np.mean, "max1p": np.max, "reconstruction-probability": np.sum}[scorer]
    maps = detector.anomaly_map(bad)
    assert maps.dtype == np.float32
    assert maps.shape == (8, 16, 16)
    scores = [reduced(one.astype(np.float64)) for one in maps]
    assert detector.anomaly_score(bad) == pytest.approx(scores, rel=1e-12)
    pairs = list(detector.iter_scores(bad))
    assert np.array_equal(
        np.concatenate([found for found, _ in pairs]), detector.anomaly_score(bad)
    )
    assert np.array_equal(np.concatenate([found for _, found in pairs]), maps)


def test_scores_have_types_and_signs_as_documented(good, bad):
    """float64 (n,); anomaly_score is minus score_samples; decisions are scores less the offset."""
    detector = named("pca").fit(good)
    scores = detector.score_samples(bad)
    assert scores.dtype == np.float64
    assert scores.shape == (8,)
    assert np.array_equal(detector.anomaly_score(bad), -scores)
    assert np.array_equal(detector.decision_function(bad), scores - detector.offset_)
    labels = detector.predict(np.concatenate([good, bad]))
    assert labels.dtype.kind == "i"
    assert set(labels) == {-1, 1}
    assert np.array_equal(labels[40:] == -1, scores < detector.offset_)


def test_a_score_on_the_threshold_is_good(good):
    """Predict says -1 for what lies below the offset, and +1 for what lies on it."""
    detector = mean().fit(good)
    highest = detector.anomaly_score(good).max()
    detector.calibrate(255 - good, rule="value", threshold=highest)
    assert detector.decision_function(good).min() == 0
    assert detector.predict(good).tolist() == [1] * 40


def test_scoring_leaves_the_detector_as_it_is(good, bad):
    """No call that scores changes an attribute or the network's mode."""
    detector = named("cvae", scorer="reconstruction-probability").fit(good)
    before = dict(vars(detector))
    detector.predict(bad)
    detector.anomaly_map(bad)
    detector.reconstruct(bad)
    assert vars(detector) == before
    assert not detector.network_.training


def test_whoever_iterates_scores_may_train_meanwhile(good):
    """Between two batches neither inference mode nor other settings are left behind."""
    for _ in mean().fit(good).iter_scores(good):
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("dtype", "scale", "shift"), [(np.uint8, 1, 0), (np.uint16, 257, 0), (np.float32, 0.5, -30)]
)
def test_reconstructions_are_in_the_unit_of_the_pictures(dtype, scale, shift, good):
    """The mean picture of uint8, uint16 or floats is their mean, in their own unit, as float32."""
    X = (good * float(scale) + shift).astype(dtype)
    found = mean().fit(X, validation_data=X[:5]).reconstruct(X[:2])
    assert found.dtype == np.float32
    assert found.shape == (2, 16, 16, 1)
    assert found[1] == pytest.approx(X.mean(0, dtype=np.float64), rel=1e-4)


def test_reconstructions_are_in_the_unit_of_what_is_scored(good):
    """A detector of uint8 pictures reconstructs floats in [0, 1] as such."""
    detector = mean().fit(good, validation_data=good[:5])
    assert detector.reconstruct(good[:1] / 255) == pytest.approx(good.mean(0)[None] / 255, rel=1e-4)


def test_features_are_no_pictures(good):
    """A model that reconstructs something else says so, and still has maps."""
    detector = named("nearest").fit(good)
    with pytest.raises(InputError, match="'nearest' reconstructs features, not pictures"):
        detector.reconstruct(good)
    assert detector.anomaly_map(good[:2]).shape == (2, 16, 16)


# Thresholds ----------------------------------------------------------------------------------------


def test_auto_is_the_quantile_of_the_validation_scores(good):
    """Five percent of the validation pictures lie below the offset; their scores are kept."""
    detector = mean(validation_fraction=0.5).fit(good)
    assert detector.validation_scores_.shape == (20,)
    assert detector.offset_ == pytest.approx(np.quantile(detector.validation_scores_, 0.05))
    assert (detector.validation_scores_ < detector.offset_).sum() == 1
    assert detector.threshold_rule_ == {"rule": "quantile"}


def test_validation_scores_are_those_of_the_validation_pictures(good):
    """score_samples of the pictures that were given for it, and the largest value in their maps."""
    detector = named("pca").fit(good[:30], validation_data=good[30:])
    assert np.array_equal(detector.validation_scores_, detector.score_samples(good[30:]))
    assert detector.map_scale_ == detector.anomaly_map(good[30:]).max()


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n // 2))))
def test_contamination_is_exactly_that_share(numbers):
    """Of n pictures given to fit, contamination=k/n flags k, for every n and k."""
    count, anomalous = numbers
    X = np.random.default_rng(count).random((count, 3, 3))
    detector = mean(contamination=anomalous / count).fit(X)
    assert (detector.predict(X) == -1).sum() == anomalous


@pytest.mark.parametrize("model", ["cvae", "pca"])
def test_contamination_holds_for_every_model(model, good):
    """A quarter of the training pictures is flagged, whatever scored them."""
    detector = named(model, contamination=0.25).fit(good)
    assert (detector.predict(good) == -1).sum() == 10
    assert (detector.fit_predict(good) == -1).sum() == 10


@pytest.mark.parametrize(
    ("rule", "params"),
    [
        ("quantile", {}),
        ("quantile", {"false_alarm": 0.3}),
        ("conformal", {"false_alarm": 0.3}),
        ("peaks-over-threshold", {"false_alarm": 0.3, "tail": 0.9}),
        ("value", {"threshold": 0.002}),
        ("youden", {}),
        ("best-f1", {}),
        ("sensitivity", {}),
    ],
)
def test_every_rule_calibrates(rule, params, good, labelled):
    """The offset is minus the rule's threshold on the anomaly scores, and the rule is noted."""
    X, y = np.concatenate([good[25:30], labelled[0]]), np.r_[np.ones(5, int), labelled[1]]
    detector = mean().fit(good[:25])
    assert detector.calibrate(X, y, rule, **params) is detector
    assert detector.offset_ == -find_threshold(rule, detector.anomaly_score(X), y == -1, **params)
    assert detector.threshold_rule_ == {"rule": rule, **params}
    assert np.array_equal(detector.predict(X) == -1, detector.anomaly_score(X) > -detector.offset_)
    if rule in ("youden", "best-f1", "sensitivity"):
        assert np.array_equal(detector.predict(X), y)


def test_every_rule_is_tested_above():
    """A rule that is added needs a line in the test before this one."""
    labelled, unlabelled = {"youden", "best-f1", "sensitivity"}, {"quantile", "conformal", "value"}
    assert set(RULES) == labelled | unlabelled | {"peaks-over-threshold"}


def test_without_labels_all_pictures_count_as_good(good, bad):
    """A quantile over good and bad together flags that share of them."""
    X = np.concatenate([good[:12], bad])
    detector = mean().fit(good[12:]).calibrate(X, false_alarm=0.4)
    assert (detector.predict(X) == -1).sum() == 8


def test_a_quantile_with_labels_looks_at_the_good_ones(good, labelled):
    """Anomalous pictures do not move the threshold for false alarms."""
    X, y = labelled
    detector = mean().fit(good[:30])
    offset = detector.calibrate(X[y == 1], false_alarm=0.2).offset_
    assert detector.calibrate(X, y, false_alarm=0.2).offset_ == pytest.approx(offset, rel=1e-9)


def test_calibrating_on_validation_needs_no_pictures(good):
    """The scores that fit kept are enough for the rules without labels."""
    detector = mean(validation_fraction=0.5).fit(good)
    before = detector.offset_
    detector.calibrate_on_validation(false_alarm=0.5)
    assert detector.offset_ == pytest.approx(np.median(detector.validation_scores_))
    assert detector.calibrate_on_validation().offset_ == before
    with pytest.raises(InputError, match="needs labels of both classes"):
        detector.calibrate_on_validation("youden")


@pytest.mark.parametrize(
    ("labels", "rule", "params", "message"),
    [
        (
            None,
            "median",
            {},
            "say one of: best-f1, conformal, peaks-over-threshold, quantile, sens",
        ),
        (None, "youden", {}, "needs labels of both classes"),
        ([1] * 8, "best-f1", {}, "needs labels of both classes"),
        ([-1] * 8, "quantile", {}, "good"),
        ([0, 1] * 4, "youden", {}, "8 values of"),
        ([1, -1], "youden", {}, "8 values of"),
        (None, "quantile", {"threshold": 1.0}, "does not take"),
        (None, "quantile", {"false_alarm": 5}, "give a share between 0 and 1"),
        (None, "value", {}, "does not take|threshold"),
        (None, "value", {"threshold": np.nan}, "a finite number"),
    ],
)
def test_a_wrong_calibration_is_refused_and_changes_nothing(
    labels, rule, params, message, good, bad
):
    """Unknown rules and parameters, missing and malformed labels are errors; the offset stays."""
    detector = mean().fit(good)
    before = detector.offset_, detector.threshold_rule_
    with pytest.raises(InputError, match=message):
        detector.calibrate(bad, labels, rule, **params)
    assert (detector.offset_, detector.threshold_rule_) == before


def test_a_conformal_threshold_of_pictures_that_fit_looked_at_is_warned_of(good):
    """Where they chose the epoch or taught the scorer; a model and a scorer that never looked are trusted."""
    with pytest.warns(CalibrationWarning, match="chose the epoch"):
        named("cvae").fit(good).calibrate_on_validation("conformal", false_alarm=0.5)
    with pytest.warns(CalibrationWarning, match="taught the scorer"):
        mean(scorer="standardised").fit(good).calibrate_on_validation("conformal", false_alarm=0.5)
    mean().fit(good).calibrate_on_validation("conformal", false_alarm=0.5)  # warnings are errors


# Another scorer ------------------------------------------------------------------------------------


def test_with_scorer_shares_the_network_and_leaves_the_original(good, bad):
    """The original keeps its parameters, offset, maps and scores; the network is one and the same."""
    detector = named("cvae").fit(good)
    before = dict(vars(detector))
    scores = detector.score_samples(bad)
    other = detector.with_scorer("reconstruction-probability", good[:9], scorer_params={"draws": 3})
    assert other.network_ is detector.network_
    assert vars(detector) == before
    assert np.array_equal(detector.score_samples(bad), scores)
    assert (other.scorer, other.scorer_params) == ("reconstruction-probability", {"draws": 3})
    assert not np.array_equal(other.score_samples(bad), scores)
    other.calibrate(bad, rule="value", threshold=0.5)
    assert vars(detector) == before


@pytest.mark.parametrize("scorer", SCORERS)
def test_with_scorer_equals_a_fit_with_that_scorer(scorer, good, bad):
    """One training scored in another way is what a training with that scorer gives, bit for bit."""
    fitted = named("cvae", scorer=scorer).fit(good[:30], validation_data=good[30:])
    other = named("cvae").fit(good[:30], validation_data=good[30:]).with_scorer(scorer, good[30:])
    assert np.array_equal(other.score_samples(bad), fitted.score_samples(bad))
    assert np.array_equal(other.validation_scores_, fitted.validation_scores_)
    assert (other.offset_, other.map_scale_) == (fitted.offset_, fitted.map_scale_)


def test_with_scorer_reads_files_like_fit(good, tmp_path):
    """Pictures to fit the scorer on may be a folder."""
    from PIL import Image

    for number, picture in enumerate(good[:5]):
        Image.fromarray(picture[..., 0]).save(tmp_path / f"{number}.png")
    detector = mean().fit(good)
    other = detector.with_scorer("reconstruction-probability", tmp_path)
    array = detector.with_scorer("reconstruction-probability", good[:5])
    assert np.array_equal(other.score_samples(good), array.score_samples(good))


# Validation data -----------------------------------------------------------------------------------


def test_given_validation_pictures_leave_all_of_X_for_training(good):
    """Then no share is held out: the mean picture is that of all X."""
    detector = mean().fit(good[:30], validation_data=good[30:])
    assert detector.reconstruct(good[:1]) == pytest.approx(good[:30].mean(0)[None], rel=1e-4)


@pytest.mark.parametrize("form", ["array", "gray", "folder", "paths", "labels", "labelled paths"])
def test_validation_pictures_come_in_every_form(form, good, tmp_path):
    """Arrays, a folder, paths, and each of them with labels, give the same detector."""
    from PIL import Image

    paths = [tmp_path / f"{number}.png" for number in range(10)]
    for path, picture in zip(paths, good[30:], strict=True):
        Image.fromarray(picture[..., 0]).save(path)
    data = {
        "array": good[30:],
        "gray": good[30:, ..., 0],
        "folder": tmp_path,
        "paths": paths,
        "labels": (good[30:], np.ones(10)),
        "labelled paths": (paths, [1] * 10),
    }[form]
    detector = named("cae").fit(good[:30], validation_data=data)
    reference = named("cae").fit(good[:30], validation_data=good[30:])
    assert timeless(detector) == timeless(reference)
    assert detector.offset_ == reference.offset_


def test_only_good_validation_pictures_validate(good, labelled):
    """Anomalous ones decide neither the loss nor the threshold."""
    detector = named("cae").fit(good[:30], validation_data=labelled)
    reference = named("cae").fit(good[:30], validation_data=good[30:])
    losses = [record.validation for record in detector.history_.records]
    assert losses == [record.validation for record in reference.history_.records]
    assert equal_weights(detector, reference)
    assert detector.offset_ == reference.offset_


@pytest.mark.parametrize("scorer", SCORERS)
def test_labelled_validation_pictures_give_the_auroc(scorer, good, labelled):
    """Each epoch's figure is the area under the curve of that epoch's scores."""
    X, y = labelled
    detector = named("cvae", scorer=scorer, epochs=1).fit(good[:30], validation_data=(X, y))
    expected = roc_auc_score(y == -1, detector.anomaly_score(X))
    assert detector.history_.records[0].figures == {"auroc": expected}
    plain = named("cvae", scorer=scorer, epochs=1).fit(good[:30], validation_data=X[:10])
    assert plain.history_.records[0].figures == {}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (lambda X, y: (X, -np.ones(18)), "no good picture"),
        (lambda X, y: (X, y[:-1]), "labels must be 18 values"),
        (lambda X, y: (X, y == 1), "labels must be 18 values"),
        (lambda X, y: (X,), "validation_data"),
        (lambda X, y: (X, y, y), "validation_data"),
        (lambda X, y: X[:, :8], r"shape \(8, 16, 1\)"),
        (lambda X, y: X[:0], "0 sample"),
        (lambda X, y: "/no/such/folder", "/no/such/folder"),
    ],
    ids=["all bad", "short", "bool", "one", "three", "shape", "empty", "missing"],
)
def test_wrong_validation_data_is_refused(data, message, good, labelled):
    """Labels that do not fit, tuples that are no pair, other shapes and nothing are errors."""
    with pytest.raises(InputError, match=message):
        mean().fit(good[:30], validation_data=data(*labelled))


def needing(history):
    return dict.fromkeys(history.terms, 1.0)


needing.needs = ("auroc",)
needing.keeps = "auroc"


def test_a_schedule_that_needs_labels_gets_them_or_refuses(good, labelled):
    """Without labelled pictures it is an error before training that says what to give."""
    detector = named("cae", schedule=needing, epochs=3)
    with pytest.raises(InputError, match=r"needs auroc of .* none with labels; .*\(Xv, yv\)"):
        next(detector.iter_fit(good))
    with pytest.raises(InputError, match="needs auroc"):
        detector.fit(good, validation_data=good[:5])
    with pytest.raises(InputError, match=r"got 10 good ones \(\+1\) and no anomalous one \(-1\)"):
        detector.fit(good[:30], validation_data=(labelled[0][:10], labelled[1][:10]))
    history = detector.fit(good[:30], validation_data=labelled).history_
    figures = [record.figures["auroc"] for record in history.records]
    assert history.kept_epoch == 1 + figures.index(max(figures))


# Progress ------------------------------------------------------------------------------------------


def test_iter_fit_gives_a_tick_a_batch_and_a_record_an_epoch(good):
    """The detector is fitted when the iterator ends, and the history holds the same records."""
    detector = named("cae", epochs=2, batch_size=10)
    events = []
    for event in detector.iter_fit(good):
        events.append(event)
        assert not hasattr(detector, "offset_")
    ticks = [Tick(epoch, 2, batch, 4) for epoch, batch in product((1, 2), (1, 2, 3, 4))]
    assert [event for event in events if isinstance(event, Tick)] == ticks
    assert [
        event for event in events if isinstance(event, EpochRecord)
    ] == detector.history_.records
    assert equal_weights(detector, named("cae", epochs=2, batch_size=10).fit(good))


def test_a_closed_form_fit_has_no_epochs(good):
    """Its history knows the terms and nothing else."""
    detector = named("pca")
    assert list(detector.iter_fit(good)) == []
    assert detector.history_.terms == ("reconstruction",)
    assert (len(detector.history_), detector.history_.planned_epochs) == (0, 0)


def test_verbose_prints_a_line_an_epoch(good, capsys):
    """Loss terms, learning rate and seconds; nothing without it."""
    named("cvae").fit(good)
    assert capsys.readouterr() == ("", "")
    named("cvae", verbose=1).fit(good)
    lines = capsys.readouterr().out.splitlines()
    assert [line[:9] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(word in lines[0] for word in ("reconstruction", "kl", "learning rate 0.02"))


def test_history_records_what_was_done(good):
    """Each epoch has its number, both kinds of terms, weights, learning rate and seconds."""
    weights = {"weights": {"kl": 4}}
    history = named("cvae", epochs=3, schedule_params=weights).fit(good).history_
    assert history.terms == ("reconstruction", "kl")
    assert history.planned_epochs == 3
    assert [record.epoch for record in history.records] == [1, 2, 3]
    for record in history.records:
        assert set(record.training) == set(record.validation) == {"reconstruction", "kl"}
        assert record.weights == {"reconstruction": 1.0, "kl": 4.0}
        assert record.learning_rate == 0.02
        assert 0 < record.seconds < 60
    losses = [record.loss for record in history.records]
    assert history.kept_epoch == 1 + losses.index(min(losses))


def test_the_kept_network_has_the_kept_epochs_loss(good):
    """The weights of the best epoch are the ones that score."""
    from recon_anomaly.batches import Batches
    from recon_anomaly.store import from_array
    from recon_anomaly.training import evaluate

    detector = named("cae", epochs=6, learning_rate=0.2).fit(good[:30], validation_data=good[30:])
    history = detector.history_
    assert history.kept_epoch < 6, "a test of nothing: the last epoch was the best"
    batches = Batches(from_array(good[30:]), detector.pixel_range_, 16, torch.device("cpu"))
    expected = history.records[history.kept_epoch - 1].validation
    assert evaluate(detector.network_, batches) == expected


# Errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda d, X: d.score_samples(X),
        lambda d, X: d.anomaly_score(X),
        lambda d, X: d.anomaly_map(X),
        lambda d, X: d.decision_function(X),
        lambda d, X: d.predict(X),
        lambda d, X: d.reconstruct(X),
        lambda d, X: next(d.iter_scores(X)),
        lambda d, X: d.calibrate(X),
        lambda d, X: d.calibrate_on_validation(),
        lambda d, X: d.with_scorer("mse", X),
        lambda d, X: d.save("never.safetensors"),
    ],
)
def test_an_unfitted_detector_says_so(call, good):
    """It is our error and scikit-learn's at once, and names the estimator."""
    with pytest.raises(NotFittedError, match="CAE instance is not fitted") as caught:
        call(CAE(), good)
    assert isinstance(caught.value, sklearn.exceptions.NotFittedError)
    assert isinstance(caught.value, ReconAnomalyError)


@pytest.mark.parametrize(
    ("params", "known"),
    [
        ({"model": "cea"}, "brightness, cae, "),
        ({"scorer": "mes"}, "max1p, .*mse, .*reconstruction-probability"),
        ({"schedule": "constnat"}, "constant"),
        ({"corruptor": "gauss"}, "casting-defects, gaussian, objects, salt-and-pepper"),
    ],
)
def test_an_unknown_name_lists_the_known_ones(params, known, good):
    """Models, scorers, schedules and corruptors alike; the wrong name is in the message."""
    (kind, name), *_ = params.items()
    with pytest.raises(PluginError, match=rf"no {kind} is named '{name}'; known are: .*{known}"):
        ReconstructionDetector(**params).fit(good)


def test_with_scorer_refuses_an_unknown_name(good):
    """The known scorers are listed there, too."""
    with pytest.raises(PluginError, match=r"known are: .*max1p, .*mse"):
        mean().fit(good).with_scorer("mes", good)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"epochs": 0}, "epochs=0: a whole number of at least 1"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"learning_rate": 0}, "learning_rate=0"),
        ({"learning_rate": float("nan")}, "learning_rate=nan"),
        ({"validation_fraction": 0}, "validation_fraction=0"),
        ({"validation_fraction": 1.0}, "validation_fraction=1.0"),
        ({"contamination": 0}, "contamination=0: 'auto' or a share"),
        ({"contamination": 0.6}, "contamination=0.6"),
        ({"contamination": "half"}, "contamination='half'"),
        ({"model_params": {"n_component": 3}}, "does not take.*n_component"),
        ({"model_params": {"n_components": 0}}, "n_components is 0"),
        ({"scorer": "max1p", "scorer_params": {"share": 1}}, "does not take.*share"),
        ({"schedule_params": {"weight": {}}}, "does not take.*weight"),
        ({"corruptor": "gaussian", "corruptor_params": {"sigma": 1}}, "does not take.*sigma"),
        ({"model": 3}, "model=3 is neither a name nor a callable"),
        ({"scorer": None}, "scorer=None is neither"),
    ],
)
def test_wrong_parameters_are_refused_by_fit(params, message, good):
    """__init__ takes anything; fit says which parameter is wrong and what is wanted."""
    detector = ReconstructionDetector(**{"model": "pca"} | params)
    with pytest.raises(InputError, match=message):
        detector.fit(good)


def test_a_closed_form_fit_refuses_a_corruptor(good):
    """It would be left out in silence: only gradient steps know corrupted inputs."""
    with pytest.raises(InputError, match=r"closed form, which knows no corruptor"):
        mean(corruptor="gaussian").fit(good)


# Observed pictures ---------------------------------------------------------------------------------


def test_observed_pictures_are_scored_after_every_epoch(good, bad):
    """What follows the record of an epoch is what a detector that ended there would score."""
    detector = named("cvae", epochs=3, schedule_params={"keeps": "last"}, early_stopping=False)
    events = list(detector.iter_fit(good, observed=bad, observed_scorers=("mse", "max1p")))
    events = [event for event in events if not isinstance(event, Tick)]
    assert [type(event) for event in events] == [EpochRecord, Observed] * 3
    for epoch, seen in enumerate(events[1::2], 1):
        ended = named("cvae", epochs=epoch, schedule_params={"keeps": "last"}).fit(good)
        assert (seen.epoch, seen.path) == (epoch, ())
        assert np.array_equal(seen.scores["mse"], ended.anomaly_score(bad))
        ended = ended.with_scorer("max1p", good)
        assert np.array_equal(seen.scores["max1p"], ended.anomaly_score(bad))


def test_observing_changes_nothing(good, bad):
    """Weights and history are those of a fit that nobody watched."""
    watched = named("cvae")
    for _ in watched.iter_fit(good, observed=bad):
        pass
    alone = named("cvae").fit(good)
    assert equal_weights(watched, alone)
    assert timeless(watched) == timeless(alone)


def test_branches_are_observed_with_their_path(good, bad):
    """Each epoch of each branch is seen with the weights of that branch."""
    params = {"milestones": [1, 2], "race": False}
    detector = named("cvae", epochs=None, schedule="awl-loss", schedule_params=params)
    seen = [e for e in detector.iter_fit(good, observed=bad) if isinstance(e, Observed)]
    assert [event.path for event in seen] == [(), ("I",), ("II",), ("III",)]
    won = next(event for event in seen if event.path == detector.history_.path)
    assert np.array_equal(won.scores["builtin:mse"], detector.anomaly_score(bad))


def test_weights_for_terms_that_the_model_lacks_are_refused(good):
    """A beta for a model without a KL term is an error that lists its terms."""
    with pytest.raises(InputError, match=r"weights are given for kl; .* are: reconstruction"):
        named("cae", schedule_params={"weights": {"kl": 4}}).fit(good)


def test_a_diverging_training_stops_and_says_where(good):
    """An absurd learning rate ends in an error with epoch, term and remedy, and nothing is fitted."""
    detector = named("cvae", learning_rate=1e30, epochs=5)
    with pytest.raises(
        TrainingError, match=r"loss term '\w+' became (nan|inf) in epoch \d; try a lower"
    ):
        detector.fit(good)
    with pytest.raises(NotFittedError):
        detector.predict(good)


def test_a_failed_fit_leaves_an_earlier_one_in_use(good, bad):
    """Pictures that cannot be used, at a second fit, do not spoil what the first one learned."""
    detector = mean().fit(good)
    scores = detector.score_samples(bad)
    with pytest.raises(InputError):
        detector.fit(np.zeros((5, 8, 8, 1)), validation_data=np.zeros((5, 9, 9, 1)))
    assert np.array_equal(detector.score_samples(bad), scores)


def test_a_broken_scorer_is_named(good):
    """A map of another shape, or an unknown reduction, is an error that says what is wanted."""

    def flat(target, reconstruction):
        return (target - reconstruction.mean).flatten(1)

    def odd(target, reconstruction):
        return (target - reconstruction.mean).square().mean(1)

    odd.reduction = "median"
    with pytest.raises(InputError, match=r"map of shape .* must be \(n, h, w\)"):
        mean(scorer=flat).fit(good)
    with pytest.raises(
        InputError, match="reduction 'median' is unknown; it may be: max, mean, sum"
    ):
        mean(scorer=odd).fit(good)


def test_objects_do_what_names_do(good, bad):
    """A model, scorer, schedule or corruptor may be given as itself."""
    from recon_anomaly.corruptors.gaussian import GaussianNoise
    from recon_anomaly.models.cae import CAENetwork
    from recon_anomaly.schedules.constant import ConstantWeights
    from recon_anomaly.scorers.mse import mean_squared_error

    objects = ReconstructionDetector(
        CAENetwork,
        model_params=SMALL["cae"],
        scorer=mean_squared_error,
        schedule=ConstantWeights({"reconstruction": 2}),
        corruptor=GaussianNoise(std=0.1),
        epochs=2,
    )
    names = ReconstructionDetector(
        "cae",
        model_params=SMALL["cae"],
        scorer="mse",
        schedule_params={"weights": {"reconstruction": 2}},
        corruptor="gaussian",
        corruptor_params={"std": 0.1},
        epochs=2,
    )
    assert equal_weights(objects.fit(good), names.fit(good))
    assert np.array_equal(objects.score_samples(bad), names.score_samples(bad))


def test_the_named_estimators_are_the_registered_models(good, bad):
    """CAE and CVAE are ReconstructionDetector with the model's parameters as their own."""
    for estimator, model in ((CAE, "cae"), (CVAE, "cvae")):
        short = estimator(**SMALL[model], epochs=2, learning_rate=0.02).fit(good)
        assert equal_weights(short, named(model).fit(good))


# Precision -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["cae", "cvae"])
def test_bfloat16_trains_and_float32_judges(model, good, bad):
    """The history's validation terms and all scores are those of the network in float32."""
    training, validation = good[:30], good[30:]
    detector = named(model, epochs=3, precision="bfloat16").fit(
        training, validation_data=validation
    )
    assert detector.recipe_["precision"] == "bfloat16"
    other = named(model, epochs=3, precision="float32").fit(training, validation_data=validation)
    assert other.recipe_["precision"] == "float32"
    assert not equal_weights(detector, other)

    history, network = detector.history_, detector.network_
    found = history.records[history.kept_epoch - 1].validation
    store = from_array(validation)
    batches = Batches(store, range_for(store, detector.pixel_range_), 16, torch.device("cpu"))
    assert found == evaluate(network, batches)
    # bfloat16 has 8 bits: terms and scores made in it would be wrong in the third digit.
    network = copy.deepcopy(network).double()
    images = torch.from_numpy(np.concatenate([validation, bad])).permute(0, 3, 1, 2) / 255.0
    images = images.double()
    with torch.no_grad():
        made = network(images)
        plain = network.losses(images[:10], network(images[:10]))
    assert found == pytest.approx({name: term.item() for name, term in plain.items()}, rel=1e-5)
    expected = (images - made.mean).square().mean((1, 2, 3)).numpy()
    scores = detector.anomaly_score(np.concatenate([validation, bad]))
    assert scores == pytest.approx(expected, rel=1e-5)


def test_a_saved_detector_knows_its_precision(good, tmp_path):
    """What was asked for, what it was trained in, and the scores come back."""
    detector = named("cae", precision="bfloat16").fit(good)
    detector.save(tmp_path / "a.safetensors")
    loaded = load(tmp_path / "a.safetensors")
    assert loaded.recipe_["precision"] == "bfloat16"
    assert loaded.get_params()["precision"] == "bfloat16"
    assert np.array_equal(loaded.score_samples(good), detector.score_samples(good))


@pytest.mark.parametrize("model", ["mean", "pca"])
@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_closed_forms_are_in_float32(model, precision, good):
    """There are no gradient steps that could be in bfloat16, and the recipe does not claim any."""
    detector = named(model, precision=precision).fit(good)
    assert detector.recipe_["precision"] == "float32"
    assert np.array_equal(detector.score_samples(good), named(model).fit(good).score_samples(good))


class Indexed(torch.nn.Module):
    """Assigns what a layer makes to an index, which autocast leaves in float32."""

    def __init__(self, image_shape):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 1)

    def forward(self, images):
        out = torch.zeros_like(images)
        bright = images > 0.5
        out[bright] = self.layer(images)[bright]
        return Reconstruction(out)

    def losses(self, target, reconstruction):
        return {"reconstruction": (target - reconstruction.mean).square().mean()}


def test_a_network_that_cannot_do_bfloat16_trains_in_float32(good, monkeypatch):
    """Where bfloat16 would be faster, a network that fails in it is trained as one where it would not."""
    expected = ReconstructionDetector(Indexed, epochs=2, device="cpu").fit(good)
    monkeypatch.setattr(devices, "_has_matrix_extensions", lambda: True)
    monkeypatch.setattr(devices, "_LEAST_PIXELS", 1)
    with pytest.warns(TrainingWarning, match="Indexed cannot train in bfloat16") as caught:
        detector = ReconstructionDetector(Indexed, epochs=2, device="cpu").fit(good)
    assert len(caught) == 1
    assert detector.recipe_["precision"] == "float32"
    assert equal_weights(detector, expected)
    assert named("cae", device="cpu").fit(good).recipe_["precision"] == "bfloat16"


def test_a_network_that_cannot_do_bfloat16_is_refused_it(good):
    """Asked for by name it is an error that says what to take, and no detector is fitted."""
    detector = ReconstructionDetector(Indexed, precision="bfloat16", device="cpu")
    with pytest.raises(InputError, match=r"Indexed cannot train in bfloat16.*precision='float32'"):
        detector.fit(good)
    assert not hasattr(detector, "network_")


def test_an_unknown_precision_is_refused_before_pictures_are_read(good, monkeypatch):
    """A slip of the pen costs no reading of a folder."""
    read = []
    monkeypatch.setattr(detector_module, "read_input", lambda *args, **_: read.append(args))
    with pytest.raises(InputError, match="precision='half' is unknown"):
        named("cae", precision="half").fit(good)
    assert not read

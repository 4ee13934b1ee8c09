"""The estimators are scikit-learn's: its own checks, cloning, pipelines, searches."""

from __future__ import annotations

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone, is_outlier_detector
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from recon_anomaly import (
    CAE,
    CVAE,
    TCAE,
    TCVAE,
    VAE,
    AutoDetector,
    InputError,
    ReconstructionDetector,
)
from recon_anomaly.detector import BaseDetector

CHECKED = [
    CAE(epochs=1, batch_size=64),
    CVAE(epochs=1),
    ReconstructionDetector("pca"),
    CVAE(epochs=1, scorer="reconstruction-probability", scorer_params={"draws": 4}),
    TCAE(epochs=1, batch_size=64),
    TCVAE(epochs=1, batch_size=64),
    VAE(epochs=1, latent_size=4, kernels=(4,)),
    VAE(epochs=1, latent_size=4, likelihood="bernoulli"),
    AutoDetector(candidates=(("pca", {}),), scorers=("mse",)),
]
SKLEARN = tuple(int(part) for part in sklearn.__version__.split(".")[:2])


@parametrize_with_checks(CHECKED)
def test_follows_scikit_learn(estimator, check):
    """The detector obeys every convention that scikit-learn checks."""
    check(estimator)


@pytest.mark.parametrize("detector", [TCVAE(epochs=1), VAE(epochs=1)], ids=repr)
def test_scores_do_not_depend_on_the_order(detector):
    """Whatever pictures stand in the last batch, each has the same score, bit for bit."""
    rng = np.random.default_rng(0)
    X = 3 * rng.random((21, 3))
    detector.fit(X)
    scores = detector.score_samples(X)
    for _ in range(20):
        order = rng.permutation(21)
        assert np.array_equal(detector.score_samples(X[order]), scores[order])


@pytest.mark.parametrize(
    "detector", [ReconstructionDetector("pca"), ReconstructionDetector("mean")]
)
def test_every_check_of_scikit_learn_runs(detector):
    """All 47 checks of scikit-learn 1.9 run and pass, none skipped or expected to fail."""
    results = check_estimator(detector, on_skip=None, on_fail=None)
    assert {result["status"] for result in results} == {"passed"}
    count = len({result["check_name"] for result in results})
    assert len(results) == 47 if SKLEARN >= (1, 9) else len(results) >= 46
    assert count >= 40


@pytest.mark.parametrize("detector", CHECKED, ids=repr)
def test_no_check_is_expected_to_fail(detector):
    """As many checks are given out for each detector, and none is marked beforehand."""
    from sklearn.utils.estimator_checks import estimator_checks_generator

    checks = list(estimator_checks_generator(detector, mark=None))
    marked = list(estimator_checks_generator(detector, mark="skip"))
    assert len(checks) == len(marked)
    assert len(checks) == 47 if SKLEARN >= (1, 9) else len(checks) >= 46


ESTIMATORS = [ReconstructionDetector, CAE, CVAE, TCAE, TCVAE, VAE]


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_parameters_are_plain_keywords(estimator):
    """get_params lists every keyword of the signature, with its default, and all are documented."""
    signature = inspect.signature(estimator).parameters
    assert estimator().get_params() == {name: p.default for name, p in signature.items()}
    assert {"random_state", "epochs", "contamination", "scorer"} <= set(signature)
    documented = estimator.__doc__ + ReconstructionDetector.__doc__
    assert all(name in documented for name in signature)


def test_the_defaults_are_the_papers():
    """Adam 0.003, batch 16, 50 epochs, seed 42, 80:20, as in Klimkevicius, section 4.1."""
    for estimator in (CAE(), CVAE(), TCAE(), TCVAE()):
        recipe, params = estimator._recipe(), estimator.get_params()
        assert (recipe["learning_rate"], recipe["batch_size"], recipe["epochs"]) == (0.003, 16, 50)
        assert recipe["reduce_learning_rate"]
        assert recipe["early_stopping"]
        assert (params["random_state"], params["validation_fraction"]) == (42, 0.2)
    assert CAE().kernels == CVAE().kernels == (16, 32, 64)
    assert CVAE().latent_size == TCVAE().latent_size == 32
    assert TCAE().backbone == TCVAE().backbone == "vgg16"


def test_the_defaults_of_the_vae_are_the_papers():
    """Adam 1e-4, batch 32, 100 epochs, latent 1000, in Nakata et al., Table 5; no plateau, no stopping."""
    assert VAE()._recipe() == {
        "epochs": 100,
        "batch_size": 32,
        "learning_rate": 1e-4,
        "reduce_learning_rate": False,
        "early_stopping": False,
    }
    assert (VAE().latent_size, VAE().likelihood) == (1000, "gaussian")


def test_only_the_model_may_be_given_by_position():
    """ReconstructionDetector("pca") works; every other parameter is named."""
    assert ReconstructionDetector("pca").model == "pca"
    with pytest.raises(TypeError, match="positional"):
        ReconstructionDetector("pca", {})
    with pytest.raises(TypeError, match="positional"):
        CAE((4, 8))


def test_a_detector_is_an_outlier_detector():
    """scikit-learn takes it for one, so its scorers read decision_function the right way round."""
    assert all(is_outlier_detector(estimator()) for estimator in ESTIMATORS)


def test_a_repr_shows_what_differs_from_the_defaults():
    """As every scikit-learn estimator prints."""
    assert repr(CAE(epochs=3)) == "CAE(epochs=3)"
    assert repr(ReconstructionDetector("pca")) == "ReconstructionDetector(model='pca')"


def test_equality_is_identity():
    """Dataclass equality would compare fitted detectors by parameters; they stay hashable."""
    assert CAE() != CAE()
    assert len({CAE(), CAE()}) == 2


@pytest.mark.parametrize(
    "detector",
    [
        CAE(kernels=(2, 3), epochs=1),
        ReconstructionDetector("pca"),
        TCAE(epochs=1, layer="features.4"),
        TCVAE(epochs=1, latent_size=2),
        VAE(epochs=1, latent_size=2),
    ],
)
def test_a_clone_is_unfitted_and_fits_alike(detector, good):
    """Clone keeps the parameters, drops what was learned, and learns the same again."""
    fitted = clone(detector).fit(good)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "network_")
    assert np.array_equal(copy.fit(good).score_samples(good), fitted.score_samples(good))


def test_set_params_is_obeyed_by_the_next_fit(good):
    """A parameter that is set anew counts, one that does not exist is refused."""
    detector = ReconstructionDetector("mean").fit(good)
    scores = detector.score_samples(good)
    detector.set_params(model="pca", model_params={"n_components": 2}).fit(good)
    fresh = ReconstructionDetector("pca", model_params={"n_components": 2}).fit(good)
    assert not np.array_equal(detector.score_samples(good), scores)
    assert np.array_equal(detector.score_samples(good), fresh.score_samples(good))
    with pytest.raises(ValueError, match="Invalid parameter 'latent_size'"):
        CAE().set_params(latent_size=3)


@pytest.mark.parametrize(
    "detector",
    [
        CVAE(kernels=(2, 3), epochs=1, scorer="reconstruction-probability"),
        TCAE(epochs=1),
        TCVAE(epochs=1, scorer="reconstruction-probability"),
        VAE(epochs=1, latent_size=2, scorer="reconstruction-probability"),
    ],
)
def test_a_pickled_detector_scores_alike(detector, good):
    """Pickle works between processes that trust each other, as joblib needs it."""
    detector = clone(detector).fit(good)
    other = pickle.loads(pickle.dumps(detector))
    assert np.array_equal(other.score_samples(good), detector.score_samples(good))


def labelled(good, bad):
    return np.concatenate([good, bad]), np.r_[np.ones(len(good)), -np.ones(len(bad))].astype(int)


def test_a_pipeline_passes_pictures_on(good, bad):
    """Four-dimensional X goes through a pipeline to fit, predict and scores."""
    flip = FunctionTransformer(lambda X: X[:, :, ::-1])
    pipeline = make_pipeline(flip, ReconstructionDetector("pca", model_params={"n_components": 4}))
    pipeline.fit(good)
    direct = ReconstructionDetector("pca", model_params={"n_components": 4}).fit(good[:, :, ::-1])
    assert np.array_equal(pipeline.score_samples(bad), direct.score_samples(bad[:, :, ::-1]))
    assert pipeline.predict(bad).tolist() == [-1] * len(bad)


def test_a_grid_search_finds_the_better_parameter(good, bad):
    """GridSearchCV fits, scores and refits on four-dimensional X with an explicit cv."""
    X, y = labelled(good, bad)
    folds = [(np.arange(20), np.arange(20, 48)), (np.arange(20, 40), np.r_[0:20, 40:48])]
    search = GridSearchCV(
        ReconstructionDetector("pca", scorer="max1p"),
        {"model": ["brightness", "mean"], "scorer": ["mse", "max1p"]},
        scoring="roc_auc",
        cv=folds,
    )
    search.fit(X, y)
    assert search.best_score_ == 1.0
    assert len(search.cv_results_["params"]) == 4
    assert search.cv_results_["std_test_score"].shape == (4,)
    assert search.best_estimator_.image_shape_ == (16, 16, 1)
    assert search.predict(X[:3]).shape == (3,)


def test_a_grid_search_reaches_a_models_own_parameters(good, bad):
    """CVAE's keywords are searched like any other."""
    X, y = labelled(good[:8], bad)
    search = GridSearchCV(
        CVAE(kernels=(2,), epochs=1),
        {"latent_size": [1, 2]},
        scoring="roc_auc",
        cv=StratifiedKFold(2),
    )
    search.fit(X, y)
    latent_size = search.best_params_["latent_size"]
    assert search.best_estimator_.network_.latent_mean.out_features == latent_size
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.filterwarnings("ignore:the weights of .* are random")
def test_a_grid_search_goes_through_backbones(good, bad):
    """Backbone and layer are parameters like any other, and the best one is fitted again."""
    X, y = labelled(good[:12], bad)
    search = GridSearchCV(
        TCAE(weights=None, epochs=2),
        [{"backbone": ["vgg16", "resnet18"]}, {"layer": ["features.4"]}],
        scoring="roc_auc",
        cv=StratifiedKFold(2),
    )
    search.fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    channels = search.best_estimator_.network_.backbone.channels
    best = search.best_params_
    wanted = {"vgg16": 128, "resnet18": 64}[best["backbone"]] if "backbone" in best else 64
    assert channels == wanted


@pytest.mark.parametrize("estimator", [TCAE, TCVAE])
def test_pictures_of_other_channels_are_refused(estimator):
    """A pretrained backbone takes gray and colours: four channels are an error before training."""
    X = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 4)).astype(np.uint8)
    with pytest.raises(InputError, match="the pictures have 4 channels"):
        next(estimator().iter_fit(X))


def test_cross_validation_knows_the_direction_of_the_score(good, bad):
    """With y of +1 and -1, roc_auc near 1 means that anomalies have the lower decisions."""
    X, y = labelled(good, bad)
    detector = ReconstructionDetector("mean", scorer="max1p")
    found = cross_val_score(detector, X, y, scoring="roc_auc", cv=StratifiedKFold(4))
    assert found.shape == (4,)
    assert found.min() > 0.9


def test_rows_of_a_data_frame_keep_their_names(good):
    """feature_names_in_ is learned, and frames with other names are refused."""
    frame = pd.DataFrame(good.reshape(40, -1)[:, :6].astype(float), columns=list("abcdef"))
    detector = ReconstructionDetector("mean").fit(frame)
    assert detector.feature_names_in_.tolist() == list("abcdef")
    assert detector.image_shape_ == (1, 6, 1)
    with pytest.raises(InputError, match="feature names"):
        detector.predict(frame.rename(columns={"a": "z"}))


@pytest.mark.filterwarnings("ignore:the weights of .* are random")
@pytest.mark.parametrize("estimator", [CVAE, VAE, TCVAE])
def test_every_term_counts_where_nothing_is_said_of_weights(estimator, good):
    """The default is the paper's loss: no estimator leaves the KL divergence out, or makes it small."""
    (record,) = estimator(epochs=1).fit(good[:10]).history_.records
    assert "kl" in record.weights
    assert set(record.weights.values()) == {1.0}


def test_the_base_is_no_estimator_by_itself(good):
    """BaseDetector has no model; the estimators say which."""
    with pytest.raises(NotImplementedError):
        BaseDetector().fit(good)

"""Pictures, models and schedules at the edges of their numbers: a finite answer, or one of our errors."""

import numpy as np
import pytest

from recon_anomaly import InputError, ReconstructionDetector
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.registry import build, offers

MODELS = [offer.name for offer in offers("model") if offer.plugin == "builtin"]
SCORERS = [offer.name for offer in offers("scorer") if offer.plugin == "builtin"]
CLOSED = ("brightness", "feature-pca", "mean", "nearest", "pca")
WITH_LATENTS = ("cvae", "tcvae", "vae")
SPECIAL = {"elbo": "cvae", "reconstruction-probability": "cvae", "latent-distance": "ganomaly"}


def _edges():
    noise = np.random.default_rng(0).integers(60, 190, (12, 16, 16, 1))
    return {
        "black": np.zeros(noise.shape, np.uint8),
        "white": np.full(noise.shape, 255, np.uint8),
        "alike": np.repeat(noise[:1], 12, 0).astype(np.uint8),
        "two": noise[:2].astype(np.uint8),
        "one pixel": noise[:, :1, :1].astype(np.uint8),
        "one row": noise[:, :1, :7].astype(np.uint8),
        "huge": (noise * 1e35).astype(np.float32),
        "huge and equal": np.full(noise.shape, 1e30, np.float32),
        "denormal": (noise * 1e-42).astype(np.float32),
        "beside one": np.nextafter(np.ones(noise.shape, np.float32), np.float32(2)),
        "16 bits": noise.astype(np.uint16),
    }


EDGES = _edges()


def _fitted(model, pictures, scorer="mse"):
    params = {"latent_size": 1} if model in WITH_LATENTS else {}
    recipe = {} if model in CLOSED else {"epochs": 1}
    detector = ReconstructionDetector(
        model, model_params=params, scorer=scorer, random_state=0, device="cpu", **recipe
    )
    return detector.fit(pictures)


def _assert_finite(detector, pictures):
    for scores, maps in detector.iter_scores(pictures):
        assert np.isfinite(scores).all()
        assert np.isfinite(maps).all()
    assert np.isfinite(detector.offset_)
    assert set(detector.predict(pictures)) <= {-1, 1}


@pytest.mark.filterwarnings("ignore::recon_anomaly.TrainingWarning")
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_gives_finite_scores(model, edge):
    """Scores, maps and threshold are finite, with a latent of 1 where there is one."""
    _assert_finite(_fitted(model, EDGES[edge]), EDGES[edge])


@pytest.mark.parametrize("edge", ["black", "one pixel", "one row", "huge"])
@pytest.mark.parametrize("scorer", SCORERS)
def test_every_scorer_gives_finite_scores(scorer, edge):
    """Also of pictures that no filter or window fits into."""
    _assert_finite(_fitted(SPECIAL.get(scorer, "pca"), EDGES[edge], scorer), EDGES[edge])


# scikit-learn sums the pixels first, to see whether all are finite.
@pytest.mark.filterwarnings("ignore:invalid value encountered in reduce:RuntimeWarning")
@pytest.mark.parametrize("model", ["mean", "cae"])
def test_a_range_that_float32_does_not_hold_is_refused(model):
    """Both ends are told, before anything becomes infinite."""
    pictures = np.full((4, 8, 8, 1), 3e38, np.float32)
    pictures[0] *= -1
    with pytest.raises(InputError, match=r"go from -3e\+38 to 3e\+38, further than float32"):
        _fitted(model, pictures)


@pytest.mark.parametrize("level", [1e20, 3e38])
def test_scores_that_overflow_are_an_error(level):
    """A picture whose error float32 does not hold is refused, and is no anomaly of an infinite score."""
    detector = _fitted("mean", np.random.default_rng(0).random((8, 8, 8, 1)))
    with pytest.raises(InputError, match="a score is NaN or infinite"):
        detector.anomaly_score(np.full((1, 8, 8, 1), level, np.float32))


@pytest.mark.parametrize("schedule", ["constant", "kl-annealing", "awl-auc"])
def test_weights_stay_finite_over_ten_thousand_epochs(schedule):
    """The weights' arithmetic does not run away, with losses that vanish and others that are huge."""
    built, _ = build("schedule", schedule)
    history = History(("reconstruction", "kl"), 10_000)
    for epoch in range(1, 10_001):
        if epoch <= 20 or epoch % 200 == 0:  # each reads the whole history
            weights = built(history)
            assert all(np.isfinite(weight) and weight >= 0 for weight in weights.values())
        losses = {"reconstruction": 10.0**-epoch, "kl": 1e300 / epoch}
        figures = dict.fromkeys(getattr(built, "needs", ()), 0.5 + 0.4 * (epoch % 2))
        history.records.append(EpochRecord(epoch, losses, losses, weights, 0.001, figures))

"""Several scores in one, weighed on synthetic anomalies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from recon_anomaly import CAE, ReconstructionDetector, load
from recon_anomaly.errors import InputError
from recon_anomaly.protocols import Reconstruction
from recon_anomaly.scorers.fused import FusedScorer
from recon_anomaly.testing import check_scorer

PARTS = ("mse", "max1p")


def pairs(errors):
    """Pairs of one batch whose residuals are ``errors``, (n, h, w)."""
    target = torch.as_tensor(errors, dtype=torch.float32)[:, None]
    return [(target, Reconstruction(torch.zeros_like(target)))]


def noise(count, seed, size=0.1):
    return np.random.default_rng(seed).normal(0, size, (count, 12, 12))


def spots(count, seed, size=0.1):
    """Noise with one loud pixel, which a mean does not see and a maximum does."""
    errors = noise(count, seed, size)
    errors[:, 5, 5] = 0.5
    return errors


def test_the_contract_holds():
    """It passes the checks for plugin authors."""
    check_scorer("fused")


def test_the_score_is_the_stated_formula():
    """The weighted sum of the inverse hyperbolic sines of robustly standardised scores, computed in NumPy."""
    good, bad = noise(60, 0), spots(60, 1)
    scorer = FusedScorer(PARTS)
    scorer.fit(pairs(good), pairs(bad))

    def scores(errors):
        errors = np.float32(errors).astype(np.float64)
        return np.stack([(errors**2).mean((1, 2)), np.abs(errors).max((1, 2))], 1)

    centre = np.median(scores(good), 0)
    spread = 1.4826 * np.median(np.abs(scores(good) - centre), 0)
    new = noise(5, 2, size=0.15)
    wanted = np.arcsinh((scores(new) - centre) / spread) @ scorer.weights.numpy()
    target, reconstruction = pairs(new)[0]
    found = scorer(target, reconstruction)
    np.testing.assert_allclose(found.terms.numpy(), wanted, rtol=1e-4)
    assert torch.equal(scorer.reduce(found.map), torch.zeros(5, dtype=torch.float64))
    assert found.map.shape == (5, 12, 12)


def test_the_map_is_the_weighted_mean_of_standardised_maps():
    """Each part's map less its mean and over its deviation on all good pixels, computed in NumPy; the weights are said."""
    good, new = np.float32(noise(30, 0)), np.float32(noise(5, 2))
    scorer = FusedScorer(PARTS)
    scorer.fit(pairs(good[:10]) + pairs(good[10:]), pairs(spots(20, 1)))
    target, reconstruction = pairs(new)[0]
    found = scorer(target, reconstruction).map.numpy()
    weights = scorer.weights.tolist()
    wanted = np.zeros(new.shape)
    for weight, of in zip(weights, (np.square, np.abs), strict=True):
        known = of(good.astype(np.float64))
        wanted += weight * (of(new.astype(np.float64)) - known.mean()) / known.std()
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    said = scorer.describe(None)["weights"]
    assert said == f"mse {weights[0]:.2f}, max1p {weights[1]:.2f}"


def test_the_weights_are_those_of_a_ridge_regression():
    """SciPy's non-negative least squares, with an intercept, both classes counted alike whatever their numbers."""
    good, bad = noise(60, 0), np.concatenate([noise(10, 3, size=0.103), spots(5, 1)])
    scorer = FusedScorer(PARTS)
    scorer.fit(pairs(good), pairs(bad))

    def standardised(errors):
        errors = np.float32(errors).astype(np.float64)
        scores = np.stack([(errors**2).mean((1, 2)), np.abs(errors).max((1, 2))], 1)
        return np.arcsinh((scores - scorer.centre.numpy()) / scorer.spread.numpy())

    rows = np.concatenate([standardised(good), standardised(bad)])
    signs, shares = np.repeat([-1, 1], [60, 15]), np.repeat([1 / 120, 1 / 30], [60, 15])
    roots = np.sqrt(shares)
    rows, signs = rows - shares @ rows, signs - shares @ signs
    penalty = np.sqrt(0.01) * np.eye(2)
    wanted, _ = nnls(
        np.concatenate([rows * roots[:, None], penalty]), np.append(signs * roots, [0, 0])
    )
    np.testing.assert_allclose(scorer.weights, wanted / wanted.sum(), rtol=1e-3)


def test_where_most_scores_are_equal_the_spread_is_their_deviation():
    """The median deviation is then zero, which says nothing."""
    scorer = FusedScorer(("mse",))
    scorer.fit(pairs(np.repeat([1.0, 2.0], [4, 1])[:, None, None]), pairs(noise(2, 0)))
    assert float(scorer.spread) == pytest.approx(np.std([1, 1, 1, 1, 4]))


def test_weights_go_to_the_score_that_finds_the_anomalies():
    """A loud pixel is found by the maximum, louder noise everywhere by the mean; weights add up to 1."""
    scorer = FusedScorer(PARTS)
    scorer.fit(pairs(noise(80, 0)), pairs(spots(80, 1)))
    spotted = scorer.weights.numpy()
    scorer.fit(pairs(noise(80, 0)), pairs(noise(80, 2, size=0.11)))
    noisy = scorer.weights.numpy()
    assert spotted[1] > 0.7 > 0.5 > noisy[1]
    for weights in (spotted, noisy):
        assert weights.min() >= 0
        assert weights.sum() == pytest.approx(1)


def test_a_score_that_points_the_other_way_weighs_nothing():
    """In quiet noise with a loud pixel the mean is smaller than usual, which speaks for good pictures only."""
    scorer = FusedScorer(PARTS)
    scorer.fit(pairs(noise(80, 0)), pairs(spots(80, 1, size=0.08)))
    assert scorer.weights.tolist() == [0, 1]


def test_weights_are_equal_where_nothing_is_found():
    """Anomalies that score lower than good pictures teach nothing."""
    scorer = FusedScorer(PARTS)
    scorer.fit(pairs(noise(40, 0)), pairs(noise(40, 1, size=0.01)))
    assert scorer.weights.tolist() == [0.5, 0.5]


def test_before_a_fit_the_parts_count_alike():
    """Scores and maps are as they are, and each weighs one half."""
    errors = np.float32(noise(3, 0))
    target, reconstruction = pairs(errors)[0]
    found = FusedScorer(PARTS)(target, reconstruction)
    squares, sizes = errors.astype(np.float64) ** 2, np.abs(errors)
    scores = np.stack([squares.mean((1, 2)), sizes.max((1, 2))])
    np.testing.assert_allclose(found.terms, np.arcsinh(scores).mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.map, (squares + sizes) / 2, rtol=1e-5)


def test_parameters_reach_their_part():
    """Those of one scorer are its own, and the others have their defaults."""
    scorer = FusedScorer(("smoothed-maximum", "top-k"), {"top-k": {"share": 0.5}})
    assert [scorer.parts[0].sigma, scorer.parts[1].share] == [1 / 64, 0.5]


def test_the_state_holds_that_of_the_parts():
    """A scorer that takes back the state of a fitted one scores the same, and nothing of it is frozen."""
    scorer, other = (FusedScorer(("standardised", "mse")) for _ in range(2))
    scorer.fit(pairs(noise(30, 0)), pairs(spots(30, 1)))
    assert {"0.mean", "0.deviation"} < set(scorer.state_dict())
    other.load_state_dict(scorer.state_dict())
    target, reconstruction = pairs(noise(3, 2))[0]
    for found, wanted in zip(
        other(target, reconstruction), scorer(target, reconstruction), strict=True
    ):
        assert torch.equal(found, wanted)
    assert scorer.frozen_state_dict() == {}


class WithFrozenWeights:
    """A part with weights, for which something else stands in a graph."""

    def frozen_state_dict(self):
        return {"kernel": torch.ones(1)}

    def exported(self):
        return "stand-in"


def test_frozen_weights_are_those_of_the_parts():
    """Under the number of the part that has some."""
    scorer = FusedScorer(PARTS)
    scorer.parts[1] = WithFrozenWeights()
    assert scorer.frozen_state_dict() == {"1.kernel": torch.ones(1)}


def test_what_is_exported_is_a_copy_with_stand_ins():
    """Parts that offer one are replaced in it, the others copied, so that a new fit does not change it."""
    scorer = FusedScorer(("standardised", "mse"))
    scorer.fit(pairs(noise(30, 0)), pairs(spots(30, 1)))
    target, reconstruction = pairs(noise(3, 2))[0]
    wanted = scorer(target, reconstruction)
    exported = scorer.exported()
    scorer.fit(pairs(noise(30, 3)), pairs(spots(30, 4)))
    for found, part in zip(exported(target, reconstruction), wanted, strict=True):
        assert torch.equal(found, part)
    scorer.parts[1] = WithFrozenWeights()
    assert scorer.exported().parts[1] == "stand-in"
    assert isinstance(scorer.parts[1], WithFrozenWeights)


def test_identical_good_pictures_give_finite_scores():
    """A spread of zero is replaced by a tiny one, so that no score is infinite."""
    scorer = FusedScorer(PARTS)
    scorer.fit(pairs(np.zeros((4, 8, 8))), pairs(noise(4, 0)))
    target, reconstruction = pairs(noise(3, 1))[0]
    found = scorer(target, reconstruction)
    assert found.terms.isfinite().all()
    assert found.map.isfinite().all()


def test_what_rounding_may_change_is_no_deviation():
    """Where all good pictures score alike the spread is a millionth of the score."""
    scorer = FusedScorer(PARTS)
    scorer.fit(pairs(np.full((4, 8, 8), 2.0)), pairs(noise(4, 0)))
    np.testing.assert_allclose(scorer.spread, [4e-6, 2e-6], rtol=1e-5)


@pytest.mark.parametrize(
    ("scorers", "params"),
    [
        ((), None),
        ("mse", None),
        (("mse", "mse"), None),
        (("mse",), {"top-k": {}}),
        (("mse",), "3"),
        (3, None),
        ((3,), None),
    ],
)
def test_parts_that_make_no_sense_are_refused(scorers, params):
    """No scorer, one twice, what is no name, or parameters of another one: the message says what is wanted."""
    with pytest.raises(InputError, match="the names of one or more scorers are wanted"):
        FusedScorer(scorers, params)


def test_it_is_fitted_saved_and_read(tmp_path):
    """A detector learns the weights without labels, says them, and scores the same bits after loading."""
    good = np.random.default_rng(0).integers(90, 110, (40, 16, 16)).astype(np.uint8)
    detector = ReconstructionDetector(
        "pca", model_params={"n_components": 4}, scorer="fused", random_state=3
    ).fit(good)
    assert set(detector.scorer_uses_) == {"weights"}
    detector.save(tmp_path / "a.safetensors")
    again = load(tmp_path / "a.safetensors")
    bad = good[:4].copy()
    bad[:, 4:8, 4:8] = 200
    assert np.array_equal(detector.score_samples(bad), again.score_samples(bad))
    assert (detector.predict(bad) == -1).all()
    twin = ReconstructionDetector(
        "pca", model_params={"n_components": 4}, scorer="fused", random_state=3
    ).fit(good)
    assert np.array_equal(detector.score_samples(good), twin.score_samples(good))


def test_it_rehearses_before_a_training():
    """One picture is enough to go through all parts, and a trained model learns its weights, too."""
    good = np.random.default_rng(0).integers(90, 110, (12, 16, 16)).astype(np.uint8)
    detector = CAE(kernels=(4,), epochs=1, scorer="fused", scorer_params={"scorers": PARTS}).fit(
        good
    )
    assert float(detector.scorer_.weights.sum()) == pytest.approx(1)


@pytest.mark.parametrize("part", ["fused", "elbo", "reconstruction-probability"])
def test_parts_that_draw_or_fuse_are_refused(part):
    """A mean over draws of standardised scores would be another figure than the part's own."""
    with pytest.raises(InputError, match=f"{part} draws latents or learns"):
        FusedScorer(("mse", part))

"""Principal components of pretrained features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.nn import functional as F

from recon_anomaly import ReconstructionDetector, load
from recon_anomaly.errors import InputError
from recon_anomaly.models.feature_pca import FeaturePrincipalComponents
from recon_anomaly.testing import check_model

SHAPE = (64, 64, 1)


def pictures(count, seed=0):
    """Smooth pictures (n, 1, 64, 64) that differ in many ways."""
    noise = torch.rand(count, 1, 9, 9, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (64, 64), mode="bilinear")


def fitted(**params):
    network = FeaturePrincipalComponents(SHAPE, **params).eval()
    with torch.no_grad():
        network.fit_batches(pictures(80).split(16))
    return network


@pytest.fixture(scope="module")
def patch():
    return fitted(view="patch")


@pytest.fixture(scope="module")
def whole():
    return fitted(view="whole", n_components=20, grid=4)


def features(network, images):
    with torch.no_grad():
        return network.frozen(images)


@pytest.mark.parametrize("view", ["patch", "whole"])  # "both" is checked with all defaults
def test_the_contract_holds(view):
    """It passes the checks for plugin authors, on pictures of odd sizes and of one pixel."""
    check_model("feature-pca", {"view": view})


def test_the_patch_view_is_pca_over_all_positions(patch):
    """The squared residual is that of scikit-learn's PCA, each component over its variance plus the ridge."""
    vectors = features(patch, pictures(80)).permute(0, 2, 3, 1).flatten(0, 2).double().numpy()
    pca = PCA(svd_solver="full").fit(vectors)
    variances = pca.explained_variance_ * (len(vectors) - 1) / len(vectors)
    kept = 1 + int((np.cumsum(variances)[:-1] / variances.sum() < 0.9).sum())
    images = pictures(3, seed=1)
    new = features(patch, images)
    turned = pca.transform(new.permute(0, 2, 3, 1).flatten(0, 2).double().numpy())
    wanted = (turned**2 / (variances + 0.01 * variances.mean()))[:, kept:].sum(1).reshape(3, 8, 8)
    with torch.no_grad():
        found = (patch.target(images) - patch(images).mean).square().sum(1)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=2e-3, atol=1e-3)


def coarse_of(whole, images):
    """The rows (n, d) that the whole view reconstructs, in float64."""
    return F.adaptive_avg_pool2d(features(whole, images), 4).flatten(1).double().numpy()


def left_by(pca, rows):
    return rows - pca.inverse_transform(pca.transform(rows))


def test_the_whole_view_is_pca_over_pictures(whole):
    """Its residual, not whitened, is what scikit-learn's PCA of the coarse maps leaves."""
    pca = PCA(20, svd_solver="full").fit(coarse_of(whole, pictures(80)))
    new = coarse_of(whole, pictures(3, seed=1))
    rows = torch.from_numpy(new).float() - whole.whole_mean
    left = rows - rows @ whole.whole_components.T @ whole.whole_components
    np.testing.assert_allclose(left.numpy(), left_by(pca, new), atol=2e-3)


def test_the_whole_view_whitens_what_is_left_of_pictures_it_was_not_fitted_on(whole):
    """The residuals of each half by the other's components, whitened without the ridge, have the moment 1."""
    rows = coarse_of(whole, pictures(80))
    halves = rows[::2], rows[1::2]
    residuals = [
        left_by(PCA(20, svd_solver="full").fit(one), other) for one, other in (halves, halves[::-1])
    ]
    vectors = np.concatenate(residuals).reshape(80, -1, 16).transpose(0, 2, 1).reshape(80 * 16, -1)
    moment = vectors.T @ vectors / len(vectors)
    basis = whole.whole_basis.double().numpy()
    moments = np.sort(np.linalg.eigvalsh(moment))[::-1].clip(0)
    floor = 0.01 * max(moments.mean(), 0.01 * (whole_square(whole)))
    np.testing.assert_allclose(
        np.diag(basis @ moment @ basis.T), moments / (moments + floor), atol=2e-2
    )


def whole_square(whole):
    return float(features(whole, pictures(80)).double().square().mean())


def test_both_views_stand_one_after_the_other(patch):
    """The target of both has the channels of the patch view, then those of the whole view."""
    both = fitted(view="both", n_components=20, grid=4)
    images = pictures(2, seed=1)
    with torch.no_grad():
        target, made = both.target(images), both(images).mean
        alone = patch.target(images)
    assert target.shape == made.shape == (2, 2 * both.backbone.channels, 8, 8)
    torch.testing.assert_close(target[:, : alone.shape[1]], alone)


def test_what_is_kept_serves_both_sides(patch):
    """Features that are known are not computed again, and give the same numbers."""
    images = pictures(2, seed=1)
    kept = features(patch, images)
    with torch.no_grad():
        assert torch.equal(patch.target(images, kept=kept), patch.target(images))
        assert torch.equal(patch(images, kept=kept).mean, patch(images).mean)


def test_a_defect_is_found_where_it_is(tmp_path):
    """A scratch on smooth pictures is anomalous, the map is highest there, and a saved detector agrees."""
    alike = 0.8 * pictures(1, seed=5) + 0.2 * pictures(60)
    good = (alike * 200).permute(0, 2, 3, 1).numpy().astype(np.uint8)
    bad = good[:5].copy()
    bad[:, 20:44, 30:33] = 255
    detector = ReconstructionDetector("feature-pca", scorer="smoothed-maximum", device="cpu").fit(
        good
    )
    assert (detector.predict(bad) == -1).all()
    for row in detector.anomaly_map(bad):
        top, left = np.unravel_index(row.argmax(), row.shape)
        assert 16 <= top < 48
        assert 24 <= left < 40
    detector.save(tmp_path / "a.safetensors")
    assert np.array_equal(
        load(tmp_path / "a.safetensors").score_samples(bad), detector.score_samples(bad)
    )


def test_identical_pictures_give_finite_scores():
    """Features without any variance are whitened by the floor alone."""
    good = np.full((12, 32, 32, 1), 90, np.uint8)
    bad = good[:1].copy()
    bad[:, 8:16, 8:16] = 250
    detector = ReconstructionDetector("feature-pca", device="cpu").fit(good)
    assert detector.anomaly_score(bad)[0] > detector.anomaly_score(good).max()


@pytest.mark.parametrize(
    "params",
    [
        {"view": "all"},
        {"explained": 0},
        {"explained": 1},
        {"n_components": 0},
        {"grid": 0},
        {"map_stride": 12},
    ],
)
def test_numbers_out_of_range_are_refused(params):
    """The message says what is wanted."""
    with pytest.raises(InputError, match=f"{next(iter(params))} is .*; give "):
        FeaturePrincipalComponents(SHAPE, **params)

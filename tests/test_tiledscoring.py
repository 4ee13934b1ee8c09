"""Scores of whole pictures by their tiles, held against plain loops and against detectors without tiles."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
import torch
from sklearn.base import clone

from recon_anomaly import (
    CVAE,
    InputError,
    ReconstructionDetector,
    tiledscoring,
)
from recon_anomaly.reductions import reduce_map
from recon_anomaly.scoring import exact, maps_and_terms


def weave(height, width, seed):
    """A picture (h, w), uint8, whose every part looks alike."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).integers(0, 20, (height, width))
    return (100 + 40 * np.sin(rows / 2) * np.sin(columns / 2) + noise).astype(np.uint8)


WOVEN = [weave(20 + seed, 27 - seed, seed) for seed in range(8)]


def fitted(scorer="mse", model="pca", params=None, **options):
    """A detector of tiles of 8, fitted on the woven pictures."""
    params = {"n_components": 3} if params is None else params
    options = {"tile": 8, "overlap": 3} | options
    return ReconstructionDetector(model, model_params=params, scorer=scorer, **options).fit(WOVEN)


def by_hand(detector, picture):
    """Score and map of a picture, by loops over tiles and pixels."""
    tile, step, (height, width) = 8, 5, picture.shape

    def places(length):
        found = list(range(0, length - tile, step))
        return [*found, length - tile]

    ramp = [min(k + 1, tile - k, 4) for k in range(tile)]
    total, weights, terms = np.zeros((2, height, width)), np.zeros((height, width)), []
    counted = []
    for top in places(height):
        for left in places(width):
            part = picture[top : top + tile, left : left + tile].astype(np.float32) / 255
            images = torch.from_numpy(part)[None, None]
            with exact():
                maps, added = maps_and_terms(
                    detector.network_, detector.scorer_, images, detector.noise_
                )
            terms.append(0 if added is None else float(added[0]))
            for y in range(tile):
                for x in range(tile):
                    weight = ramp[y] * ramp[x]
                    total[0, top + y, left + x] += weight * float(maps[0, y, x])
                    total[1, top + y, left + x] += weight * terms[-1]
                    weights[top + y, left + x] += weight
            counted.append((top, left))
    blended, shared = total / weights
    score = float(reduce_map(detector.scorer_, torch.from_numpy(blended)[None])[0])
    if getattr(detector.scorer_, "reduction", "mean") == "sum":
        return score + shared.sum() / tile**2, blended
    return score + shared.mean(), blended


@pytest.mark.parametrize(
    ("scorer", "model", "params"),
    [
        ("mse", "pca", None),
        ("max1p", "pca", None),
        ("top-k", "pca", None),
        ("fused", "pca", None),
        ("elbo", "cvae", {"kernels": (2,), "latent_size": 2}),
        ("reconstruction-probability", "cvae", {"kernels": (2,), "latent_size": 2}),
    ],
)
def test_scores_are_those_of_the_blended_map(scorer, model, params):
    """Mean, maximum, sum, a scorer's own reduction, terms and draws; alike with and without a map."""
    detector = fitted(scorer, model, params, epochs=1)
    picture = weave(21, 18, 50)
    picture[5:12, 4:9] = 230
    score, anomaly_map = by_hand(detector, picture)
    assert detector.anomaly_score([picture])[0] == pytest.approx(score, rel=1e-4)
    (found,) = detector.iter_scores([picture])
    assert found[0] == detector.anomaly_score([picture])
    assert found[1][0] == pytest.approx(anomaly_map, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("scorer", ["mse", "max1p", "top-k", "elbo", "standardised", "fused"])
def test_a_single_tile_scores_as_no_tiles_do(good, bad, scorer):
    """Bit for bit: the same training, the same maps, the same scores."""
    options = {"kernels": (2,), "latent_size": 2, "epochs": 1, "scorer": scorer, "batch_size": 4}
    plain, tiled = CVAE(**options).fit(good), CVAE(tile=16, **options).fit(good)
    for picture in (good[:1], bad[:1]):
        assert np.array_equal(tiled.score_samples(picture), plain.score_samples(picture))
        assert np.array_equal(tiled.anomaly_map(picture), plain.anomaly_map(picture))
    assert tiled.offset_ == pytest.approx(plain.offset_, rel=1e-5)


def test_the_threshold_is_of_whole_pictures():
    """As many scores as validation pictures, which differ in size; a defect is found in any of them."""
    detector = fitted("smoothed-maximum", validation_fraction=0.5)
    assert len(detector.validation_scores_) == len(detector.map_peaks_) == 4
    assert detector.image_shape_ == (8, 8, 1)
    spoiled = [picture.copy() for picture in WOVEN]
    for number, picture in enumerate(spoiled):
        picture[number : number + 6, 10:16] = 255
    assert detector.predict(spoiled).tolist() == [-1] * 8
    assert detector.anomaly_map(spoiled[:1])[0].argmax() // 27 < 8
    exact_share = fitted(contamination=0.25)
    assert (exact_share.predict(WOVEN) == -1).sum() == 2


@pytest.mark.parametrize("scorer", ["mse", "max1p", "reconstruction-probability"])
def test_tiles_may_be_seen_smaller(scorer):
    """Each scores as its small copy does alone; a mean and a maximum of six are the same, a sum six times as much."""
    levels = (100, 100, 110, 90)
    small = [np.full((4, 4), level, np.uint8) for level in levels]
    large = [np.full((24, 16), level, np.uint8) for level in levels]
    plain = ReconstructionDetector("mean", scorer=scorer).fit(small)
    tiled = ReconstructionDetector("mean", tile=8, overlap=0, image_size=4, scorer=scorer)
    tiled.fit(large)
    assert tiled.image_shape_ == (4, 4, 1)
    times = 6 if scorer == "reconstruction-probability" else 1
    wanted = plain.anomaly_score([small[0] + 60])[0]
    assert tiled.anomaly_score([large[0] + 60])[0] == pytest.approx(times * wanted, rel=1e-5)
    assert tiled.anomaly_map([large[0] + 60]).shape == (1, 24, 16)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("scorer", ["max1p", "top-k"])
def test_a_tile_without_a_number_is_refused(monkeypatch, scorer, value):
    """Wherever it lies: a maximum of numbers and NaN is none, and no picture is called good by the others."""
    detector = fitted(scorer)
    picture = weave(21, 18, 50)
    maps_of = tiledscoring.maps_and_terms

    def spoilt(network, scorer, images, noise):
        maps, terms = maps_of(network, scorer, images, noise)
        maps[-1] = value  # of the last row of tiles
        return maps, terms

    monkeypatch.setattr(tiledscoring, "maps_and_terms", spoilt)
    with pytest.raises(InputError, match="a score is NaN or infinite"):
        detector.predict([picture])


def test_a_box_leaves_everything_else_out():
    """Hand-worked: the mean of the box's errors is the score, and the map is 0 around it."""
    flat = np.full((6, 10, 10), 100, np.uint8)
    flat[:, :2] = np.arange(6)[:, None, None] * 40  # above the box, and different in each
    detector = ReconstructionDetector("mean", roi=(1, 2, 8, 4)).fit(flat)
    assert detector.image_shape_ == (4, 8, 1)
    picture = flat[:1].copy()
    assert detector.anomaly_score(picture)[0] == pytest.approx(0, abs=1e-12)
    picture[0, 3, 4] = 151
    picture[0, 8, 8] = 255  # below it
    assert detector.anomaly_score(picture)[0] == pytest.approx(0.2**2 / 32)
    (anomaly_map,) = detector.anomaly_map(picture)
    assert anomaly_map[3, 4] == pytest.approx(0.04)
    assert np.count_nonzero(anomaly_map > 1e-9) == 1


@pytest.mark.parametrize("options", [{}, {"tile": 4, "overlap": 1}], ids=["whole", "tiles"])
@pytest.mark.parametrize("scorer", ["mse", "max1p", "top-k", "elbo"])
def test_a_mask_leaves_everything_else_out(save, options, scorer):
    """Nothing that happens outside can matter to the score or the map, which is 0 there."""
    rng = np.random.default_rng(0)
    mask = np.zeros((9, 12), np.uint8)
    mask[2:8, 3:6] = mask[4, 3:11] = 1
    path = save("mask.png", mask)
    pictures = rng.integers(90, 110, (10, 9, 12)).astype(np.uint8)
    detector = CVAE(kernels=(2,), latent_size=2, epochs=1, roi=path, scorer=scorer, **options)
    detector.fit(pictures)
    moved = np.where(mask > 0, pictures[:2], rng.integers(0, 256, (2, 9, 12))).astype(np.uint8)
    assert np.array_equal(detector.score_samples(moved), detector.score_samples(pictures[:2]))
    maps = detector.anomaly_map(moved)
    assert not maps[:, mask == 0].any()
    assert maps[:, mask > 0].all()
    if scorer == "mse":
        assert detector.anomaly_score(moved) == pytest.approx(maps[:, mask > 0].mean(1))


def test_regions_lie_in_the_region_of_interest():
    """In pixels of the whole picture, and nothing around it, though 0 exceeds a threshold below."""
    detector = fitted("smoothed-maximum", roi=(2, 3, 14, 12))
    picture = weave(24, 24, 60)
    picture[6:10, 8:12] = 255
    (found,) = detector.regions([picture])
    x, y, width, height = found.regions[0].box
    assert (x, y) <= (8, 6)
    assert (x + width, y + height) >= (12, 10)
    (everything,) = detector.regions([picture], threshold=-1.0)
    assert [region.box for region in everything.regions] == [(2, 3, 14, 12)]


def test_a_clone_is_cut_alike(save):
    """By the tiles and the mask of its parameters."""
    mask = np.zeros((20, 27), np.uint8)
    mask[3:17, 2:20] = 9
    pictures = [weave(20, 27, seed) for seed in range(8)]
    detector = ReconstructionDetector("pca", tile=8, overlap=2, roi=save("mask.png", mask))
    detector.fit(pictures)
    assert np.array_equal(
        clone(detector).fit(pictures).score_samples(pictures), detector.score_samples(pictures)
    )


def test_trained_pictures_are_known_again():
    """As whole pictures, whatever tiles they share with others; new ones calibrate."""
    detector = fitted()
    assert detector.training_hashes_.shape == (6, 8)
    with pytest.raises(
        InputError, match="6 of the 8 pictures were trained on, the first is number"
    ):
        detector.calibrate(WOVEN)
    others = [weave(20, 20, seed) for seed in range(20, 28)]
    detector.calibrate(others)
    assert np.array_equal(detector.calibration_scores_, np.sort(detector.anomaly_score(others)))
    changed = detector.with_scorer("max1p", others)
    assert changed.anomaly_score(others) == pytest.approx(-changed.validation_scores_)


def test_refitted_without_tiles(good):
    """Nothing of the tiles is left."""
    detector = fitted()
    detector.set_params(tile=None, overlap=None).fit(good)
    assert detector.tiling_ is None
    assert detector.anomaly_map(good[:2]).shape == (2, 16, 16)


def test_memory_does_not_grow_with_the_picture():
    """Of a picture of 4 MB, whose map would take 16 MB, a few rows of tiles are held."""
    detector = ReconstructionDetector("mean", tile=64, overlap=16).fit([weave(80, 80, 0)] * 4)
    picture = np.tile(weave(100, 2000, 1), (20, 1))
    tracemalloc.start()
    try:
        detector.score_samples([picture])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < picture.nbytes


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda detector: detector.reconstruct(WOVEN), "not put together"),
        (lambda detector: detector.anomaly_map(WOVEN), "differ in size"),
        (lambda detector: detector.export_onnx("a.onnx"), "cutting and blending"),
        (lambda detector: detector.predict([np.full((9, 9), np.nan)]), "NaN"),
        (
            lambda detector: detector.predict([np.zeros((9, 7))]),
            "does not fit into a picture of 9 x 7",
        ),
        (lambda detector: detector.predict([np.zeros((9, 9, 3))]), "fitted on"),
        (lambda detector: detector.predict(np.zeros((2, 64))), r"got shape \(2, 64\)"),
    ],
)
def test_what_cannot_be_done_with_tiles(call, message):
    """Is refused, and the message says why."""
    with pytest.raises(InputError, match=message):
        call(fitted())

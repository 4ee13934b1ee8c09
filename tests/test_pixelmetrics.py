import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from recon_anomaly import InputError
from recon_anomaly.masks import GOOD, UNKNOWN, Masks
from recon_anomaly.pixelmetrics import PIXEL, pixel_figures
from recon_anomaly.resampling import draw_resamples


def grown(mask):
    """Give the regions of a mask as lists of (row, column), grown pixel by pixel; corners touch."""
    left = set(map(tuple, np.argwhere(mask).tolist()))
    while left:
        region, edge = [], [left.pop()]
        while edge:
            row, column = edge.pop()
            region.append((row, column))
            near = {(row + a, column + b) for a in (-1, 0, 1) for b in (-1, 0, 1)} & left
            left -= near
            edge += near
        yield region


def test_overlap_by_hand():
    """Two regions, one of four pixels and one of a single pixel, weigh the same."""
    mask = np.zeros((4, 4), bool)
    mask[:2, :2] = mask[3, 3] = True
    scores = np.zeros((4, 4))
    scores[:2, :2] = [[9, 8], [5, 5]]  # two pixels above all good ones, two below one of them
    scores[3, 3] = 0.5  # below two of the eleven good ones
    scores[0, 3], scores[2, 0] = 6, 1
    # At a false positive rate below 1/11 half of the first region exceeds, then all of it; from 2/11 on the second, too.
    overlap = [(1 / 11, 0.25), (1 / 11, 0.5), (0.3 - 2 / 11, 1.0)]
    wanted = sum(width * height for width, height in overlap) / 0.3
    assert pixel_figures([scores], [mask])["aupro"] == pytest.approx(wanted)
    # Above 2/11 nothing is left to find.
    assert pixel_figures([scores], [mask], limit=1 / 11)["aupro"] == pytest.approx(0.25)


@pytest.mark.parametrize("limit", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("levels", [2, 4, 1000])
def test_figures_are_those_of_scikit_learn(levels, limit):
    """With many ties and with none, against its weighted curve, cut off at the limit by interpolation."""
    rng = np.random.default_rng(levels)
    masks = rng.random((3, 12, 12)) < 0.2
    masks[1] = False
    shifted = rng.integers(0, levels, masks.shape) + levels // 2 * masks
    maps = (shifted / levels).astype(np.float32)
    weights = np.ones(masks.shape)
    regions = 0
    for mask, weight in zip(masks, weights, strict=True):
        for region in grown(mask):
            regions += 1
            weight[tuple(zip(*region, strict=True))] = 1 / len(region)
    assert regions > 3
    rates, overlaps, _ = roc_curve(
        masks.ravel(), maps.ravel(), sample_weight=weights.ravel(), drop_intermediate=False
    )
    inside = rates < limit
    x = np.append(rates[inside], limit)
    y = np.append(overlaps[inside], np.interp(limit, rates, overlaps))
    found = pixel_figures(maps, list(masks), limit=limit)
    truth = masks.ravel(), maps.ravel()
    assert found["aupro"] == pytest.approx(np.trapezoid(y, x) / limit)
    assert found["pixel_auroc"] == pytest.approx(roc_auc_score(*truth))
    assert found["pixel_average_precision"] == pytest.approx(average_precision_score(*truth))
    assert found["pixel_pictures"] == 3


def test_a_picture_without_a_mask_is_left_out():
    """Its pixels count neither as good nor as defective, and a good picture needs no mask in the store."""
    rng = np.random.default_rng(0)
    maps, mask = rng.random((3, 5, 5)), rng.random((5, 5)) < 0.3
    masks = Masks(mask[None], np.array([UNKNOWN, 0, GOOD]))
    assert pixel_figures(maps, masks) == pixel_figures(maps[1:], [mask, np.zeros((5, 5), bool)])
    assert pixel_figures(maps, masks)["pixel_pictures"] == 2


@pytest.mark.parametrize("levels", [5, 10**6])
def test_intervals_are_those_of_repeated_pictures(levels, monkeypatch):
    """Against the figures of each resample's pictures in full; AUROC exactly, the others by thresholds where scores are many."""
    monkeypatch.setattr("recon_anomaly.pixelmetrics.CELLS", 100)
    rng = np.random.default_rng(levels)
    masks = rng.random((8, 12, 12)) < 0.25
    masks[:3] = False
    shifts = rng.integers(0, levels // 2, (8, 1, 1))
    maps = (rng.integers(0, levels, masks.shape) + masks * shifts) / levels
    drawn = draw_resamples(masks.any((1, 2)), resamples=40)
    every = [
        pixel_figures(np.repeat(maps, counts, axis=0), list(np.repeat(masks, counts, axis=0)))
        for counts in drawn
    ]
    found = pixel_figures(maps, list(masks), resamples=40)
    assert {name: found[name] for name in PIXEL} == {
        name: pixel_figures(maps, list(masks))[name] for name in PIXEL
    }
    for name in PIXEL:
        wanted = np.quantile([figures[name] for figures in every], [0.025, 0.975])
        near = 1e-12 if name == "pixel_auroc" or levels == 5 else 0.005
        assert found["intervals"][name] == pytest.approx(tuple(wanted), abs=near), name


def test_resamples_without_a_good_pixel_are_left_out():
    """Where pictures are defective everywhere, some resamples have no other; pictures without a mask are in none."""
    maps = np.array([[[2.0, 3.0]], [[2.5, 4.0]], [[np.inf, 0.0]]])
    masks = [np.array([[True, True]]), np.array([[False, True]]), None]
    found = pixel_figures(maps, masks, resamples=50)
    assert found["intervals"]["pixel_auroc"] == pytest.approx((2 / 3, 1))


@pytest.mark.parametrize("defective", [False, True])
def test_one_class_has_no_figures(defective):
    """Where all pixels are good, or all defective, nothing can be told apart."""
    found = pixel_figures([np.ones((2, 2))], [np.full((2, 2), defective)])
    assert [found[name] for name in PIXEL] == [None] * 3


@pytest.mark.parametrize(
    ("maps", "masks", "params", "message"),
    [
        ([np.ones((2, 2))], [], {}, "1 maps and 0 masks"),
        ([np.ones((2, 2))], [np.ones((2, 3), bool)], {}, r"map 0 has shape \(2, 2\)"),
        ([np.ones((2, 2))], [np.ones((2, 2))], {}, "of float64; a mask is bool"),
        ([np.full((2, 2), np.nan)], [np.ones((2, 2), bool)], {}, "map 0 is not finite"),
        ([], [], {"limit": 0}, "limit=0"),
        ([], [], {"limit": 1.01}, r"limit=1\.01"),
    ],
)
def test_what_does_not_fit_is_refused(maps, masks, params, message):
    """The message says what was got and what is wanted."""
    with pytest.raises(InputError, match=message):
        pixel_figures(maps, masks, **params)

from types import SimpleNamespace

import numpy as np
import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.images import PixelRange
from recon_anomaly.panels import choose, reconstructions
from recon_anomaly.store import from_array


class Darker:
    """A detector by hand: it reconstructs black, its score is the mean pixel, its map the picture."""

    offset_ = -100.0
    pixel_range_ = PixelRange(0.0, 255.0, "uint8")

    def __init__(self, features=False):
        self.network_ = SimpleNamespace(target=None) if features else SimpleNamespace()

    def anomaly_score(self, X):
        return X.batch(slice(None)).mean((1, 2, 3))

    def iter_scores(self, X):
        for k in range(len(X)):
            image = X.batch(slice(k, k + 1))
            yield image.mean((1, 2, 3)), image[..., 0].astype(np.float32)

    def reconstruct(self, X):
        if hasattr(self.network_, "target"):
            raise InputError("features")
        return np.zeros((len(X), *X.shape), np.float32)


def flat(levels, labels, shape=(4, 6, 1), dtype=np.uint8):
    """Return labelled pictures of one level each."""
    pictures = np.empty((len(levels), *shape), dtype)
    pictures[:] = np.array(levels, dtype)[:, None, None, None]
    kinds = tuple("dent" if label else "good" for label in labels)
    return SimpleNamespace(pictures=from_array(pictures), labels=np.array(labels, int), kinds=kinds)


def drawn(detector, labelled, count=4):
    """Return the figure, drawn, its images by what they are, and its texts."""
    figure = reconstructions(detector, labelled, "a title", count)
    figure.draw_without_rendering()
    images = [axes.images[0] for axes in figure.axes if axes.images]
    heat = [image for image in images if image.get_cmap().name == "inferno"]
    gray = [image for image in images if image.get_cmap().name == "gray"]
    return figure, gray, heat, [text.get_text() for text in figure.texts]


def test_the_farthest_from_the_threshold_are_chosen():
    """Worked by hand: two each of four groups around the threshold 10, the farthest first."""
    scores = np.array([1.0, 9.0, 5.0, 11.0, 30.0, 12.0, 13.0, 40.0, 8.0, 2.0])
    labels = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    groups = choose(scores, labels, 10.0, count=2)
    assert [(group.label, group.called, group.positions.tolist()) for group in groups] == [
        (0, 0, [0, 2]),
        (0, 1, [4, 3]),
        (1, 1, [7, 6]),
        (1, 0, [9, 8]),
    ]
    assert [group.total for group in groups] == [3, 2, 3, 2]


def test_a_score_at_the_threshold_is_good():
    """As the detector decides: only a score above the threshold is called anomalous."""
    (group,) = choose(np.array([3.0]), np.array([1]), 3.0, count=1)
    assert (group.label, group.called) == (1, 0)


def test_equally_far_pictures_keep_their_order():
    """Ties are broken by position."""
    (group,) = choose(np.full(5, 2.0), np.zeros(5, int), 3.0, count=3)
    assert group.positions.tolist() == [0, 1, 2]


def test_empty_groups_are_left_out():
    """A detector without mistakes has two groups."""
    groups = choose(np.array([1.0, 5.0]), np.array([0, 1]), 3.0, count=4)
    assert [(group.label, group.called) for group in groups] == [(0, 0), (1, 1)]


@pytest.mark.parametrize("count", [0, -1])
def test_no_pictures_are_refused(count):
    """At least one picture of each group is wanted, and at least one picture to choose from."""
    with pytest.raises(InputError, match="at least one"):
        choose(np.array([1.0]), np.array([0]), 3.0, count=count)
    nothing = flat([10], [0])
    nothing.pictures = nothing.pictures.take([])
    with pytest.raises(InputError, match="no pictures"):
        reconstructions(Darker(), nothing, "a title", 4)


def test_picture_reconstruction_and_error_stand_side_by_side():
    """The picture in [0, 1], black for its reconstruction, and the squared error (51 / 255)²."""
    _, gray, heat, _ = drawn(Darker(), flat([51], [0]))
    original, made = gray
    np.testing.assert_allclose(original.get_array(), 0.2, rtol=1e-6)
    assert not made.get_array().any()
    assert original.get_clim() == made.get_clim() == (0, 1)
    np.testing.assert_allclose(heat[0].get_array(), 0.04)
    lefts = [image.axes.get_position().x0 for image in (original, made, heat[0])]
    assert lefts == sorted(lefts)


def test_the_error_is_the_mean_over_channels():
    """A picture in colour has one map, the mean of its channels' squared errors."""
    pictures = np.zeros((1, 4, 4, 3), np.uint8)
    pictures[..., 0] = 255
    labelled = SimpleNamespace(pictures=from_array(pictures), labels=np.array([0]), kinds=("good",))
    figure = reconstructions(Darker(), labelled, "a title", 1)
    original, _, heat = (axes.images[0] for axes in figure.axes[:3])
    np.testing.assert_array_equal(original.get_array()[0, 0], [1, 0, 0])
    np.testing.assert_allclose(heat.get_array(), np.full((4, 4), 1 / 3))


def test_floats_are_shown_in_the_range_that_was_fitted():
    """A detector fitted on floats from -100 to 100 takes 50 for 0.75, and 0 for 0.5."""
    detector = Darker()
    detector.pixel_range_ = PixelRange(-100.0, 100.0, "float32")
    _, gray, heat, _ = drawn(detector, flat([50], [0], dtype=np.float32))
    assert [image.get_array().flat[0] for image in gray] == [0.75, 0.5]
    np.testing.assert_allclose(heat[0].get_array(), 0.0625)


def test_all_errors_share_one_scale():
    """Every map has the same limits, from 0, and the colour bar says so."""
    figure, _, heat, _ = drawn(Darker(), flat([10, 200, 90, 250], [0, 0, 1, 1]))
    limits = {image.get_clim() for image in heat}
    assert len(heat) == 4
    assert len(limits) == 1
    ((low, high),) = limits
    assert (low, figure.axes[-1].get_ylim()) == (0, (low, high))
    assert high == pytest.approx((250 / 255) ** 2, rel=1e-6)


def test_features_have_their_anomaly_map():
    """A model that reconstructs features is shown as the picture and its map, in the map's unit."""
    figure, gray, heat, texts = drawn(Darker(features=True), flat([10, 200], [0, 1]))
    assert (len(gray), len(heat)) == (2, 2)
    assert [image.get_array().max() for image in heat] == [10, 200]
    assert figure.axes[-1].get_ylabel() == "anomaly map"
    assert "picture, anomaly map." in texts[1]


def test_each_picture_has_its_score_kind_and_decision():
    """Headings say the group and how many it has; small titles the kind, the score, the decision."""
    _, _, _, texts = drawn(Darker(), flat([10, 20, 200, 90, 250], [0, 0, 0, 1, 1]), count=1)
    assert texts == [
        "a title",
        "Left to right: picture, reconstruction, squared error. "
        "Called anomalous: scores above 100.",
        "Good, called good: 1 of 2",
        "good\nscore 10, called good",
        "Good, called anomalous (false alarms): 1",
        "good\nscore 200, called anomalous",
        "Anomalous, called anomalous (found): 1",
        "dent\nscore 250, called anomalous",
        "Anomalous, called good (missed): 1",
        "dent\nscore 90, called good",
    ]


def test_a_perfect_reconstruction_is_black():
    """Errors of zero have a scale all the same, and make no warning."""
    _, _, heat, _ = drawn(Darker(), flat([0, 0], [0, 0]))
    assert {image.get_clim() for image in heat} == {(0, 1)}


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 40, 1), (40, 4, 3)])
def test_nothing_overlaps_and_pixels_are_square(shape):
    """Pictures of any shape keep it; no text lies on a picture or another text, or off the page."""
    labelled = flat([10, 20, 200, 90, 250, 251], [0, 0, 0, 1, 1, 1], shape)
    for features in (False, True):
        figure, gray, heat, _ = drawn(Darker(features), labelled)
        boxes = [image.axes.get_window_extent() for image in (*gray, *heat)]
        assert all(
            box.height / box.width == pytest.approx(shape[0] / shape[1], rel=1e-3) for box in boxes
        )
        boxes += [text.get_window_extent() for text in figure.texts]
        boxes.append(figure.axes[-1].get_tightbbox())
        assert not any(
            one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number]
        )
        assert all(
            box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
            for box in boxes
        )

from types import SimpleNamespace

import numpy as np
import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.images import PixelRange
from recon_anomaly.sidebyside import side_by_side, typical
from recon_anomaly.store import from_array


class Level:
    """A detector by hand that reconstructs one level; its score is the mean pixel."""

    pixel_range_ = PixelRange(0.0, 255.0, "uint8")

    def __init__(self, level=0.0, threshold=100.0, features=False):
        self.level, self.offset_ = level, -threshold
        self.network_ = SimpleNamespace(target=None) if features else SimpleNamespace()

    def anomaly_score(self, X):
        return X.batch(slice(None)).mean((1, 2, 3))

    def iter_scores(self, X):
        yield self.anomaly_score(X), X.batch(slice(None))[..., 0].astype(np.float32)

    def reconstruct(self, X):
        return np.full((len(X), *X.shape), self.level, np.float32)


def flat(levels, labels, shape=(6, 6, 1)):
    """Return labelled pictures of one level each."""
    pictures = np.empty((len(levels), *shape), np.uint8)
    pictures[:] = np.array(levels, np.uint8)[:, None, None, None]
    kinds = tuple("dent" if label else "good" for label in labels)
    return SimpleNamespace(pictures=from_array(pictures), labels=np.array(labels, int), kinds=kinds)


def drawn(detectors, labelled):
    """Return the figure, drawn, its gray images, its maps, and its texts."""
    figure = side_by_side(detectors, labelled, "a title")
    figure.draw_without_rendering()
    images = [axes.images[0] for axes in figure.axes if axes.images]
    heat = [image for image in images if image.get_cmap().name == "inferno"]
    gray = [image for image in images if image.get_cmap().name == "gray"]
    return figure, gray, heat, [text.get_text() for text in figure.texts]


LABELLED = flat([51, 90, 204, 102, 255], [0, 0, 1, 1, 0])


@pytest.mark.parametrize(
    ("threshold", "chosen"),
    [
        (100, [0, 2]),  # 51 is farther below than 90, 204 farther above than 102
        (40, [4, 2]),  # every good one is a false alarm: the worst of them
        (254, [0, 3]),  # every anomalous one is missed: the worst of them
    ],
)
def test_right_and_certain_pictures_are_typical(threshold, chosen):
    """Worked by hand: the most certain right decision of each label, else the worst."""
    assert typical(Level(threshold=threshold), LABELLED) == chosen


def test_one_class_has_one_picture():
    """Without anomalous pictures the good one stands alone, and the text says so."""
    labelled = flat([51, 90], [0, 0])
    assert typical(Level(), labelled) == [0]
    _, gray, heat, texts = drawn({"a": Level(), "b": Level()}, labelled)
    assert (len(gray), len(heat)) == (4, 2)
    assert "Shown: the good picture that" in texts[1]


def test_the_first_detector_chooses_alone():
    """The pictures follow the first detector's threshold, whatever the others'."""
    for first, level in ((Level(threshold=100), 51), (Level(threshold=40), 255)):
        _, gray, _, _ = drawn({"a": first, "b": Level(threshold=70)}, LABELLED)
        assert gray[0].get_array()[0, 0] == pytest.approx(level / 255)


def test_rows_show_the_same_pictures():
    """Each detector has a row: both pictures as they are, its own reconstructions and errors."""
    _, gray, heat, _ = drawn({"black": Level(0), "brighter": Level(51)}, LABELLED)
    values = [round(float(image.get_array()[0, 0]) * 255) for image in gray]
    assert values == [51, 0, 51, 51, 204, 0, 204, 51]
    errors = [float(image.get_array()[0, 0]) for image in heat]
    np.testing.assert_allclose(errors, [0.04, 0, 0.64, 0.36], atol=1e-7)


def test_all_detectors_share_the_scale_of_a_picture():
    """The errors of one picture have the same limits in all rows, and a bar of their own."""
    figure, _, heat, _ = drawn({"black": Level(0), "brighter": Level(51)}, LABELLED)
    for images, top in ((heat[:2], 0.04), (heat[2:], 0.64)):
        for image in images:
            assert image.get_clim() == pytest.approx((0, top))
    bars = [axes for axes in figure.axes if axes.get_ylabel().startswith("squared error")]
    assert len(bars) == 2


def test_the_text_has_kind_decision_and_error():
    """Below each picture stand its kind, what the row's detector called it, and the MSE."""
    _, _, _, texts = drawn({"black": Level(0), "brighter": Level(51, threshold=220)}, LABELLED)
    assert texts == [
        "a title",
        "Left to right: picture, reconstruction, squared error; the scale of colours is that of the "
        "one picture.\nShown: the good and the anomalous picture that the first detector decides with "
        "the most certainty; the others have no say.",
        "black",
        "brighter",
        "good, called good\nMSE 0.04",
        "good, called good\nMSE 0",
        "dent, called anomalous\nMSE 0.64",
        "dent, called good\nMSE 0.36",
    ]


def test_features_have_their_map():
    """Models that reconstruct features have the anomaly map and its mean."""
    detectors = {name: Level(features=True) for name in "ab"}
    _, gray, heat, texts = drawn(detectors, LABELLED)
    assert (len(gray), len(heat)) == (4, 4)
    assert texts[4] == "good, called good\nmean 51"


def test_what_cannot_be_compared_is_refused():
    """One detector, no pictures, or maps of different units raise an error."""
    for detectors in ({}, {"a": Level()}):
        with pytest.raises(InputError, match="at least two"):
            side_by_side(detectors, LABELLED, "title")
    nothing = flat([10], [0])
    nothing.pictures = nothing.pictures.take([])
    with pytest.raises(InputError, match="no pictures"):
        side_by_side({"a": Level(), "b": Level()}, nothing, "title")
    with pytest.raises(InputError, match="different units"):
        side_by_side({"a": Level(), "b": Level(features=True)}, LABELLED, "title")


@pytest.mark.parametrize("shape", [(4, 4, 1), (4, 40, 1), (40, 4, 3)])
def test_nothing_overlaps_and_pixels_are_square(shape):
    """Pictures of any shape keep it; no text lies on a picture or another text, or off the page."""
    labelled = flat([51, 204], [0, 1], shape)
    for features in (False, True):
        detectors = {f"a detector by the schedule {k}": Level(features=features) for k in range(3)}
        figure, gray, heat, _ = drawn(detectors, labelled)
        boxes = [image.axes.get_window_extent() for image in (*gray, *heat)]
        assert all(
            box.height / box.width == pytest.approx(shape[0] / shape[1], rel=1e-3) for box in boxes
        )
        boxes += [text.get_window_extent() for text in figure.texts]
        boxes += [axes.get_tightbbox() for axes in figure.axes if axes.get_ylabel()]
        assert not any(
            one.overlaps(other) for number, one in enumerate(boxes) for other in boxes[:number]
        )
        assert all(
            box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1
            for box in boxes
        )

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import InputError, ReconstructionDetector, load
from recon_anomaly.decoding import read_mask
from recon_anomaly.locating import Limits, pixel_threshold


@pytest.fixture(scope="module")
def parts():
    """60 pictures of 16 x 16, noise on a gray ground."""
    return np.random.default_rng(0).integers(100, 120, (60, 16, 16)).astype(np.uint8)


@pytest.fixture(scope="module")
def detector(parts):
    """The mean of 40 of them, calibrated on the other 20."""
    return ReconstructionDetector("mean", device="cpu").fit(parts[:40], validation_data=parts[40:])


@pytest.fixture
def spotted(parts):
    """Three pictures, the second and third with bright spots in known places."""
    pictures = parts[:3].copy()
    pictures[1, 2:5, 4:10] = 250
    pictures[2, 0, 0] = 240
    pictures[2, 8:, 8:] = 250
    return pictures


def test_the_threshold_is_a_quantile_of_the_largest_map_values():
    """With 0.1 two of 20 validation pictures have a pixel above it, with 0 none."""
    parts = np.random.default_rng(0).random((60, 8, 8), np.float32)
    detector = ReconstructionDetector("mean", device="cpu").fit(
        parts[:40], validation_data=parts[40:]
    )
    peaks = detector.anomaly_map(parts[40:]).max((1, 2))
    assert detector.map_peaks_.tolist() == sorted(peaks.tolist())
    assert (peaks > pixel_threshold(detector, 0.1)).sum() == 2
    assert pixel_threshold(detector, 0) == detector.map_scale_
    assert pixel_threshold(detector) == np.quantile(detector.map_peaks_, 0.95)


def test_regions_of_an_array_are_in_its_own_pixels(detector, spotted):
    """The spots are found where they are, and the good picture has none."""
    good, one, two = detector.regions(spotted)
    assert (good.anomalous, good.regions) == (False, ())
    assert [(one.path, one.size, one.anomalous)] == [(None, (16, 16), True)]
    assert [region.box for region in one.regions] == [(4, 2, 6, 3)]
    assert [(region.box, region.area) for region in two.regions] == [
        ((8, 8, 8, 8), 64),
        ((0, 0, 1, 1), 1),
    ]
    assert [found.score for found in (good, one, two)] == detector.anomaly_score(spotted).tolist()
    assert [r.box for r in detector.regions(spotted, least_area=2)[2].regions] == [(8, 8, 8, 8)]


def test_good_pictures_are_looked_at_where_that_is_asked_for(detector, spotted):
    """A low threshold finds something in each, but only those called anomalous have regions by default."""
    few = detector.regions(spotted, threshold=0.0)
    every = detector.regions(spotted, threshold=0.0, every_picture=True)
    assert [bool(found.regions) for found in few] == [False, True, True]
    assert [bool(found.regions) for found in every] == [True, True, True]
    assert [found.anomalous for found in every] == [False, True, True]


def test_regions_of_files_are_in_pixels_of_the_file(detector, spotted, tmp_path):
    """Files of other sizes, one of them on its side, have boxes in their own upright pixels."""
    wide = Image.fromarray(spotted[1]).resize((64, 32), Image.Resampling.NEAREST)
    wide.save(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    lying = wide.transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "b.jpg", quality=100, exif=exif)
    first, second = detector.regions(tmp_path, threshold=0.1)  # above what the resize spreads
    assert [first.path.name, second.path.name] == ["a.png", "b.jpg"]
    assert first.size == second.size == (32, 64)
    for found in (first, second):
        assert found.regions[0].box == (16, 4, 24, 6)
        assert found.regions[0].area == 24 * 6


def test_a_saved_detector_finds_the_same(detector, spotted, tmp_path):
    """The largest values are in its file."""
    detector.save(tmp_path / "a.safetensors")
    loaded = load(tmp_path / "a.safetensors", device="cpu")
    assert pixel_threshold(loaded, 0.3) == pixel_threshold(detector, 0.3)
    found, wanted = loaded.regions(spotted), detector.regions(spotted)
    assert [r.box for f in found for r in f.regions] == [r.box for f in wanted for r in f.regions]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"threshold": float("nan")}, "threshold=nan: a finite number"),
        ({"false_alarm": 1.5}, "false_alarm=1.5"),
        ({"least_area": -1}, "least_area=-1: a number of pixels from 0 on"),
    ],
)
def test_limits_out_of_bounds_are_refused(detector, params, message):
    """The message says what was got and what is wanted."""
    with pytest.raises(InputError, match=message):
        Limits.of(detector, **params)


def test_real_breaks_are_where_their_masks_are(real_data):
    """Of large breaks of bottles, the region with the highest value touches the mask of the file in nine of ten."""
    folder = real_data / "mvtec_bottle_320" / "bottle"
    detector = ReconstructionDetector("pca", image_size=64, device="cpu").fit(
        folder / "train" / "good"
    )
    located = detector.regions(folder / "test" / "broken_large")
    touching = []
    for found in located:
        mask = read_mask(folder / "ground_truth" / "broken_large" / f"{found.path.stem}_mask.png")
        assert found.size == mask.shape
        x, y, width, height = (round(value) for value in found.regions[0].box)
        touching.append(mask[y : y + height, x : x + width].any())
    assert len(touching) == 20
    assert sum(touching) >= 18

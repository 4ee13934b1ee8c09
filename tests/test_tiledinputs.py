"""What a detector with tiles takes: files and arrays of any size, big files if they are allowed; and what it refuses."""

from __future__ import annotations

import tracemalloc
import warnings
import weakref
from collections import deque
from itertools import count

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from recon_anomaly import (
    AutoDetector,
    InputError,
    PictureError,
    ReconstructionDetector,
    reading,
)
from recon_anomaly.cli.app import app
from recon_anomaly.decoding import MAX_PIXELS, decode
from recon_anomaly.htmlreport.scored import contents_of_folder
from recon_anomaly.pictures import read_pictures
from recon_anomaly.station import Station
from recon_anomaly.tiledinputs import read_tiled
from recon_anomaly.tiledpictures import cut_files


def detector_of(**options):
    """The cheapest one, with tiles of 8."""
    return ReconstructionDetector("mean", **{"tile": 8, "overlap": 2} | options)


@pytest.fixture
def pictures(gray):
    """Six pictures that differ in size."""
    return [gray(seed, (9 + seed, 12 - seed // 2)) for seed in range(6)]


@pytest.fixture
def folder(tmp_path, pictures):
    """A folder of them."""
    (tmp_path / "good").mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / "good" / f"{number}.png")
    return tmp_path / "good"


def test_folders_paths_and_arrays_are_alike(folder, pictures):
    """The same fit, and the same scores of each kind, in order, and of one file."""
    of_files, of_arrays = detector_of().fit(folder), detector_of().fit(pictures)
    assert of_files.offset_ == of_arrays.offset_
    assert (of_files.n_features_in_, of_files.image_shape_) == (64, (8, 8, 1))
    scores = of_arrays.score_samples(pictures)
    paths = sorted(folder.iterdir())
    for X in (folder, paths, [str(path) for path in paths]):
        assert np.array_equal(of_files.score_samples(X), scores)
    assert of_files.score_samples(paths[2]) == scores[2:3]
    found = list(of_files.iter_files(paths))
    assert [one.paths for one in found] == [(path,) for path in paths]
    for one, picture in zip(found, pictures, strict=True):
        assert one.sizes == (picture.shape,)
        assert one.maps.shape == (1, *picture.shape)
        assert np.array_equal(one.pixels[0, ..., 0], picture)


@pytest.mark.parametrize(
    ("image_size", "of_files", "of_arrays"),
    [("auto", (256, 256), (6, 8)), (None, (6, 8), (6, 8)), ((5, 7), (5, 7), (5, 7))],
)
def test_a_region_without_tiles_is_one_tile(folder, pictures, image_size, of_files, of_arrays):
    """Of files it becomes as large as whole files do, of arrays it is as it is, unless a size is given."""
    options = {"tile": None, "overlap": None, "roi": (1, 2, 8, 6), "image_size": image_size}
    assert detector_of(**options).fit(folder).image_shape_ == (*of_files, 1)
    assert detector_of(**options).fit(pictures).image_shape_ == (*of_arrays, 1)


def test_no_picture_lives_on_while_the_next_one_is_waited_for(
    folder, pictures, tmp_path, monkeypatch
):
    """One is worked on and one is decoded, in each way to score files."""
    detector = detector_of().fit(pictures)
    detector.save(tmp_path / "a.safetensors")
    paths, seen, in_order = sorted(folder.iterdir()), [], reading.in_order

    def watched(futures, ahead):
        for path, result in in_order(futures, ahead):
            assert not any(one() is not None for one in seen), path
            owner = result.pixels
            while isinstance(owner.base, np.ndarray):
                owner = owner.base
            seen.append(weakref.ref(owner))
            del owner
            yield path, result
            del result

    monkeypatch.setattr(reading, "in_order", watched)
    detector.anomaly_score(folder)
    deque(detector.iter_scores(paths), maxlen=0)
    detector.regions(folder)
    for found in detector.iter_files(paths):
        del found
    arguments = ["score", str(tmp_path / "a.safetensors"), str(folder)]
    result = CliRunner().invoke(app, [*arguments, "--regions", str(tmp_path / "a.csv")])
    assert result.exit_code == 0, result.output
    cut_files(paths, detector.tiling_)
    assert len(seen) == 6 * len(paths)


def test_arrays_of_other_types(pictures):
    """Floats and 16 bits are scored by a detector of 8 bits, in their own unit; types must be one to fit on."""
    detector = detector_of().fit(pictures)
    wanted = detector.score_samples(pictures)
    for others in ([p / 255 for p in pictures], [p.astype(np.uint16) * 257 for p in pictures]):
        assert detector.score_samples(others) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(InputError, match="several types"):
        detector_of().fit([pictures[0], pictures[1] / 255])


def test_several_types_are_refused_wherever_a_store_is_made(pictures):
    """Rather than that 0 to 1 become 0 and 1 of 255: to validate, to observe and for another scorer."""
    mixed = [pictures[0], pictures[1] / 255]
    for options in ({"validation_data": mixed}, {"validation_data": (mixed, [1, -1])}):
        with pytest.raises(InputError, match="several types"):
            detector_of().fit(pictures, **options)
    with pytest.raises(InputError, match="several types"):
        list(detector_of().iter_fit(pictures, observed=mixed))
    with pytest.raises(InputError, match="several types"):
        detector_of().fit(pictures).with_scorer("max1p", mixed)


def test_arrays_are_converted_one_by_one():
    """Beside the store there is the copy of one picture, and not of all of them."""
    pictures = np.zeros((16, 128, 128))
    detector = detector_of(tile=128, overlap=0).fit(pictures[:2])
    tracemalloc.start()
    try:
        store = read_tiled(detector, pictures, fitting=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    size = 128 * 128 * 4
    assert (len(store), store.dtype) == (16, np.float32)
    assert peak < (16 + 6) * size


def test_validation_pictures(folder, pictures):
    """Given beside, with labels or without, and observed ones: all are scored whole."""
    detector = detector_of().fit(pictures[:4], validation_data=folder)
    assert len(detector.validation_scores_) == 6
    labels = [1, 1, 1, 1, -1, -1]
    options = {"model_params": {"kernels": (2,)}, "epochs": 1, "scorer": "max1p"}
    network = ReconstructionDetector("cae", tile=8, overlap=2, **options)
    events = list(network.iter_fit(pictures, validation_data=(pictures, labels), observed=folder))
    assert [len(scores) for scores in events[-1].scores.values()] == [6]
    assert len(network.validation_scores_) == 4
    assert "auroc" in network.history_.records[0].figures


def test_auto_tries_tiles(pictures):
    """It judges by tiles, and its threshold is of whole pictures."""
    detector = AutoDetector(candidates=[("mean", {})], scorers=("mse", "max1p"), tile=8, overlap=2)
    detector.fit(pictures, validation_data=pictures[:3])
    assert len(detector.validation_scores_) == 3
    assert detector.chosen_.tiling_.tile == 8
    assert detector.score_samples(pictures).shape == (6,)


def test_a_station_takes_pictures_as_they_come(folder, pictures, tmp_path):
    """Each at its own size, with the score of the command."""
    detector = detector_of().fit(pictures)
    seconds = map(float, count())
    with Station(detector, folder, tmp_path / "out", clock=lambda: next(seconds)) as station:
        rows = list(station.step()) + list(station.step())
    scores = {row["path"]: row["score"] for row in rows}
    paths = sorted(folder.iterdir())
    assert [scores[str(path)] for path in paths] == detector.anomaly_score(paths).tolist()


def test_a_service_is_refused(pictures):
    """It resizes what is sent."""
    make_app = pytest.importorskip("recon_anomaly.service.app").make_app
    with pytest.raises(InputError, match="watch a folder"):
        make_app(detector_of().fit(pictures))


def test_a_report_is_refused(folder, pictures):
    """It shows reconstructions of whole pictures."""
    with pytest.raises(InputError, match="report"):
        contents_of_folder(detector_of().fit(pictures), folder, source="a")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((4, 64)), r"got shape \(4, 64\)"),
        ([np.zeros((9, 9))], "got 1 picture"),
        ([], "got list"),
        ([np.zeros((9, 9), complex)] * 2, "picture 0 has .*complex"),
        ([np.full((9, 9), np.inf)] * 2, "NaN or infinity"),
        ([np.zeros((9, 9)), np.zeros((9, 7))], "does not fit into a picture of 9 x 7"),
        (3, "got int"),
    ],
)
def test_what_cannot_be_fitted_on(X, message):
    """The message says what was got."""
    with pytest.raises(InputError, match=message):
        detector_of().fit(X)


def test_cut_pictures_and_none_at_all(pictures):
    """Pictures that were cut before score as they are; an empty array is an error, not an empty answer."""
    detector = detector_of().fit(pictures)
    cut = read_tiled(detector, pictures, fitting=False)
    assert np.array_equal(detector.score_samples(cut), detector.score_samples(pictures))
    with pytest.raises(InputError, match="got no pictures"):
        detector.score_samples(np.zeros((0, 9, 9)))


def test_pictures_that_were_resized_before(folder):
    """Have no tiles of the original pixels any more."""
    with pytest.raises(InputError, match="resized to one size"):
        detector_of().fit(read_pictures(sorted(folder.iterdir()), image_size=16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 0}, "tile is 0"),
        ({"tile": None}, "overlap=2"),
        ({"roi": "no.png"}, r"no\.png"),
        ({"roi": (0, 0, 4, 4)}, "region of interest of 4 x 4"),
        ({"max_pixels": 0}, "max_pixels is"),
    ],
)
def test_parameters_out_of_bounds(folder, options, message):
    """Before anything is read, or with the file that shows it."""
    with pytest.raises((InputError, PictureError), match=message):
        detector_of(**options).fit(folder)


def test_the_limit_holds_without_tiles_too(folder):
    """At fitting, and at scoring as it was fitted."""
    detector = ReconstructionDetector("mean", image_size=8, max_pixels=15 * 12).fit(folder)
    with pytest.raises(PictureError, match="more than 20 pixels"):
        detector.set_params(max_pixels=20).score_samples(folder)
    with pytest.raises(PictureError, match="more than 20 pixels"):
        detector.fit(folder)


def test_files_beyond_the_limit_are_allowed_explicitly(tmp_path):
    """The process's own limit stands as it was, and nothing warns; without being allowed they are refused."""
    path, side = tmp_path / "big.pgm", 9_500
    with path.open("wb") as file:
        file.write(b"P5 %d %d 255\n" % (side, side))
        file.truncate(file.tell() + side * side)
    before = Image.MAX_IMAGE_PIXELS
    assert side * side > MAX_PIXELS
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(path, (8, 8), True, max_pixels=side * side).size == (side, side)
        assert (
            "max_pixels, or --max-pixels of fit, score, threshold and watch, allows more"
            in decode(path, None, True)
        )
    assert before == Image.MAX_IMAGE_PIXELS

"""A fitted detector scores files as they are decoded, as it would score them from a store."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import ReconstructionDetector, fitted, inputs, read_pictures
from recon_anomaly.errors import InputError, PictureError
from recon_anomaly.fitted import NotFittedError


def detector_of(model="cvae", **params):
    params = {"image_size": 16, "epochs": 1, "batch_size": 8, "device": "cpu", **params}
    return ReconstructionDetector(model, **params)


@pytest.fixture
def paths(good, bad, tmp_path):
    """21 PNGs: two batches of 8 and a last one of 5."""
    found = [tmp_path / f"{number:02}.png" for number in range(21)]
    for path, picture in zip(found, [*good[:15], *bad[:6]], strict=True):
        Image.fromarray(picture[..., 0]).save(path)
    return found


@pytest.mark.parametrize("scorer", ["mse", "max1p", "reconstruction-probability"])
@pytest.mark.parametrize("model", ["cae", "cvae", "pca"])
def test_files_score_as_their_store_does(model, scorer, good, paths):
    """Bit for bit, by every method, whether they come as a folder, as paths, or as the pictures in memory."""
    detector = detector_of(model, scorer=scorer).fit(good)
    store = read_pictures(paths, image_size=16)
    wanted = detector.anomaly_score(store)
    for X in (paths, paths[0].parent, str(paths[0].parent), np.array([str(p) for p in paths])):
        assert np.array_equal(detector.anomaly_score(X), wanted)
    assert np.array_equal(detector.predict(paths), detector.predict(store))
    assert np.array_equal(detector.anomaly_map(paths), detector.anomaly_map(store))
    pairs = zip(detector.iter_scores(paths), detector.iter_scores(store), strict=True)
    for (scores, maps), (same_scores, same_maps) in pairs:
        assert np.array_equal(scores, same_scores)
        assert np.array_equal(maps, same_maps)


def test_no_store_is_made_of_files_to_score(good, paths, monkeypatch):
    """Neither for scores nor for maps; what learns from the pictures still makes one."""
    detector = detector_of("mean").fit(good[21:])
    monkeypatch.setattr(inputs, "read_pictures", lambda *_, **__: pytest.fail("a store was made"))
    assert len(detector.score_samples(paths)) == 21
    assert len(detector.anomaly_map(paths)) == 21
    assert detector.calibrate(paths).predict(paths[:3]).shape == (3,)
    with pytest.raises(pytest.fail.Exception, match="a store was made"):
        detector.reconstruct(paths)


def test_iter_files_gives_all_that_belongs_to_a_picture(good, paths):
    """Path, pixels, score and map, batch by batch, each file once."""
    detector = detector_of().fit(good)
    parts = list(detector.iter_files(paths))
    assert [len(part.paths) for part in parts] == [8, 8, 5]
    assert [path for part in parts for path in part.paths] == paths
    pixels = np.concatenate([part.pixels for part in parts])
    assert np.array_equal(pixels, np.stack([np.asarray(Image.open(p))[..., None] for p in paths]))
    scores = np.concatenate([part.scores for part in parts])
    assert np.array_equal(scores, detector.anomaly_score(pixels))
    maps = np.concatenate([part.maps for part in parts])
    assert np.array_equal(maps, detector.anomaly_map(pixels))


def test_iter_files_can_leave_out_what_cannot_be_read(good, paths):
    """The rest scores as if the bad files were not there; without a list the first one is an error."""
    detector = detector_of().fit(good)
    wanted = detector.anomaly_score([*paths[1:11], *paths[12:]])
    for bad in (paths[0], paths[11]):
        bad.write_text("no picture")
    skipped = []
    parts = list(detector.iter_files(paths, skipped=skipped))
    assert [path for path, _ in skipped] == [paths[0], paths[11]]
    assert np.array_equal(np.concatenate([part.scores for part in parts]), wanted)
    with pytest.raises(PictureError, match=r"00\.png cannot be used"):
        next(detector.iter_files(paths))


def test_scores_before_a_bad_file_are_given(good, paths):
    """The error comes when the turn of the file comes, and all-or-nothing methods give nothing."""
    detector = detector_of().fit(good)
    paths[18].unlink()
    found = detector.iter_scores(paths)
    assert [len(next(found)[0]) for _ in range(2)] == [8, 8]
    with pytest.raises(PictureError, match=r"18\.png cannot be used: it does not exist"):
        next(found)
    with pytest.raises(PictureError, match=r"18\.png"):
        detector.anomaly_score(paths)


def test_files_do_not_fit_a_detector_of_two_channels(good, paths):
    """No file has two, and the error is that of reading them."""
    detector = detector_of("mean", image_size=None).fit(np.repeat(good, 2, axis=3))
    with pytest.raises(InputError, match="channels is 2; give one of 'auto', 1, 3"):
        detector.anomaly_score(paths)


def test_an_unfitted_detector_says_so(paths):
    """Before any file is read."""
    for ask in (fitted.FittedDetector.anomaly_score, fitted.FittedDetector.iter_files):
        with pytest.raises(NotFittedError):
            list(ask(detector_of(), paths))

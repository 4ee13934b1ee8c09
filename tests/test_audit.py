import io
import shutil

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from recon_anomaly import (
    InputError,
    Leakage,
    Pictures,
    find_labelled,
    find_leakage,
    make_parts,
    neighbours,
    read_pictures,
)
from recon_anomaly.audit import Twin
from recon_anomaly.neighbours import TURNS, turned


def _scenes(count, size=(40, 40), seed=0):
    """Different gray pictures (n, h, w), uint8, softly blurred noise."""
    rough = np.random.default_rng(seed).normal(size=(count, *size))
    smooth = ndimage.gaussian_filter(rough, (0, 1.5, 1.5))
    return np.clip(128 + 35 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def _store(pictures):
    return Pictures(np.ascontiguousarray(pictures)[..., None])


@pytest.fixture(scope="module")
def parts():
    """Embedded castings: 40 to train on and 8 other good ones to test."""
    drawn = make_parts(40, 8, 4, image_size=64)
    return drawn.train[..., 0], drawn.test[drawn.labels == 0][..., 0]


def _brute(train, test):
    """The least distance of two pictures over the eight turns with gain and offset fitted."""
    best = []
    for k, known in enumerate(train):
        for turn in range(8):
            x, y = turned(known, turn).ravel() / 255, test.ravel() / 255
            gain, offset = np.polyfit(x, y, 1)
            if gain > 0:
                distance = np.sqrt(np.mean((y - gain * x - offset) ** 2))
                best.append((distance, k, TURNS[turn], gain, offset))
    return min(best)


def test_every_turn_of_noise_agrees_with_plain_loops():
    """Below 16 px nothing is moved: twin, turn, gain, offset, distance are those of all n·m·8 fits."""
    rng = np.random.default_rng(3)
    train = rng.integers(0, 256, (12, 12, 12), dtype=np.uint8)
    noisy = [
        0.8 * turned(train[k], turn) + 20 + rng.normal(0, 3, (12, 12))
        for k, turn in zip(range(1, 9), range(8), strict=True)
    ]
    test = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    leakage = find_leakage(_store(train), _store(test))
    assert leakage.leaked.tolist() == list(range(8))
    for twin, picture in zip(leakage.twins, test, strict=True):
        distance, k, turn, gain, offset = _brute(train, picture)
        assert (twin.kind, twin.train, twin.turn) == ("near", k, turn)
        assert (twin.gain, twin.offset) == (pytest.approx(gain), pytest.approx(offset))
        assert twin.distance == pytest.approx(distance)
        assert twin.moved == 0


@pytest.mark.parametrize("turn", range(8), ids=TURNS)
def test_a_turned_part_is_found_among_parts_of_its_design(parts, turn):
    """Each flip and turn of a training part, as a JPEG of other brightness, is near, and rightly named."""
    train, others = parts
    file = io.BytesIO()
    relit = np.rint(0.85 * turned(train[7], turn) + 12).astype(np.uint8)
    Image.fromarray(relit).save(file, "JPEG", quality=85)
    test = np.stack([others[0], np.asarray(Image.open(file)), others[1]])
    leakage = find_leakage(_store(train), _store(test))
    (twin,) = leakage.twins
    assert (twin.test, twin.train, twin.kind, twin.turn) == (1, 7, "near", TURNS[turn])
    assert twin.gain == pytest.approx(0.85, abs=0.01)
    assert twin.offset == pytest.approx(12 / 255, abs=0.01)
    assert 0 < twin.distance < 0.015


def test_a_shifted_and_zoomed_part_is_found(parts):
    """What an augmentation does beside flips and turns is found too, and how far it moved."""
    train, _ = parts
    zoomed = ndimage.affine_transform(
        train[5].astype(float), np.diag([0.95, 1.04]), [3.0, -2.0], order=1, mode="nearest"
    )
    test = np.rint(turned(zoomed, 4)).astype(np.uint8)[None]
    (twin,) = find_leakage(_store(train), _store(test)).twins
    assert (twin.train, twin.kind, twin.turn) == (5, "near", "mirrored")
    assert 0.02 < twin.moved < 0.1


def test_other_parts_of_one_design_are_no_twins(parts):
    """Castings that were drawn anew look alike, correlate above 0.98 and are not near."""
    train, others = parts
    r = [np.corrcoef(others[0].ravel(), known.ravel())[0, 1] for known in train]
    assert max(r) > 0.98
    leakage = find_leakage(_store(train), _store(others))
    assert leakage.twins == ()
    assert leakage.sentence() == "no test picture was found in the training pictures"


def test_kinds_by_files_and_pixels(tmp_path):
    """A copied file is identical-file, the same pixels in another format identical-pixels."""
    scenes = _scenes(6)
    folders = {name: tmp_path / name for name in ("train", "test")}
    for folder in folders.values():
        folder.mkdir()
    for k, scene in enumerate(scenes[:5]):
        Image.fromarray(scene).save(folders["train"] / f"{k}.png")
    shutil.copy(folders["train"] / "3.png", folders["test"] / "a copy.png")
    Image.fromarray(scenes[1]).save(folders["test"] / "b.bmp")
    Image.fromarray(scenes[5]).save(folders["test"] / "c.png")
    train, test = (
        read_pictures(sorted(folder.iterdir()), image_size=32) for folder in folders.values()
    )
    found = find_leakage(train, test)
    kinds = [(twin.test, twin.train, twin.kind, twin.distance) for twin in found.twins]
    assert kinds == [(0, 3, "identical-file", 0.0), (1, 1, "identical-pixels", 0.0)]
    bare = find_leakage(Pictures(train.array), Pictures(test.array))
    assert [twin.kind for twin in bare.twins] == ["identical-pixels"] * 2


def test_a_file_that_is_gone_is_named(tmp_path, save, gray):
    """Files are compared anew; one that was removed since is an error."""
    store = read_pictures([save("a.png", gray())], image_size=None)
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png cannot be compared"):
        find_leakage(store, store)


def test_of_two_files_alike_the_first_is_the_twin():
    """Where a picture stands twice in the training pictures, the first one is named."""
    scenes = _scenes(3)
    (twin,) = find_leakage(_store(scenes[[0, 2, 1, 2]]), _store(scenes[[2]])).twins
    assert twin.train == 1


def test_constant_pictures_are_near_nothing():
    """Without contrast a picture leaks only if its pixels are equal."""
    flat = np.stack([np.full((32, 32), level, np.uint8) for level in (90, 120)])
    train = np.concatenate([flat[:1], _scenes(3, (32, 32))])
    leakage = find_leakage(_store(train), _store(flat))
    assert [(twin.test, twin.kind) for twin in leakage.twins] == [(0, "identical-pixels")]


def test_a_negative_is_no_twin():
    """A picture with dark and bright exchanged is explained by a negative gain only."""
    scenes = _scenes(10)
    assert find_leakage(_store(scenes), _store(255 - scenes[:1])).twins == ()


def test_one_pixel_is_compared_for_identity_only():
    """Pictures of fewer than 8 pixels a side are never near, since any two numbers fit."""
    levels = np.array([10, 20, 30], np.uint8).reshape(3, 1, 1)
    leakage = find_leakage(_store(levels), _store(levels[1:] + np.uint8(10)))
    assert [(twin.test, twin.train, twin.kind) for twin in leakage.twins] == [
        (0, 2, "identical-pixels")
    ]


def test_pictures_that_are_no_squares():
    """The turns that keep 30 x 44 pixels are tried, and the planted ones found."""
    scenes = _scenes(9, (30, 44))
    test = np.stack([turned(scenes[2], 2), turned(scenes[4], 6)]) // 2 + 40
    leakage = find_leakage(_store(scenes), _store(test))
    assert [(twin.train, twin.turn) for twin in leakage.twins] == [
        (2, "turned by 180°"),
        (4, "mirrored and turned by 180°"),
    ]


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_other_pixel_types_give_the_same_twins(dtype):
    """uint16 and floats are brought to shares of their range, and the distance is in these."""
    scenes = _scenes(9)
    copy = np.clip(
        scenes[:1] * 0.7 + 20 + np.random.default_rng(0).normal(0, 2, (1, 40, 40)), 0, 255
    )
    scale = 257 if dtype == np.uint16 else 1 / 255
    wanted = find_leakage(_store(scenes), _store(copy.astype(np.uint8))).twins[0]
    train, test = (
        (array.astype(np.uint8) * np.float64(scale)).astype(dtype) for array in (scenes, copy)
    )
    (twin,) = find_leakage(_store(train), _store(test)).twins
    assert (twin.train, twin.turn) == (wanted.train, wanted.turn)
    assert twin.distance == pytest.approx(wanted.distance, rel=1e-3)
    assert twin.offset == pytest.approx(wanted.offset, rel=1e-3)


def test_stores_of_different_shape_and_channels():
    """Coloured test pictures of another size are compared by gray copies of the training size."""
    scenes = _scenes(9)
    large = np.asarray(Image.fromarray(scenes[6]).resize((60, 60), Image.Resampling.BICUBIC))
    test = Pictures(np.repeat(large[None, ..., None], 3, axis=-1))
    (twin,) = find_leakage(_store(scenes), test).twins
    assert (twin.train, twin.kind, twin.turn) == (6, "near", "as it is")


def test_chunks_and_views_change_nothing(parts, monkeypatch):
    """Rows one at a time, and views in another order, give the same twins."""
    train, others = parts
    test = _store(np.concatenate([turned(train[[3, 9]], 1), others[:2]]))
    whole = find_leakage(_store(train), test)
    assert whole.leaked.tolist() == [0, 1]
    monkeypatch.setattr(neighbours, "_CELLS", 1)
    assert find_leakage(_store(train), test) == whole
    turned_about = find_leakage(_store(train).take(slice(None, None, -1)), test.take([1, 3, 0]))
    assert [(twin.test, 39 - twin.train) for twin in turned_about.twins] == [(0, 9), (2, 3)]


def test_progress_counts_every_test_picture():
    """The last count is the number of test pictures, and counts rise."""
    scenes, counts = _scenes(6), []
    find_leakage(_store(scenes[:4]), _store(scenes[2:]), progress=counts.append)
    assert counts == [2, 3, 4]


def test_nothing_to_compare():
    """Empty views have no twins."""
    store = _store(_scenes(3))
    assert find_leakage(store.take([]), store).twins == ()
    assert find_leakage(store, store.take([])) == Leakage(3, 0, ())


@pytest.mark.parametrize("size", [0, 7, 2.5])
def test_a_size_out_of_range_is_refused(size):
    """Fewer than 8 pixels a side tell nothing."""
    store = _store(_scenes(1))
    with pytest.raises(InputError, match="size is"):
        find_leakage(store, store, size=size)


def _twins(*positions):
    kinds = ("identical-file", "near", "identical-pixels")
    return tuple(
        Twin(k, 0, kind, "as it is", 1.0, 0.0, 0.0)
        for k, kind in zip(positions, kinds, strict=True)
    )


def test_the_sentence_counts_classes_and_kinds():
    """With labels the classes are counted apart, and a class that is not there is not named."""
    leakage = Leakage(9, 5, _twins(0, 2, 4))
    stand = "test pictures stand in the training pictures (2 identical, 1 near)"
    assert leakage.sentence() == f"3 of 5 {stand}"
    labels = np.array([0, 0, 0, 1, 1])
    assert leakage.sentence(labels) == f"2 of 3 good and 1 of 2 anomalous {stand}"
    assert leakage.sentence(np.ones(5)) == f"3 of 5 anomalous {stand}"
    assert leakage.leaked.dtype == np.intp
    assert (leakage.count("near"), leakage.count("identical-file")) == (1, 1)


def test_wrong_labels_and_kinds_are_refused():
    """Labels for other pictures, and a kind that does not exist, are errors."""
    leakage = Leakage(9, 5, _twins(0, 2, 4))
    with pytest.raises(InputError, match="one for each test picture"):
        leakage.sentence(np.zeros(3))
    with pytest.raises(InputError, match="give one of 'identical-file'"):
        leakage.count("file")


def _found(folder, good, defective):
    found = find_labelled(folder)
    labels = np.array(found.labels)
    chosen = [*np.flatnonzero(labels == 0)[good], *np.flatnonzero(labels == 1)[defective]]
    train = read_pictures(found.train, image_size=128)
    test = read_pictures([found.test[k] for k in chosen], image_size=128)
    return find_leakage(train, test), labels[chosen]


def test_good_test_castings_all_stand_in_the_training_pictures(real_data):
    """Over 60 files are the very same; a sample of all good ones leaks, and no defective one."""
    found = find_labelled(real_data / "casting_300")
    seen = {path.read_bytes() for path in found.train}
    same = sum(path.read_bytes() in seen for path in found.test)
    assert same > 60
    leakage, labels = _found(real_data / "casting_300", slice(None, None, 5), slice(None, None, 20))
    assert (labels[leakage.leaked] == 0).all()
    assert len(leakage.twins) == (labels == 0).sum()
    assert leakage.count("near") > leakage.count("identical-file") > 5


def test_bottles_do_not_leak(real_data):
    """The bottles look very much alike, but no test picture is a training picture."""
    leakage, _ = _found(
        real_data / "mvtec_bottle_320" / "bottle", slice(None), slice(None, None, 8)
    )
    assert leakage.twins == ()

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from recon_anomaly import benchdata, find_leakage, make_parts
from recon_anomaly.benchdata import BenchData, LabelledPictures, corrupted, embedded, from_folder
from recon_anomaly.errors import InputError, PictureError, PictureWarning
from recon_anomaly.masks import GOOD
from recon_anomaly.registry import build
from recon_anomaly.store import from_array


def _data(pictures, labels):
    kinds = tuple("bad" if label else "good" for label in labels)
    test = LabelledPictures("defects", from_array(pictures), np.asarray(labels), kinds)
    return BenchData("x", from_array(pictures), test, pictures.shape[1:3])


def test_a_corrupted_set_pairs_each_good_picture_with_its_copy(good):
    """The first half is the good test pictures as they are, the second half their spoiled copies."""
    data = _data(good[:6], [0, 1, 0, 0, 1, 0])
    noise, _ = build("corruptor", "gaussian")
    test = corrupted(data, "gaussian", noise)
    pixels = test.pictures.batch(slice(None))
    assert test.labels.tolist() == [0] * 4 + [1] * 4
    assert np.array_equal(pixels[:4], good[[0, 2, 3, 5]])
    assert (pixels[4:] != pixels[:4]).any((1, 2, 3)).all()


def test_a_copy_is_the_corruptors_rounded(good):
    """A copy is what the corruptor makes of the picture under (seed, place), in whole gray levels."""
    data = _data(good[:3], [0, 0, 0])
    noise, _ = build("corruptor", "gaussian")
    copies = corrupted(data, "gaussian", noise, seed=5).pictures.batch(slice(3, None))
    for k, copy in enumerate(copies):
        image = (good[k] / 255).astype(np.float32)
        expected, _ = noise(image, np.random.default_rng([5, k]))
        assert np.array_equal(copy, np.rint(255 * expected).astype(np.uint8))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_copies_keep_the_type_of_the_pictures(dtype):
    """Corrupted sets of 8-bit, 16-bit and float pictures are of the same type, and span its range."""
    full = {"uint8": 255, "uint16": 65535}.get(np.dtype(dtype).name, 1.0)
    pictures = np.full((4, 8, 8, 1), full / 2).astype(dtype)
    salt, _ = build("corruptor", "salt-and-pepper", {"salt": 0.2, "pepper": 0.2})
    pixels = corrupted(_data(pictures, [0] * 4), "s", salt).pictures.batch(slice(4, None))
    assert pixels.dtype == dtype
    assert (pixels.min(), pixels.max()) == (0, full)


def test_a_set_without_good_pictures_cannot_be_corrupted(good):
    """There is nothing to corrupt when all test pictures are defective."""
    with pytest.raises(InputError, match="no good test pictures"):
        corrupted(_data(good[:2], [1, 1]), "gaussian", build("corruptor", "gaussian")[0])


def test_the_checksum_sees_pixels_and_labels(good):
    """Another pixel or another label is another data set."""
    changed = good[:4].copy()
    changed[0, 0, 0, 0] ^= 1
    sums = {
        _data(good[:4], [0, 0, 1, 1]).checksum(),
        _data(good[:4], [0, 1, 1, 1]).checksum(),
        _data(changed, [0, 0, 1, 1]).checksum(),
    }
    assert len(sums) == 3
    assert _data(good[:4].copy(), [0, 0, 1, 1]).checksum() in sums


def test_the_checksum_sees_defects_to_validate_on(good):
    """Data with labels to validate on is another data set; defects that nobody asked for play no part."""
    data = _data(good[:4], [0, 0, 1, 1])
    labelled = replace(data, defects=from_array(good[4:6]))
    spare = replace(data, spare=lambda: from_array(good[4:6]))
    assert labelled.checksum() != data.checksum() == spare.checksum()


def test_leakage_is_looked_for_once(good, monkeypatch):
    """Several benches on one data set audit it once, and a changed one anew."""
    calls = []

    def counting(train, test):
        calls.append(len(test))
        return find_leakage(train, test)

    monkeypatch.setattr(benchdata, "find_leakage", counting)
    data = _data(good[:4], [0, 1, 0, 1])
    assert data.leakage is data.leakage
    assert data.leakage.leaked.tolist() == [0, 1, 2, 3]
    assert data.without([3]).leakage.leaked.tolist() == [0, 1, 2]
    assert calls == [4, 3]


def test_defects_to_validate_on_are_looked_for_in_the_test_pictures(good):
    """Their copies among the test pictures are found; without such defects there is nothing to look for."""
    data = _data(good[:4], [0, 1, 0, 1])
    assert data.defects_leakage is None
    labelled = replace(data, defects=from_array(good[[9, 3, 8]]))
    found = labelled.defects_leakage
    assert [(twin.test, twin.train, twin.kind) for twin in found.twins] == [
        (3, 1, "identical-pixels")
    ]
    assert labelled.defects_leakage is found


def test_what_a_bench_is_given_is_read(tmp_path, good):
    """A data set stays as it is, None is the embedded one, and a path is a folder."""
    data = _data(good[:4], [0, 1, 0, 1])
    assert benchdata.read_data(data, 99, False) is data
    assert benchdata.read_data(None, 16, False).image_size == (16, 16)
    with pytest.raises(InputError, match="does not exist"):
        benchdata.read_data(tmp_path / "no", None, False)


def test_test_pictures_can_be_left_out(good):
    """Without some positions the others stay in their order, with labels and kinds; train stays."""
    data = _data(good[:5], [0, 1, 0, 1, 0])
    left = data.without([3, 0])
    assert np.array_equal(left.test.pictures.batch(slice(None)), good[[1, 2, 4]])
    assert left.test.labels.tolist() == [1, 0, 0]
    assert left.test.kinds == ("bad", "good", "good")
    assert (left.train, left.name, left.image_size) == (data.train, data.name, data.image_size)
    with pytest.raises(InputError, match="no test picture left without the 5 leaked"):
        data.without(range(5))


def test_a_folder_is_read_with_its_name_and_layout(tmp_path, good, bad):
    """Name, layout, size and labels are the folder's."""
    for place, pictures in {
        "train/ok": good[:4],
        "test/ok": good[4:6],
        "test/def": bad[:3],
    }.items():
        (tmp_path / "parts" / place).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / "parts" / place / f"{k}.png")
    data = from_folder(tmp_path / "parts", 16)
    assert (data.name, data.layout, data.image_size) == ("parts", "castings", (16, 16))
    assert (len(data.train), data.test.labels.tolist()) == (4, [0, 0, 1, 1, 1])
    assert data.test.kinds == ("good", "good", "def", "def", "def")


def test_the_embedded_set_needs_nothing():
    """The procedural castings come at any size, with every kind of defect."""
    data = embedded((32, 48))
    assert data.train.shape == (32, 48, 1)
    assert len(set(data.test.kinds)) == 6


def _with_copies(seed=0):
    """16 castings, each as it is to train on and mirrored to test on: every good test picture leaks."""
    parts = make_parts(n_train=16, n_test_good=1, n_defects_per_kind=1, image_size=48, seed=seed)
    bad = parts.test[parts.labels == 1]
    tested = np.concatenate([parts.train[:, :, ::-1], bad])
    kinds = ("good",) * 16 + ("bad",) * len(bad)
    test = LabelledPictures("defects", from_array(tested), np.repeat([0, 1], [16, len(bad)]), kinds)
    return BenchData("copies", from_array(parts.train), test, (48, 48))


def test_a_split_by_part_leaves_no_leak():
    """A set whose test pictures all stand in training, mirrored, has none after the split by part."""
    data = _with_copies()
    assert len(find_leakage(data.train, data.test.pictures).twins) == 16
    split = data.by_part()
    assert find_leakage(split.train, split.test.pictures).twins == ()
    assert len(split.train) + (split.test.labels == 0).sum() == 32
    assert 0.2 * 32 <= (split.test.labels == 0).sum() <= 0.2 * 32 + 2
    assert split.name == "copies, split by part (12 to train, 4 to test)"
    bad = data.test.labels == 1
    assert np.array_equal(
        split.test.pictures.batch(np.flatnonzero(split.test.labels)),
        data.test.pictures.batch(np.flatnonzero(bad)),
    )


def test_a_split_by_part_wants_three_parts(good, monkeypatch):
    """With two there would be none to validate on, and that is said."""
    monkeypatch.setattr(benchdata, "find_parts", lambda pictures: np.repeat([0, 1], 4))
    with pytest.raises(
        InputError, match="good pictures of x show 2 parts; at least three are needed"
    ):
        _data(good[:4], [0] * 4).by_part()


def test_validation_pictures_are_held_out_by_part_too():
    """After a split by part, a part to validate on is not trained on; without one the split is random."""
    split = _with_copies().by_part()
    training, validation = split.split_validation(seed=1)
    assert len(training) + len(validation) == len(split.train)
    assert find_leakage(training, validation).twins == ()
    data = _with_copies()
    sizes = [len(part) for part in data.split_validation(seed=1)]
    assert sizes == [13, 3]


@pytest.fixture
def masked(tmp_path):
    """A folder of mvtec layout, 16 x 16: 10 good to train on, 3 good and 3 spotted, the last without a mask."""
    rng = np.random.default_rng(0)
    for part, count in (("train/good", 10), ("test/good", 3), ("test/spot", 3)):
        for number in range(count):
            pixels = rng.integers(80, 120, (16, 16)).astype(np.uint8)
            path = tmp_path / "parts" / part / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            if part == "test/spot" and number < 2:
                mask = np.zeros((16, 16), np.uint8)
                mask[number, 2:4] = 255
                truth = tmp_path / "parts" / "ground_truth" / "spot"
                truth.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(truth / f"{number}_mask.png")
    return tmp_path / "parts"


def places(masks):
    """Where each mask begins; "good" and None for those without."""
    return [
        mask if mask is None else np.argwhere(mask)[0].tolist() if mask.any() else "good"
        for mask in masks
    ]


def test_a_folder_is_read_with_its_masks(masked):
    """At the pictures' size, parallel to the test pictures, and in step with them when some are left out."""
    data = from_folder(masked, 16)
    assert places(data.test.masks) == ["good", "good", "good", [0, 2], [1, 2], None]
    assert places(data.without([0, 3]).test.masks) == ["good", "good", [1, 2], None]
    for path in masked.rglob("*_mask.png"):
        path.unlink()
    assert from_folder(masked, 16).test.masks is None


def test_masks_stay_with_their_pictures_when_parts_are_split(masked, monkeypatch):
    """Good pictures that were to be trained on have none to have; defective ones keep theirs."""
    monkeypatch.setattr(benchdata, "find_parts", lambda pictures: np.arange(len(pictures)))
    data = from_folder(masked, 16).by_part()
    good = int((data.test.labels == 0).sum())
    assert good > 0
    assert places(data.test.masks) == ["good"] * good + [[0, 2], [1, 2], None]


def test_a_mask_that_cannot_be_read_ends_it_or_is_unknown(masked):
    """As with pictures, where unreadable ones are left out a warning tells of it."""
    (masked / "ground_truth" / "spot" / "0_mask.png").write_bytes(b"none")
    with pytest.raises(PictureError, match="0_mask"):
        from_folder(masked, 16)
    with pytest.warns(PictureWarning, match="1 of 2 masks"):
        data = from_folder(masked, 16, skip_unreadable=True)
    assert places(data.test.masks)[3:] == [None, [1, 2], None]


def test_a_mask_of_another_size_than_its_picture_is_refused(masked):
    """Both files and both sizes are named; where unreadable files are left out, nobody knows where the defect is."""
    path = masked / "ground_truth" / "spot" / "1_mask.png"
    Image.fromarray(np.full((8, 24), 255, np.uint8)).save(path)
    message = r"1_mask\.png has 24 x 8 pixels, and its picture .*1\.png 16 x 16"
    with pytest.raises(PictureError, match=message):
        from_folder(masked, 16)
    with pytest.warns(PictureWarning, match=f"1 of 2 masks .*{message}"):
        data = from_folder(masked, 16, skip_unreadable=True)
    assert places(data.test.masks)[3:] == [[0, 2], None, None]


def test_the_embedded_defects_have_their_masks():
    """Those that `make_parts` gives, parallel to the test pictures."""
    test = embedded(16).test
    parts = make_parts(image_size=16)
    assert len(test.masks) == len(parts.masks) == len(test.labels)
    for mask, drawn in zip(test.masks, parts.masks, strict=True):
        assert np.array_equal(mask, drawn)


@pytest.mark.parametrize("name", ["objects", "salt-and-pepper"])
def test_masks_of_copies_are_what_differs(good, name):
    """Pixel by pixel of the rounded pictures; an original is good everywhere."""
    test = corrupted(_data(good[:6], [0] * 6), name, build("corruptor", name)[0])
    pixels = test.pictures.array
    count = len(pixels) // 2
    for k in range(count):
        assert not test.masks[k].any()
        assert np.array_equal(test.masks[count + k], (pixels[k] != pixels[count + k])[..., 0])


def test_noise_is_everywhere_and_an_unchanged_copy_nowhere(good):
    """Where most pixels differ there are no masks; a copy that rounding brings back is unknown."""
    data = _data(good[:12], [0] * 12)
    assert corrupted(data, "noise", build("corruptor", "gaussian")[0]).masks is None

    def once(image, rng):
        spoiled = image.copy()
        spoiled[0, 0] = np.float32(1.0 if rng.random() < 0.5 else image[0, 0, 0])
        return spoiled, (spoiled != image).any(2)

    masks = corrupted(data, "once", once).masks
    assert set(masks.rows[: len(masks) // 2]) == {GOOD}
    unknown = [mask is None for mask in masks]
    assert 0 < sum(unknown) < len(masks) // 2

import numpy as np
import pytest
from PIL import Image

from recon_anomaly.benchdata import BenchData, LabelledPictures, embedded, from_folder
from recon_anomaly.errors import InputError
from recon_anomaly.labelling import with_labels
from recon_anomaly.store import from_array


def _data(kinds, train=4):
    """Pictures whose every pixel is their number, so that each is known by its value."""
    numbers = np.arange(len(kinds), dtype=np.uint8)
    pictures = np.broadcast_to(numbers[:, None, None, None], (len(kinds), 8, 8, 1)).copy()
    labels = np.array([kind != "good" for kind in kinds], int)
    test = LabelledPictures("defects", from_array(pictures), labels, tuple(kinds))
    return BenchData("x", from_array(np.full((train, 8, 8, 1), 200, np.uint8)), test, (8, 8))


def _numbers(pictures):
    return pictures.batch(slice(None))[:, 0, 0, 0].tolist()


def test_a_fifth_of_each_kind_leaves_the_test_set():
    """At least one where a kind has two, none where it has one; the good ones and the order stay."""
    kinds = ["good"] * 3 + ["dent"] * 10 + ["hole"] * 2 + ["crack"]
    data = _data(kinds)
    labelled = with_labels(data)
    taken = _numbers(labelled.defects)
    assert sorted(kinds[number] for number in taken) == ["dent", "dent", "hole"]
    kept = [number for number in range(len(kinds)) if number not in taken]
    assert _numbers(labelled.test.pictures) == kept
    assert labelled.test.kinds == tuple(kinds[number] for number in kept)
    assert labelled.test.labels.tolist() == [int(kinds[number] != "good") for number in kept]
    assert labelled.train is data.train
    assert labelled.defects_from == (
        "3 of its test defects, which are in no test set: crack 0 of 1, dent 2 of 10, hole 1 of 2"
    )


def test_the_seed_decides_which_and_the_checksum_sees_it():
    """The same seed takes the same defects, another one others; what is labelled stays as it is."""
    data = _data(["good"] + ["dent"] * 50)
    first, second, other = with_labels(data), with_labels(data), with_labels(data, seed=1)
    assert _numbers(first.defects) == _numbers(second.defects) != _numbers(other.defects)
    assert first.checksum() == second.checksum()
    assert len({data.checksum(), first.checksum(), other.checksum()}) == 3
    assert with_labels(first) is first


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (["good"] * 5, r"0 of its test defects could be taken \(it has none\), which leaves 0"),
        (["good", "dent", "hole"], r"0 of .* \(dent 0 of 1, hole 0 of 1\), which leaves 2"),
        (["good", "dent", "dent"], r"1 of .* \(dent 1 of 2\), which leaves 1"),
    ],
)
def test_too_few_defects_are_refused(kinds, words):
    """The error counts them and names the schedule that needs none."""
    with pytest.raises(InputError, match=words) as caught:
        with_labels(_data(kinds))
    assert "'awl-loss', which needs no labels" in str(caught.value)


def test_the_training_folders_defects_come_first(tmp_path, good, bad):
    """They are read as the others are, the test set stays whole, and one of good pictures alone will do."""
    for place, pictures in {
        "train/ok": good[:4],
        "train/def": bad[:3],
        "test/ok": good[4:6],
    }.items():
        (tmp_path / place).mkdir(parents=True)
        for k, picture in enumerate(pictures):
            Image.fromarray(picture[..., 0]).save(tmp_path / place / f"{k}.png")
    data = from_folder(tmp_path, 16)
    labelled = with_labels(data)
    assert np.array_equal(labelled.defects.batch(slice(None)), bad[:3])
    assert labelled.test is data.test
    assert "3 defects that belong to the training pictures" in labelled.defects_from
    (tmp_path / "train" / "def" / "0.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"0\.png cannot be used"):
        with_labels(from_folder(tmp_path, 16))
    skipping = with_labels(from_folder(tmp_path, 16, skip_unreadable=True))
    assert (len(skipping.defects), len(skipping.defects.skipped)) == (2, 1)


def test_the_embedded_castings_have_defects_to_validate_on():
    """Four of each of five kinds, none of which is in the test set."""
    data = with_labels(embedded(16))
    assert (len(data.defects), len(data.test.labels)) == (20, 120)
    tested = {picture.tobytes() for picture in data.test.pictures.batch(slice(None))}
    assert not tested & {picture.tobytes() for picture in data.defects.batch(slice(None))}


@pytest.mark.filterwarnings("ignore:.*have defects that vanish at 16 x 16")  # a thin one does
def test_a_real_set_without_them_gives_some_of_its_test_defects(real_data):
    """The bottle has 20, 22 and 21 defects of three kinds, and four of each are taken."""
    data = with_labels(from_folder(real_data / "mvtec_bottle_320", 16))
    assert data.defects_from.endswith(
        "broken_large 4 of 20, broken_small 4 of 22, contamination 4 of 21"
    )
    assert int(data.test.labels.sum()) == 63 - 12

"""Labelled folders: every layout is recognised by looking, and nothing else is."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from recon_anomaly.datasets import find_labelled, good_pictures
from recon_anomaly.errors import InputError, PictureWarning
from recon_anomaly.layouts import LabelledFolder


def touch(root: Path, *names: str) -> None:
    # Layouts are told by names alone, so the files may be empty.
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def relative(found: LabelledFolder, paths: tuple[Path | None, ...]) -> list[str | None]:
    return [None if path is None else path.relative_to(found.root).as_posix() for path in paths]


def test_castings(tmp_path):
    """Good and defective folders under train and test; defects in train are only for validation."""
    touch(tmp_path, "train/ok_front/b.png", "train/ok_front/a.png", "train/def_front/c.png")
    touch(tmp_path, "test/ok_front/d.png", "test/def_front/f.png", "test/Def_back/e.png")
    found = find_labelled(tmp_path)
    assert found.layout == "castings"
    assert found.root == tmp_path
    assert relative(found, found.train) == ["train/ok_front/a.png", "train/ok_front/b.png"]
    assert relative(found, found.test) == [
        "test/ok_front/d.png",
        "test/Def_back/e.png",
        "test/def_front/f.png",
    ]
    assert found.test_kinds == ("good", "Def_back", "def_front")
    assert found.labels.tolist() == [0, 1, 1]
    assert found.masks == (None, None, None)
    assert relative(found, found.validation_defects) == ["train/def_front/c.png"]


def test_castings_without_training_defects(tmp_path):
    """Defects in train are optional, and names are read in any case."""
    touch(tmp_path, "TRAIN/OK/a.png", "Test/Ok/b.png", "Test/DEF/c.png")
    found = find_labelled(tmp_path)
    assert found.layout == "castings"
    assert found.validation_defects == ()
    assert found.labels.tolist() == [0, 1]


@pytest.mark.parametrize(("folder", "kind"), [("ok", "good"), ("good", "good"), ("def", "def")])
def test_castings_with_one_class_to_test(tmp_path, folder, kind):
    """Good or defective test pictures alone are enough."""
    touch(tmp_path, "train/ok/a.png", f"test/{folder}/b.png")
    found = find_labelled(tmp_path)
    assert (found.layout, found.test_kinds) == ("castings", (kind,))
    assert relative(found, found.train) == ["train/ok/a.png"]


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("ok_front", "def_front"),
        ("good", "bad"),
        ("Normal", "Anomaly"),
        ("OK", "NG"),
        ("ok", "nok"),
    ],
)
def test_good_and_defective(tmp_path, good, bad):
    """Without a split, 80 % of the good ones (rounded down) train; the others are tested on."""
    touch(tmp_path, *(f"{good}/{i}.png" for i in range(9)), *(f"{bad}/{i}.png" for i in range(3)))
    found = find_labelled(tmp_path)
    assert found.layout == "good-and-defective"
    assert (len(found.train), len(found.test)) == (7, 5)
    assert found.test_kinds == ("good", "good", bad, bad, bad)
    held_out = found.test[:2]
    assert sorted([*found.train, *held_out]) == sorted((tmp_path / good).iterdir())
    assert list(found.train) == sorted(found.train)
    assert list(held_out) == sorted(held_out)


def test_split_follows_the_seed_and_not_the_place(tmp_path):
    """One seed gives one split, wherever the folder lies; another seed gives another."""
    for place in ("one", "two"):
        touch(tmp_path / place, *(f"ok/{i:02}.png" for i in range(30)), "def/a.png")
    one, two = find_labelled(tmp_path / "one"), find_labelled(tmp_path / "two")
    assert relative(one, one.train) == relative(two, two.train)
    assert find_labelled(tmp_path / "one", seed=7).train != one.train


def test_mvtec(tmp_path):
    """Kinds of defects under test, masks under ground_truth where there are any."""
    touch(tmp_path, "license.txt", "train/good/000.png", "test/good/000.png")
    touch(tmp_path, "test/crack/000.png", "test/crack/001.png", "test/Bent/000.png")
    touch(tmp_path, "ground_truth/crack/001_mask.png")
    found = find_labelled(tmp_path)
    assert found.layout == "mvtec"
    assert relative(found, found.train) == ["train/good/000.png"]
    assert found.test_kinds == ("good", "Bent", "crack", "crack")
    assert relative(found, found.masks) == [None, None, None, "ground_truth/crack/001_mask.png"]
    assert found.labels.tolist() == [0, 1, 1, 1]


def test_mvtec_without_ground_truth_or_good_test_pictures(tmp_path):
    """Both are optional; a folder of defects is enough."""
    touch(tmp_path, "train/good/000.png", "test/crack/000.png")
    found = find_labelled(tmp_path)
    assert (found.layout, found.test_kinds, found.masks) == ("mvtec", ("crack",), (None,))


def test_lone_category_is_descended_into(tmp_path):
    """A folder around one category stands for it; around several it is an error that lists them."""
    touch(tmp_path, "bottle/train/good/000.png", "bottle/test/crack/000.png")
    assert find_labelled(tmp_path).root == tmp_path / "bottle"
    touch(tmp_path, "cable/train/good/000.png", "cable/test/crack/000.png")
    with pytest.raises(InputError, match=r"several categories: bottle, cable; name one"):
        find_labelled(tmp_path)


def magnetic_tiles(root: Path) -> None:
    for kind, count in (("MT_Free", 5), ("MT_Blowhole", 2), ("MT_Fray", 1)):
        touch(root, *(f"{kind}/Imgs/{i}{end}" for i in range(count) for end in (".jpg", ".png")))


def test_kinds_with_masks(tmp_path):
    """Pictures are the .jpg files, masks the .png ones beside; the common prefix goes."""
    magnetic_tiles(tmp_path)
    found = find_labelled(tmp_path)
    assert found.layout == "kinds-with-masks"
    assert (len(found.train), len(found.test)) == (4, 4)
    assert {path.parent.parent.name for path in found.train} == {"MT_Free"}
    assert found.test_kinds == ("good", "blowhole", "blowhole", "fray")
    assert all(path.suffix == ".jpg" for path in (*found.train, *found.test))
    assert relative(found, found.masks) == [
        None,
        "MT_Blowhole/Imgs/0.png",
        "MT_Blowhole/Imgs/1.png",
        "MT_Fray/Imgs/0.png",
    ]


def test_opposite_names_are_no_good_kinds(tmp_path):
    """A kind named nok or abnormal ends like a good one and is defective."""
    for kind in ("part_ok", "part_nok", "part_abnormal", "part_not_ok"):
        touch(tmp_path, *(f"{kind}/{i}{end}" for i in range(5) for end in (".jpg", ".png")))
    found = find_labelled(tmp_path)
    assert {path.parent.name for path in found.train} == {"part_ok"}
    assert set(found.test_kinds) == {"good", "nok", "abnormal", "not_ok"}


@pytest.mark.parametrize("stray", ["lone.png", "other.bmp"])
def test_mask_without_a_picture_is_an_error(tmp_path, stray):
    """A file that is neither a picture nor the mask of one is named, not left out."""
    magnetic_tiles(tmp_path)
    touch(tmp_path, f"MT_Fray/Imgs/{stray}")
    with pytest.raises(InputError, match=rf"{stray} \(1 such files\) is neither"):
        find_labelled(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["a.png"],
        ["ok/a.png"],
        ["ok/a.png", "def/b.png", "maybe/c.png"],
        ["train/ok/a.png", "test/maybe/b.png"],
        ["train/def/a.png", "test/ok/b.png"],
        ["train/ok/a.png", "test/ok/b.png", "test/def/c.png", "validation/ok/d.png"],
        ["train/good/a.png", "train/odd/b.png", "test/good/c.png", "test/crack/d.png"],
        ["kind_a/a.jpg", "kind_a/a.png", "kind_b/b.jpg", "kind_b/b.png"],
    ],
)
def test_unknown_layout_shows_the_known_ones_and_what_was_found(tmp_path, names):
    """What fits no layout, or only with a folder left over, is an error with a sketch."""
    touch(tmp_path, *names)
    with pytest.raises(InputError) as caught:
        find_labelled(tmp_path)
    message = str(caught.value)
    for layout in ("castings", "good-and-defective", "mvtec", "kinds-with-masks"):
        assert f"\n  {layout}  " in message
    found = message.partition("found: ")[2]
    assert all(Path(name).parent.as_posix() in found for name in names if "/" in name)
    assert ("no folders" in found) == (names == ["a.png"])


def test_other_errors(tmp_path):
    """A missing folder, an empty one inside, too few to split and a negative seed are named."""
    with pytest.raises(InputError, match="gone does not exist"):
        find_labelled(tmp_path / "gone")
    touch(tmp_path, "ok/a.png")
    (tmp_path / "def").mkdir()
    with pytest.raises(InputError, match="1 good picture; give at least 2"):
        find_labelled(tmp_path)
    touch(tmp_path, "ok/b.png")
    with pytest.raises(InputError, match="def holds no picture"):
        find_labelled(tmp_path)
    with pytest.raises(InputError, match="seed is -1"):
        find_labelled(tmp_path, seed=-1)


def test_hidden_folders_do_not_count(tmp_path):
    """What an editor or a file manager leaves behind changes no layout."""
    touch(tmp_path, "ok/a.png", "ok/b.png", "def/c.png", ".cache/d.png")
    assert len(find_labelled(tmp_path).test) == 2


def test_labels_are_integers():
    """Labels are int64, also where there is nothing to test on."""
    empty = LabelledFolder(Path(), "castings", (), (), (), ())
    assert empty.labels.dtype == np.int64


def test_real_castings(real_data):
    """The Kaggle castings: 2875 good to train, 262 good and 453 defective to test."""
    found = find_labelled(real_data / "casting_300")
    assert found.layout == "castings"
    assert len(found.train) == 2875
    assert Counter(found.test_kinds) == {"good": 262, "def_front": 453}
    assert len(found.validation_defects) == 600


def test_real_castings_without_a_split(real_data):
    """The larger castings: 519 good ones are split, 781 defective ones are tested on."""
    found = find_labelled(real_data / "casting_512")
    assert found.layout == "good-and-defective"
    assert len(found.train) == 415
    assert Counter(found.test_kinds) == {"good": 104, "def_front": 781}


def test_real_bottles(real_data):
    """MVTec's bottles, found inside their folder: 209 good, 20 + 63 to test, each with its mask."""
    found = find_labelled(real_data / "mvtec_bottle_320")
    assert found.layout == "mvtec"
    assert found.root.name == "bottle"
    assert (len(found.train), len(found.test), found.labels.sum()) == (209, 83, 63)
    masked = [mask is not None for mask in found.masks]
    assert masked == found.labels.astype(bool).tolist()


def test_real_magnetic_tiles(real_data):
    """The magnetic tiles: 952 free of defects, 392 defective in five kinds, all with masks."""
    found = find_labelled(real_data / "magnetic_tile")
    assert found.layout == "kinds-with-masks"
    held_out = found.test_kinds.count("good")
    assert len(found.train) == 952 * 4 // 5
    assert len(found.train) + held_out == 952
    kinds = Counter(found.test_kinds)
    del kinds["good"]
    assert kinds == {"blowhole": 115, "break": 85, "crack": 57, "fray": 32, "uneven": 103}
    assert sum(mask is not None for mask in found.masks) == 392


# What to train on ----------------------------------------------------------------------------------


def test_a_plain_folder_is_trained_on_whole(tmp_path):
    """Sub-folders with neutral names belong to the good pictures."""
    touch(tmp_path, "monday/a.png", "tuesday/b.png", "c.png")
    names = [path.relative_to(tmp_path).as_posix() for path in good_pictures(tmp_path)]
    assert names == ["c.png", "monday/a.png", "tuesday/b.png"]


def test_the_category_inside_gives_its_training_pictures(tmp_path):
    """The root of one mvtec category gives the category's good training pictures, with a warning."""
    touch(tmp_path, "bottle/train/good/a.png", "bottle/test/good/b.png", "bottle/test/broken/c.png")
    with pytest.warns(PictureWarning, match="its 1 good training pictures"):
        assert good_pictures(tmp_path) == [tmp_path / "bottle/train/good/a.png"]


@pytest.mark.parametrize(
    "names",
    [
        ("ok/a.png", "def/b.png", "unsorted/c.png"),
        ("train/ok/a.png", "train/def/b.png", "test/c.png"),
        ("good/a.png", "ground_truth/b.png"),
        ("a.png", "NOK/b.png"),
    ],
)
def test_what_sounds_defective_is_never_trained_on_silently(tmp_path, names):
    """A folder of no known layout with defects, tests or masks inside is refused, and the place named."""
    touch(tmp_path, *names)
    with pytest.raises(InputError, match="does not sound like good parts"):
        good_pictures(tmp_path)


def test_several_categories_are_not_trained_on_together(tmp_path):
    """The root of several categories is refused, with their names."""
    for category in ("bottle", "cable"):
        touch(tmp_path, *(f"{category}/{place}/a.png" for place in ("train/good", "test/broken")))
    with pytest.raises(InputError, match="several categories: bottle, cable"):
        good_pictures(tmp_path)

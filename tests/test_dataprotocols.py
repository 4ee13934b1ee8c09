from pathlib import Path

import pytest

from recon_anomaly.dataprotocols import DataProtocol, find_data
from recon_anomaly.errors import InputError, PictureWarning
from recon_anomaly.presets import KLIMKEVICIUS

CASTINGS = ("train/ok_front/a.png", "test/ok_front/b.png", "test/def_front/c.png")
SINGLE = ("ok_front/a.png", "ok_front/b.png", "def_front/c.png")


def touch(root: Path, *names: str) -> None:
    # Layouts are told by names alone, so the files may be empty.
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path) -> dict[str, str]:
    """The one folder of each of a preset's protocols below the root, by layout."""
    places = find_data(root, KLIMKEVICIUS.protocols, "preset 'klimkevicius'")
    return {known.layout: path.relative_to(root).as_posix() for known, (path,) in places.items()}


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("castings", "others"),
        ("casting_data/casting_data", "casting_512x512/casting_512x512"),
        ("a/b/c", "d/e/f"),
    ],
)
def test_both_protocols_are_found_however_nested(tmp_path, one, two):
    """Data sets up to three levels down are found, the paper's split first, others passed over."""
    touch(tmp_path / one, *CASTINGS)
    touch(tmp_path / two, *SINGLE)
    touch(tmp_path / "bottle", "train/good/a.png", "test/crack/b.png")
    touch(tmp_path / "tiles", "MT_Free/a.jpg", "MT_Free/b.jpg", "MT_Free/a.png", "MT_Fray/c.jpg")
    assert found(tmp_path) == {"castings": one, "good-and-defective": two}
    assert next(iter(found(tmp_path))) == "castings"


@pytest.mark.parametrize(
    ("names", "layout"), [(CASTINGS, "castings"), (SINGLE, "good-and-defective")]
)
def test_the_folder_itself_may_be_the_data_set(tmp_path, names, layout):
    """A folder that is laid out so is taken, also when it is the only one."""
    touch(tmp_path, *names)
    assert found(tmp_path) == {layout: "."}


def test_what_lies_too_deep_is_not_found(tmp_path):
    """Below three levels nothing is looked for."""
    touch(tmp_path / "a" / "b" / "c" / "d", *CASTINGS)
    with pytest.raises(InputError, match="found: no labelled folder"):
        found(tmp_path)


def test_nothing_found_says_what_is_wanted_and_what_is_there(tmp_path):
    """The error has the wanted layouts, the ones that are there, and why a near miss is none."""
    touch(tmp_path / "bottle", "train/good/a.png", "test/crack/b.png")
    touch(tmp_path / "castings", *CASTINGS[:2])
    (tmp_path / "castings" / "test" / "def_front").mkdir()
    with pytest.raises(InputError, match="no data set of preset 'klimkevicius'") as caught:
        found(tmp_path)
    message = str(caught.value)
    assert "wanted is at least one of" in message
    assert "train/ok_front, test/ok_front and test/def_front" in message
    assert "512x512 pictures, in ok_front and def_front" in message
    assert "bottle (layout mvtec)" in message
    assert "def_front holds no picture" in message


def test_the_halves_of_a_spoilt_set_are_no_sets(tmp_path):
    """A castings folder whose test half is empty is not run on its training half, and is told of."""
    touch(tmp_path / "castings", *(f"train/{name}" for name in SINGLE), "test/ok_front/d.png")
    (tmp_path / "castings" / "test" / "def_front").mkdir()
    touch(tmp_path / "others", *SINGLE)
    with pytest.warns(PictureWarning, match=r"passed over: .*def_front"):
        assert found(tmp_path) == {"good-and-defective": "others"}


def test_two_of_a_kind_are_a_question(tmp_path):
    """Several folders of one layout are listed, so that one can be named."""
    touch(tmp_path / "one", *CASTINGS)
    touch(tmp_path / "two", *CASTINGS)
    with pytest.raises(InputError, match=r"several folders of layout castings: .*one, .*two; name"):
        found(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    """The folder has to exist."""
    with pytest.raises(InputError, match="nowhere is not a folder"):
        found(tmp_path / "nowhere")


ANY = DataProtocol(None, "any", "any labelled folder")


def any_found(root: Path) -> list[str]:
    """The folders of every layout below the root."""
    return [path.relative_to(root).as_posix() for path in find_data(root, [ANY], "a test")[ANY]]


def test_without_a_layout_every_labelled_folder_is_found(tmp_path):
    """Several folders of one layout are all taken, and so are those of others, sorted by path."""
    touch(tmp_path / "b" / "one", *CASTINGS)
    touch(tmp_path / "b" / "two", *CASTINGS)
    touch(tmp_path / "a", *SINGLE)
    touch(tmp_path / "bottle_320" / "bottle", "train/good/a.png", "test/crack/b.png")
    touch(tmp_path / "tiles", "MT_Free/a.jpg", "MT_Free/b.jpg", "MT_Free/a.png", "MT_Fray/c.jpg")
    assert any_found(tmp_path) == ["a", "b/one", "b/two", "bottle_320/bottle", "tiles"]


def test_each_category_of_a_folder_is_a_data_set(tmp_path, recwarn):
    """A folder of several categories is refused as one data set, but its categories are found silently."""
    for category in ("bottle", "cable"):
        touch(tmp_path / "mvtec" / category, "train/good/a.png", "test/crack/b.png")
    assert any_found(tmp_path) == ["mvtec/bottle", "mvtec/cable"]
    assert not recwarn


def test_without_a_layout_nothing_found_says_so(tmp_path):
    """The error names who asked and what is wanted."""
    with pytest.raises(InputError, match=r"no data set of a test; .*\n  any layout: any labelled"):
        any_found(tmp_path)


def test_the_real_data_sets_are_found(real_data):
    """All four are found, the bottles as the category inside their folder."""
    assert any_found(real_data) == [
        "casting_300",
        "casting_512",
        "magnetic_tile",
        "mvtec_bottle_320/bottle",
    ]
    assert found(real_data) == {"castings": "casting_300", "good-and-defective": "casting_512"}

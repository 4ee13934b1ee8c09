from pathlib import Path

import pytest

from recon_anomaly.errors import InputError, PictureWarning
from recon_anomaly.presets import KLIMKEVICIUS, PRESETS, find_preset
from recon_anomaly.registry import offers

CASTINGS = ("train/ok_front/a.png", "test/ok_front/b.png", "test/def_front/c.png")
SINGLE = ("ok_front/a.png", "ok_front/b.png", "def_front/c.png")


def touch(root: Path, *names: str) -> None:
    # Layouts are told by names alone, so the files may be empty.
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def found(root: Path) -> dict[str, str]:
    """The folders of the protocols below the root, by layout."""
    places = KLIMKEVICIUS.find_data(root)
    return {known.layout: path.relative_to(root).as_posix() for known, path in places.items()}


def test_presets_are_found_by_name():
    """Every preset is found by its own name, and another name lists them."""
    assert all(find_preset(name).name == name for name in PRESETS)
    with pytest.raises(
        InputError, match="preset='klimkevičius' is unknown; known are: klimkevicius"
    ):
        find_preset("klimkevičius")


def test_the_figures_are_those_of_the_paper():
    """Rows as the paper prints them: recall, precision, F1 and PRC-AUC of Tables 1 to 3."""
    noise, objects, real = KLIMKEVICIUS.tables
    assert set(noise.figures.values()) == {(0.996, 1, 0.998, 1)}
    assert objects.figures["tcae"] == (0.859, 0.945, 0.9, 0.9705)
    assert real.figures["cae"] == (0.993, 0.653, 0.788, 0.837)
    for table in KLIMKEVICIUS.tables:
        assert list(table.figures) == ["cae", "cvae", "tcae", "tcvae"]
        for recall, precision, f1, _ in table.figures.values():
            assert f1 == pytest.approx(2 * recall * precision / (recall + precision), abs=0.002)


@pytest.mark.parametrize("preset", PRESETS.values(), ids=str)
def test_a_preset_names_what_there_is(preset):
    """Models, scorers and corruptors are built in, and tables speak of test sets that are made."""
    for kind, names in {
        "model": preset.models,
        "scorer": preset.scorers,
        "corruptor": preset.corruptors,
    }.items():
        assert set(names) <= {offer.name for offer in offers(kind)}
    made = {*preset.corruptors, "defects"}
    assert all(set(table.test_sets) <= made for table in preset.tables)
    assert all(set(table.figures) <= set(preset.models) for table in preset.tables)
    assert preset.layout in {protocol.layout for protocol in preset.protocols}


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
    with pytest.raises(InputError) as caught:
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


def test_the_real_castings_are_found(real_data):
    """Both sets of castings are found among the other real data sets."""
    assert found(real_data) == {"castings": "casting_300", "good-and-defective": "casting_512"}

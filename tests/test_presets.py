from functools import partial
from inspect import signature

import pytest

from recon_anomaly import make_parts
from recon_anomaly.bench import iter_bench, run_bench
from recon_anomaly.benchdata import embedded
from recon_anomaly.errors import InputError
from recon_anomaly.presets import KLIMKEVICIUS, NAKATA, PRESETS, find_preset
from recon_anomaly.printed import KLIMKEVICIUS as KLIMKEVICIUS_TABLES
from recon_anomaly.registry import build, offers

NAMES = sorted(PRESETS)


def test_presets_are_found_by_name():
    """Every preset is found by its own name, and another name lists them."""
    assert all(find_preset(name).name == name for name in NAMES)
    with pytest.raises(
        InputError, match="preset='klimkevičius' is unknown; known are: klimkevicius, nakata"
    ):
        find_preset("klimkevičius")


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_names_what_there_is(name):
    """Arguments are those of the bench; models, scorers, corruptors and schedules are built in."""
    for grid in PRESETS[name].grids():
        assert set(grid) <= set(signature(iter_bench).parameters)
        for kind in ("model", "scorer", "corruptor"):
            assert set(grid[f"{kind}s"]) <= {offer.name for offer in offers(kind)}
        assert set(grid.get("model_grid", {})) <= set(grid["models"])
        for schedule in grid.get("schedules", ()):
            known, params = (schedule, {}) if isinstance(schedule, str) else schedule
            build("schedule", known, params)


@pytest.mark.parametrize("name", NAMES)
def test_all_grids_see_the_same_pictures(name):
    """Size, test sets and labels to validate on do not differ, so that rows can be compared."""
    grids = PRESETS[name].grids()
    for same in ("image_size", "corruptors", "scorers", "labelled_validation"):
        assert len({str(grid.get(same)) for grid in grids}) == 1


def test_klimkevicius_is_one_grid():
    """Models, scorer, noises, seed, size and epochs are the paper's; its tables speak of what is made."""
    (grid,) = KLIMKEVICIUS.grids()
    assert grid["models"] == (
        "cae",
        "cvae",
        "tcae",
        "tcvae",
        "mean",
        "brightness",
        "pca",
        "nearest",
    )
    assert (grid["scorers"], grid["seeds"], grid["image_size"]) == (("mse",), (42,), 256)
    assert (grid["epochs"], KLIMKEVICIUS.grids(7)[0]["epochs"]) == (50, 7)
    made = {*grid["corruptors"], "defects"}
    assert made == {name for table in KLIMKEVICIUS_TABLES for name in table.test_sets}


def test_nakata_is_two_experiments_and_the_trivial_rows():
    """Seeds, epochs, batches, likelihoods and scores are those of the paper's Sections 4.1.2 and 5.1."""
    first, second, trivial = NAKATA.grids()
    for grid in (first, second):
        assert grid["models"] == ("vae",)
        assert grid["model_grid"] == {"vae": {"likelihood": ["bernoulli", "gaussian"]}}
        assert (grid["batch_size"], grid["learning_rate"]) == (32, 1e-4)
    assert first["schedules"] == (("constant", {"keeps": "auroc"}), "awl-auc")
    assert (first["seeds"], first["epochs"], first["every_epoch"]) == (
        (1, 10, 20, 50, 100),
        100,
        True,
    )
    assert second["schedules"] == (
        ("constant", {"keeps": "last"}),
        ("awl-loss", {"milestones": [100, 150, 200]}),
    )
    assert (second["seeds"], second["epochs"]) == ((1, 10, 20), 200)
    assert trivial["models"] == ("mean", "brightness", "pca", "nearest")
    assert set(trivial["seeds"]) == {*first["seeds"], *second["seeds"]}
    assert all(grid["labelled_validation"] for grid in (first, second, trivial))


@pytest.mark.parametrize(
    ("epochs", "milestones"), [(1, [1, 2, 3]), (2, [2, 3, 4]), (3, [3, 4, 6]), (40, [40, 60, 80])]
)
def test_another_number_of_epochs_scales_nakata(epochs, milestones):
    """Milestones keep their proportions and ascend, and the conventional training is as long."""
    first, second, _ = NAKATA.grids(epochs)
    (_, params) = second["schedules"][1]
    assert (first["epochs"], params["milestones"]) == (epochs, milestones)
    assert second["epochs"] == milestones[-1]


@pytest.mark.parametrize("name", NAMES)
def test_no_epoch_is_refused(name):
    """Less than one epoch trains nothing."""
    with pytest.raises(InputError, match="epochs=0: at least one epoch"):
        PRESETS[name].grids(0)


def test_a_missing_folder_is_named(tmp_path):
    """The folder of the data has to exist."""
    with pytest.raises(InputError, match="nowhere is not a folder"):
        NAKATA.find_data(tmp_path / "nowhere")


def test_an_error_names_the_preset(tmp_path):
    """Where no data set is found, the message says for which preset."""
    with pytest.raises(InputError, match="no data set of preset 'nakata'"):
        NAKATA.find_data(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_other_records_have_no_tables_of_a_paper(name):
    """A bench of another schedule on other data is nothing that a paper speaks of."""
    record = {"layout": "mvtec", "test_set": "defects", "model": "cae", "scorer": "mse"}
    record |= {"schedule": "constant", "schedule_params": {}, "epochs": 5}
    assert PRESETS[name].tables_of([record]) == []


def test_the_tables_of_nakata_are_filled_by_its_grids(monkeypatch):
    """Run small, one seed and scorer, the grids leave no cell of a network empty but the paper's."""
    small = {"image_size": 16, "seeds": (1,), "scorers": ("mse",)}
    monkeypatch.setattr("recon_anomaly.benchdata.make_parts", partial(make_parts, 40, 8, 2, 1))
    data = embedded(16)
    records = []
    for grid in NAKATA.grids(2):
        params = {"vae": {"latent_size": 4}} if "model_grid" in grid else {}
        records += run_bench(data, **grid | small | {"model_params": params})
    found = NAKATA.tables_of(records)
    assert [table.title.split(",")[1].strip() for table in found] == [
        f"Table {k}" for k in range(6, 12)
    ]
    for table in found:
        networks, trivial = table.rows[3:5], table.rows[5:]
        for row, likelihood in zip(networks, ("bernoulli", "gaussian"), strict=True):
            assert row[:2] == ("embedded", f"vae (latent_size=4, likelihood={likelihood})")
            assert row[3:5] == ("-", "-")
            assert all(0 <= float(cell) <= 100 for cell in row[5:])
        assert [row[1] for row in trivial] == ["mean", "brightness", "pca", "nearest"]
        assert all((row[6], row[8]) == ("-", "-") and row[5] != "-" for row in trivial)
        stayed = [note for note in table.notes if "the weights never changed" in note]
        assert stayed == list(table.notes)
        if int(table.title.split(",")[1].split()[1]) <= 8:  # awl-auc switches in epoch 7 or later
            assert len(stayed) == 2

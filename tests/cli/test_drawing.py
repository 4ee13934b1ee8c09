from types import SimpleNamespace

import pytest

pytest.importorskip("matplotlib")

from recon_anomaly.benchdata import embedded
from recon_anomaly.cli import drawing
from recon_anomaly.cli.drawing import Drawing
from recon_anomaly.events import Begun, Cell, Fitted

CONSTANT, ADAPTIVE = ("constant", None), ("awl-auc", "mse")


@pytest.fixture(scope="module")
def data():
    """The embedded castings."""
    return embedded(16)


@pytest.fixture
def drawn(monkeypatch):
    """What would have been drawn: names of panels, and names of comparisons with their labels."""
    found = SimpleNamespace(panels=[], comparisons={})

    def panels(detector, test, folder, name):
        found.panels.append(name)
        return folder / name

    def comparison(detectors, test, folder, name):
        found.comparisons[name] = dict(detectors)
        return folder / name

    monkeypatch.setattr(drawing, "draw_panels", panels)
    monkeypatch.setattr(drawing, "draw_comparison", comparison)
    return found


def _training(schedule=CONSTANT, seed=1, model="vae", **params):
    name, scorer = schedule
    said = {"model": model, "model_params": params, "schedule": name, "schedule_params": {}}
    return said | {"seed": seed, "scorer": scorer}


def _tell(listener, data, *trainings):
    """Tell of a bench of these trainings; a detector is the training itself."""
    listener.begin(trainings[0]["seed"])
    listener.see(Begun(data, None, ()))
    for number, training in enumerate(trainings, start=1):
        listener.see(Cell(**training, number=number, count=len(trainings), epochs=3))
        listener.see(Fitted(**training, detector=training, tests=[data.test]))
    listener.end()


def test_schedules_stand_beside_each_other_for_the_first_seed(tmp_path, data, drawn):
    """Each variant of a model has a picture of its own; models without a schedule have none."""
    trainings = [
        _training(schedule, seed, latent_size=size)
        for seed in (7, 1)
        for size in (2, 3)
        for schedule in (CONSTANT, ADAPTIVE)
    ]
    closed = [_training((None, None), seed, "pca") for seed in (7, 1)]
    _tell(Drawing(tmp_path), data, *trainings[:4], closed[0], *trainings[4:], closed[1])
    assert len(drawn.panels) == len(set(drawn.panels)) == 10
    assert drawn.panels[-1] == "embedded-pca-seed1-16x16"
    first, second = (f"embedded-vae (latent_size={size})" for size in (2, 3))
    assert drawn.comparisons == {
        f"{first}-constant-awl-auc by mse-seed7-16x16": {
            "constant": trainings[0],
            "awl-auc by mse": trainings[1],
        },
        f"{second}-constant-awl-auc by mse-seed7-16x16": {
            "constant": trainings[2],
            "awl-auc by mse": trainings[3],
        },
    }


def test_trainings_in_any_order_are_compared_in_the_grids(tmp_path, data, drawn):
    """Where they are trained side by side, the pictures are those of one after the other."""
    trainings = [
        _training(schedule, latent_size=size)
        for size in (2, 3)
        for schedule in (CONSTANT, ADAPTIVE)
    ]
    _tell(Drawing(tmp_path), data, *trainings)
    wanted = {name: list(labels) for name, labels in drawn.comparisons.items()}
    drawn.comparisons.clear()
    listener = Drawing(tmp_path)
    listener.begin(1, in_order=False)
    listener.see(Begun(data, None, ()))
    for place in (3, 0, 2, 1):
        listener.see(Cell(**trainings[place], number=place + 1, count=4, epochs=3))
        listener.see(Fitted(**trainings[place], detector=None, tests=[data.test]))
    assert drawn.comparisons == {}
    listener.end()
    assert {name: list(labels) for name, labels in drawn.comparisons.items()} == wanted


def test_each_scorer_has_its_own_trainings_compared(tmp_path, data, drawn):
    """Those that serve all scorers stand in every picture."""
    ways = [CONSTANT, ADAPTIVE, ("awl-auc", "max1p"), ("awl-loss", None)]
    _tell(Drawing(tmp_path), data, *map(_training, ways))
    assert [list(labels) for labels in drawn.comparisons.values()] == [
        ["constant", "awl-auc by mse", "awl-loss"],
        ["constant", "awl-auc by max1p", "awl-loss"],
    ]


def test_one_schedule_has_nothing_beside_it(tmp_path, data, drawn):
    """A bench of one schedule, or one whose others failed, draws no comparison."""
    _tell(Drawing(tmp_path), data, _training(), _training(model="cvae"))
    assert drawn.comparisons == {}


def test_no_detector_is_kept_longer_than_it_is_wanted(tmp_path, data, drawn):
    """Before the next model is trained, those of the last one are drawn and let go."""
    listener = Drawing(tmp_path)
    _tell(listener, data, _training(), _training(ADAPTIVE))
    listener.begin(1)
    for training in (_training(), _training(ADAPTIVE)):
        listener.see(Fitted(**training, detector=training, tests=[data.test]))
    assert len(listener._waiting) == 2
    listener.see(Cell(**_training(model="cvae"), number=3, count=3, epochs=3))
    assert listener._waiting == []
    listener.see(Fitted(**_training(seed=2), detector=None, tests=[data.test]))
    assert listener._waiting == []


def test_no_file_takes_the_name_of_another(tmp_path, data, drawn):
    """Two data sets of one name, and names alike in their first letters, are told apart by a number."""
    listener = Drawing(tmp_path)
    long = {"kernels": list(range(60))}
    for schedule in (CONSTANT, ("awl-loss", None)):
        _tell(listener, data, _training(schedule, **long))
    _tell(listener, data, _training(**long))
    first, second, third = drawn.panels
    assert (second[:11], third[:11]) == ("2-embedded-", "3-embedded-")
    assert first.startswith("embedded-vae")


def test_what_was_not_trained_now_is_named(tmp_path, data, drawn):
    """Records of an earlier day have no pictures, and neither has a variant that was not seen."""
    listener = Drawing(tmp_path)
    _tell(listener, data, _training(latent_size=2))
    record = {
        "model": "vae",
        "schedule": "constant",
        "schedule_params": {},
        "seed": 1,
        "scores": [1],
    }
    seen = record | {"model_params": {"latent_size": 2}}
    assert listener.undrawn([seen]) == []
    assert listener.undrawn([seen, seen | {"model_params": {"latent_size": 3}}]) == ["vae"]
    assert listener.undrawn([seen | {"seed": 2, "scores": None}]) == []
    closed = {"model": "pca", "schedule": None, "model_params": {}, "seed": 1, "scores": [1]}
    assert listener.undrawn([closed, seen | {"schedule": "awl-auc"}]) == ["pca", "vae"]

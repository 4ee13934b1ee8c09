import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from recon_anomaly.errors import InputError, SavedFileError
from recon_anomaly.estimators import ReconstructionDetector
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.panels import choose, reconstructions
from recon_anomaly.plots import check_matplotlib, draw_comparison, draw_panels, draw_records
from recon_anomaly.store import from_array


def record(model="pca", **changes):
    """Return a record such as a bench writes, with some values changed."""
    rng = np.random.default_rng(len(model))
    labels = [0] * 12 + [1] * 8
    return {
        "model": model,
        "model_params": {},
        "scorer": "mse",
        "seed": 1,
        "data": "castings",
        "data_checksum": "0",
        "test_set": "defects",
        "image_size": [64, 48],
        "epochs": 5,
        "schedule": "constant",
        "schedule_params": {},
        "drop_leaked": False,
        "scores": (rng.normal(size=20) + labels).tolist(),
        "labels": labels,
        "decisions": {"quantile": {"threshold": 1.5}},
    } | changes


@pytest.fixture
def unpainted(monkeypatch):
    """Files are empty: what is asked is which there are, and painting takes most of the time."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: Path(path).touch())


def names(records, folder):
    """Draw, and return the names of the files, which are all that the folder has."""
    paths = draw_records(records, folder)
    assert all(path.parent == folder for path in paths)
    assert {path.name for path in paths} == {path.name for path in folder.iterdir()}
    return [path.name for path in paths]


def check_png(path):
    """Hold a file to be a PNG, neither tiny nor huge, in which something is drawn."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert image.info["dpi"] == pytest.approx((150, 150), abs=0.1)
        assert all(400 <= side <= 4000 for side in image.size)
        assert len(image.convert("L").getcolors()) > 8


def test_a_test_set_has_two_files(tmp_path):
    """All models and seeds of a test set are on one plot of curves and one of scores."""
    records = [
        record("everything-defective", scores=None, scorer=None, seed=None),
        record(),
        record(seed=2),
        record("cae"),
    ]
    folder = tmp_path / "new" / "plots"
    start = "castings-defects-mse-64x48-5-epochs"
    assert names(records, folder) == [f"{start}-precision-recall.png", f"{start}-scores.png"]
    for path in folder.iterdir():
        check_png(path)


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"data": "other"}, "other-defects-mse-64x48-5-epochs"),
        ({"test_set": "gaussian"}, "castings-gaussian-mse-64x48-5-epochs"),
        ({"scorer": "max1p"}, "castings-defects-max1p-64x48-5-epochs"),
        ({"image_size": [32, 32]}, "castings-defects-mse-32x32-5-epochs"),
        ({"drop_leaked": True}, "castings-defects-mse-64x48-5-epochs-without-leaked"),
        ({"data_checksum": "1"}, "castings-defects-mse-64x48-5-epochs-2"),
        ({"data": "CASTINGS"}, "CASTINGS-defects-mse-64x48-5-epochs-2"),
    ],
)
def test_other_test_sets_are_other_plots(tmp_path, changes, name):
    """Records of other pictures or scorers are never drawn together, nor over each other."""
    first, second = names([record(scores=[1.0], labels=[0]), record(**changes)], tmp_path)[::2]
    assert first == "castings-defects-mse-64x48-5-epochs-scores.png"
    assert second == f"{name}-scores.png"


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"model": "cvae"}, "5-epochs"),
        ({"seed": 7}, "5-epochs"),
        ({"model_params": {"n": 3}}, "5-epochs"),
        ({"epochs": 50}, "5-50-epochs"),
        ({"schedule": "ramp"}, "5-epochs-constant-ramp"),
        ({"schedule_params": {"keeps": "last"}}, "5-epochs"),
    ],
)
def test_ways_to_train_share_a_plot(tmp_path, changes, name):
    """Records that differ in how the network was trained are drawn together."""
    found = names([record("cae"), record(**{"model": "cae"} | changes)], tmp_path)
    assert found == [
        f"castings-defects-mse-64x48-{name}-{what}.png" for what in ("precision-recall", "scores")
    ]


@pytest.mark.usefixtures("unpainted")
def test_one_class_has_no_curves(tmp_path):
    """Where all test pictures are good, the histograms alone are drawn."""
    only_good = record(labels=[0] * 20)
    assert names([only_good], tmp_path) == ["castings-defects-mse-64x48-5-epochs-scores.png"]


def test_no_scores_draw_nothing(tmp_path):
    """The trivial row alone, and no records at all, give no files, but a folder."""
    assert names([record(scores=None)], tmp_path / "a") == []
    assert names([], tmp_path / "b") == []


@pytest.mark.usefixtures("unpainted")
@pytest.mark.parametrize("name", ["../../up", "a/b\\c:d", ".hidden", "ümlaut * ?", "x" * 400, ".."])
def test_file_names_are_safe(tmp_path, name):
    """Whatever the data set is called, files lie in the folder, have safe names and can be written."""
    for found in names([record(data=name, scores=[1.0], labels=[0])], tmp_path / "plots"):
        assert set(found) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"
        )
        assert not found.startswith(".")
    assert [path.name for path in tmp_path.iterdir()] == ["plots"]


def test_scores_that_do_not_fit_are_refused(tmp_path):
    """A record with fewer scores than labels is an error, not a shorter curve."""
    with pytest.raises(InputError, match="pca on defects has 1 scores"):
        draw_records([record(scores=[1.0])], tmp_path)


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    """Where a file has the folder's name, the error says so."""
    (tmp_path / "plots").write_text("a file")
    with pytest.raises(SavedFileError, match="cannot make the folder"):
        draw_records([record()], tmp_path / "plots")


@pytest.mark.parametrize("draw", [check_matplotlib, lambda: draw_records([], "never")])
def test_missing_matplotlib_is_told(monkeypatch, draw):
    """Without matplotlib the error says what to install, before any folder is made."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(InputError, match=r"pip install 'recon-anomaly\[report\]'"):
        draw()
    assert not Path("never").exists()


def test_settings_of_matplotlib_stay_as_they_are(tmp_path):
    """Drawing leaves rcParams as they were."""

    def settings():  # to ask for the backend would choose one
        return {name: mpl.rcParams[name] for name in mpl.rcParams if name != "backend"}

    before = settings()
    draw_records([record()], tmp_path)
    assert settings() == before


def test_pyplot_is_never_imported(tmp_path):
    """Neither importing nor drawing imports pyplot, and importing not even matplotlib."""
    code = f"""
import sys
from recon_anomaly.plots import draw_records
assert "matplotlib" not in sys.modules and "torch" not in sys.modules
assert len(draw_records([{record()!r}], {str(tmp_path)!r})) == 2
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(("model", "columns"), [("pca", 3), ("brightness", 2)])
def test_panels_of_a_fitted_detector(tmp_path, good, bad, model, columns):
    """Pictures are drawn beside what a real detector made of them; features by their map alone."""
    detector = ReconstructionDetector(model, random_state=0).fit(good[:30])
    pictures = np.concatenate([good[30:], bad])
    kinds = ("good",) * 10 + ("bright corner",) * 8
    labels = np.array([0] * 10 + [1] * 8)
    labelled = SimpleNamespace(pictures=from_array(pictures), labels=labels, kinds=kinds)
    path = draw_panels(detector, labelled, tmp_path / "plots", f"parts, {model}", count=2)
    assert path == tmp_path / "plots" / f"parts_{model}-pictures.png"
    check_png(path)
    figure = reconstructions(detector, labelled, "parts", 2)
    shown = sum(len(axes.images) for axes in figure.axes)
    groups = choose(detector.anomaly_score(pictures), labels, -detector.offset_, 2)
    assert shown == columns * sum(len(group.positions) for group in groups) > 0


def test_a_comparison_of_fitted_detectors(tmp_path, good, bad):
    """What two real detectors make of the same pictures is drawn into one file."""
    detectors = {
        f"pca of {size}": ReconstructionDetector(
            "pca", model_params={"n_components": size}, random_state=0
        ).fit(good[:30])
        for size in (1, 5)
    }
    labels = np.array([0] * 10 + [1] * len(bad))
    labelled = SimpleNamespace(
        pictures=from_array(np.concatenate([good[30:40], bad])),
        labels=labels,
        kinds=tuple("bad" if label else "good" for label in labels),
    )
    path = draw_comparison(detectors, labelled, tmp_path / "plots", "parts, seed 1")
    assert path == tmp_path / "plots" / "parts_seed_1-comparison.png"
    check_png(path)


def test_histories_have_files_of_their_own(tmp_path):
    """A training whose epochs were measured and whose weights fell has both drawn."""
    history = History(("reconstruction", "kl"), 2, kept_epoch=2)
    for number in (1, 2):
        weights = {"reconstruction": 1.0, "kl": 1 / number}
        history.records.append(EpochRecord(number, {}, {}, weights, 1e-4))
    measured = record("vae", history=history.to_dict(), observed=[{"epoch": 2, "auroc": 0.7}])
    plain = record("cvae", history=history.to_dict(), observed=None)
    found = names([measured, plain], tmp_path)
    assert found[2:] == [
        "castings-vae-mse-seed1-64x48-5-epochs-auroc.png",
        "castings-cvae-constant-seed1-64x48-5-epochs-weights.png",
    ]
    for name in found:
        check_png(tmp_path / name)

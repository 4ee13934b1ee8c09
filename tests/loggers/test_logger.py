"""What TensorBoard's files and MLflow's store hold is the history, value by value."""

import contextlib
import math
import re
import sys

import numpy as np
import pytest

from recon_anomaly import CVAE, HookError, InputError, ReconstructionDetector, SavedFileError
from recon_anomaly.errors import PluginWarning
from recon_anomaly.hookspecs import hookimpl
from recon_anomaly.loggers import MLflowLogger, TensorBoardLogger
from recon_anomaly.registry import plugin_manager, register


def read_tensorboard(place):
    """Return {name: {step: value}} and the texts of an event folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(place), size_guidance={"scalars": 0})
    events.Reload()
    scalars = {}
    for name in events.Tags()["scalars"]:
        scalars[name] = {one.step: one.value for one in events.Scalars(name)}
        assert len(scalars[name]) == len(events.Scalars(name)), f"{name} has a step twice"
    texts = {
        name.removesuffix("/text_summary"): events.Tensors(name)[0]
        .tensor_proto.string_val[0]
        .decode()
        for name in events.Tags()["tensors"]
        if name.endswith("text_summary")
    }
    return scalars, texts


@pytest.fixture
def mlflow_store(tmp_path, monkeypatch):
    """A store of files, which MLflow allows to those who ask for it."""
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    return (tmp_path / "store").as_uri()


def read_mlflow(store, place):
    """Return {name: {step: value}} and the run of what a logger named."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(store)
    run = client.get_run(place.rpartition(" ")[2])
    metrics = {
        name: {one.step: one.value for one in client.get_metric_history(run.info.run_id, name)}
        for name in run.data.metrics
    }
    return metrics, run


def broken(*_, **__):
    """Fail as where a disk is full."""
    raise OSError("no space left")


@contextlib.contextmanager
def plugin_that_fails():
    """Let a plugin stop the training after its first epoch, told after those that were there before."""

    class Failing:
        @hookimpl(trylast=True)
        def recon_anomaly_epoch_end(self, record):
            raise ValueError

    plugin = Failing()
    register(plugin_manager(), plugin, "failing")
    try:
        yield
    finally:
        plugin_manager().unregister(plugin)


def expected(record):
    """What stands in a record, written out term by term."""
    found = {f"training/{name}": value for name, value in record.training.items()}
    found |= {f"validation/{name}": value for name, value in record.validation.items()}
    found |= {f"weight/{name}": value for name, value in record.weights.items()}
    found["validation_loss"] = math.fsum(record.validation.values())
    found["weighted_training_loss"] = math.fsum(
        record.weights[name] * value for name, value in record.training.items()
    )
    found["learning_rate"] = record.learning_rate
    found["seconds"] = record.seconds
    return found | dict(record.figures)


def compare(found, detector, rel):
    """Hold every logged value against history and threshold, and nothing else may be there."""
    wanted = {}
    for record in detector.history_.records:
        for name, value in expected(record).items():
            wanted.setdefault(name, {})[record.epoch] = value
    own = [record for record in detector.history_.records if record.path]
    for record in [*own, *(one for branch in detector.history_.lost for one in branch.records)]:
        for name, value in expected(record).items():
            branch = f"branches/{'/'.join(record.path)}/{name}"
            wanted.setdefault(branch, {})[record.epoch] = value
    last = {name: [*steps.values()] for name, steps in found.items() if name not in wanted}
    assert found.keys() - last.keys() == wanted.keys()
    for name, steps in wanted.items():
        assert found[name] == pytest.approx(steps, rel=rel), name
    kept = detector.history_.kept_epoch
    assert last.pop("threshold") == pytest.approx([-detector.offset_], rel=rel)
    assert last.pop("kept_epoch") == [kept]
    loss = detector.history_.records[kept - 1].loss
    assert last.pop("kept_validation_loss") == pytest.approx([loss], rel=rel)
    return last


@pytest.fixture
def fit(good, bad):
    """A function that trains with branches and labels, so that every kind of figure is there."""

    def fit():
        labelled = np.concatenate([good[30:], bad]), np.repeat([1, -1], [10, 8])
        schedule = {"schedule": "awl-loss", "schedule_params": {"milestones": [1, 2, 3]}}
        return CVAE(latent_size=4, batch_size=16, **schedule).fit(
            good[:30], validation_data=labelled
        )

    return fit


def test_tensorboard_has_every_value(fit, tmp_path):
    """Every figure of every epoch and branch, as float32, the settings, and the threshold at the end."""
    with TensorBoardLogger(tmp_path / "runs") as logger:
        detector = fit()
    (place,) = logger.places
    found, texts = read_tensorboard(place)
    left = compare(found, detector, rel=1e-6)
    auroc = detector.history_.records[detector.history_.kept_epoch - 1].figures["auroc"]
    assert left == {"kept_auroc": [pytest.approx(auroc)]}
    assert "| model.latent_size | 4 |" in texts["settings"]
    assert "| epochs | 3 |" in texts["settings"]


def test_mlflow_has_every_value(fit, mlflow_store):
    """Every figure of every epoch and branch, the settings as parameters, and a run that is finished."""
    with MLflowLogger(mlflow_store, experiment="parts") as logger:
        detector = fit()
    (place,) = logger.places
    assert place.startswith("experiment parts, run ")
    found, run = read_mlflow(mlflow_store, place)
    left = compare(found, detector, rel=1e-12)
    assert left.keys() == {"kept_auroc"}
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "cvae"
    assert (run.data.params["model.latent_size"], run.data.params["epochs"]) == ("4", "3")
    assert run.data.params["image_shape"] == "[16, 16, 1]"


def test_trainings_have_folders_of_their_own(good, tmp_path):
    """Two trainings within a second do not mix, and after the block nothing is logged."""
    with TensorBoardLogger(tmp_path) as logger:
        for _ in range(2):
            detector = ReconstructionDetector("mean").fit(good)
    detector.fit(good)
    assert sorted(map(str, tmp_path.iterdir())) == sorted(logger.places)
    assert len(set(logger.places)) == 2
    for place in logger.places:
        scalars, _ = read_tensorboard(place)
        assert scalars == {"threshold": {0: pytest.approx(-detector.offset_)}}
    assert not plugin_manager().is_registered(logger)


def test_a_training_that_was_given_up_is_closed(good, tmp_path):
    """What was logged stays readable, and says that the training did not come to its end."""
    with TensorBoardLogger(tmp_path) as logger:
        events = ReconstructionDetector("cae", epochs=9).iter_fit(good)
        for event in events:
            if getattr(event, "validation", None):
                break
        events.close()
    scalars, texts = read_tensorboard(logger.places[0])
    assert list(scalars["validation_loss"]) == [1]
    assert texts["ended early"] == "given up"
    assert "threshold" not in scalars


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError, "FAILED"), (KeyboardInterrupt, "KILLED")]
)
def test_mlflow_says_how_a_training_ended(error, status, good, mlflow_store):
    """An error leaves a run that failed, an interrupt one that was killed, and both are passed on."""

    def stopped_after_an_epoch():
        for event in ReconstructionDetector("cae", epochs=2).iter_fit(good):
            if getattr(event, "validation", None):
                raise error

    with pytest.raises(error), MLflowLogger(mlflow_store) as logger:
        stopped_after_an_epoch()
    assert read_mlflow(mlflow_store, logger.places[0])[1].info.status == status


def test_an_error_that_is_caught_leaves_a_failed_run(good, mlflow_store):
    """Each run says how its own training ended, whatever came after it."""
    with MLflowLogger(mlflow_store) as logger:
        with pytest.raises(HookError), plugin_that_fails():
            ReconstructionDetector("cae", epochs=2).fit(good)
        events = ReconstructionDetector("cae", epochs=2).iter_fit(good)
        next(event for event in events if getattr(event, "validation", None))
        events.close()
        ReconstructionDetector("mean").fit(good)
    found = [read_mlflow(mlflow_store, place)[1].info.status for place in logger.places]
    assert found == ["FAILED", "KILLED", "FINISHED"]


def test_a_run_whose_settings_cannot_be_written_is_closed(good, mlflow_store, monkeypatch):
    """What was begun does not stay running."""
    with MLflowLogger(mlflow_store) as logger:
        monkeypatch.setattr(logger._client, "log_batch", broken)
        with pytest.raises(HookError, match="no space left"):
            ReconstructionDetector("cae", epochs=2).fit(good)
        with pytest.warns(PluginWarning, match="no space left"):
            ReconstructionDetector("mean").fit(good)
    found = [read_mlflow(mlflow_store, place)[1].info.status for place in logger.places]
    assert found == ["FAILED", "KILLED"]


def test_no_password_is_said(monkeypatch):
    """An address is told without the user and the password in it."""
    tracking = pytest.importorskip("mlflow.tracking", reason="needs the extra mlflow")

    def refuse(uri):
        raise ValueError(f"no way to {uri}")

    monkeypatch.setattr(tracking, "MlflowClient", refuse)
    with (
        pytest.raises(InputError) as caught,
        MLflowLogger("https://me:p@ss@example.org/of@it"),
    ):
        pass
    place = "https://example.org/of@it"
    assert str(caught.value) == f"MLflow cannot log to {place}: no way to {place}"


def test_a_store_that_is_none_is_told_before_the_training(good, mlflow_store):
    """Entering fails with the address, and the logger is not left registered."""
    logger = MLflowLogger("nothing://here")
    with pytest.raises(InputError, match="nothing://here"), logger:
        pass
    assert not plugin_manager().is_registered(logger)


def test_a_folder_that_cannot_be_made_is_told_before_the_training(tmp_path):
    """Entering fails with the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(SavedFileError, match="file"), TensorBoardLogger(tmp_path / "file" / "runs"):
        pass


@pytest.mark.parametrize(
    ("logger", "module"), [(TensorBoardLogger, "tensorboard"), (MLflowLogger, "mlflow")]
)
def test_a_missing_package_is_told_with_its_extra(logger, module, monkeypatch):
    """The message says what to install."""
    for name in (module, f"{module}.tracking"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=rf"pip install 'recon-anomaly\[{module}\]'"):
        logger()


def test_the_training_that_stays_open_is_the_one_that_is_named(good, tmp_path, monkeypatch):
    """Where one of several cannot be closed, the warning has its place."""
    logger = TensorBoardLogger(tmp_path).__enter__()
    for _ in range(2):
        events = ReconstructionDetector("cae", epochs=2).iter_fit(good)
        next(event for event in events if getattr(event, "validation", None))
        events.close()
    (first, _), *_ = logger._writers.values()
    monkeypatch.setattr(first, "close", broken)
    with pytest.warns(PluginWarning, match=re.escape(f"{logger.places[0]} stays open")):
        logger.__exit__(None, None, None)


def test_a_disk_that_breaks_stops_the_training_by_name(good, tmp_path, monkeypatch):
    """What TensorBoard's writer raises becomes an error that names the logger."""
    from torch.utils.tensorboard import SummaryWriter

    monkeypatch.setattr(SummaryWriter, "add_scalar", broken)
    with (
        TensorBoardLogger(tmp_path),
        pytest.raises(HookError, match=r"TensorBoardLogger .*no space left"),
    ):
        ReconstructionDetector("cae", epochs=2).fit(good)

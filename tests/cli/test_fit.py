"""What `fit` is told of loggers reaches them, and what cannot be is refused before the training."""

import re
from pathlib import Path

import pytest
from PIL import Image

from recon_anomaly import load


@pytest.fixture
def command(tmp_path, good, monkeypatch):
    """A short fit, in a folder with good pictures that is worked in."""
    monkeypatch.chdir(tmp_path)
    Path("good").mkdir()
    for k, picture in enumerate(good[:20]):
        Image.fromarray(picture[..., 0]).save(f"good/{k:02}.png")
    return ["fit", "good", "-o", "a.safetensors", "--image-size", "16", "--epochs", "2"]


def test_fit_logs_to_tensorboard(command, run):
    """--log tensorboard writes the losses of the history into a folder that fit names; nothing does without."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    code, _, errors = run(*command)
    assert (code, Path("runs").exists()) == (0, False), errors
    code, _, errors = run(*command, "--log", "tensorboard", "--log-dir", "logs/a")
    assert code == 0, errors
    (place,) = Path("logs/a").iterdir()
    assert f"logged: {place}" in errors
    events = EventAccumulator(str(place))
    events.Reload()
    losses = [record.loss for record in load("a.safetensors").history_.records]
    assert [one.value for one in events.Scalars("validation_loss")] == pytest.approx(losses)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--log", "tensorbord"], "--log tensorbord: say mlflow or tensorboard"),
        (["--log-dir", "logs"], "--log-dir is for --log tensorboard"),
        (["--log", "mlflow", "--log-dir", "logs"], "--log-dir is for --log tensorboard"),
    ],
)
def test_what_no_logger_takes_is_refused(options, message, command, run):
    """One sentence says what is wanted, and nothing is trained."""
    code, _, errors = run(*command, *options)
    assert code == 2
    assert message in re.sub(r"[\s│]+", " ", errors)
    assert not Path("a.safetensors").exists()


def test_a_logger_that_breaks_ends_fit_with_its_name(command, run, monkeypatch):
    """The command fails with one line, and writes no detector."""
    from torch.utils.tensorboard import SummaryWriter

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(SummaryWriter, "add_scalar", full)
    code, _, errors = run(*command, "--log", "tensorboard")
    assert code == 1
    assert re.search("error: plugin 'TensorBoardLogger.* after epoch 1: .*no space left", errors)
    assert not Path("a.safetensors").exists()

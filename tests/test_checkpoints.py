"""A run's state on disk: interrupted runs go on bit for bit, and foreign or damaged states are refused."""

from __future__ import annotations

import errno
import io
import os
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.base import clone

from recon_anomaly import CAE, CVAE, TCVAE, EpochRecord, SavedFileError, WeightsWarning, writing
from recon_anomaly.backbones import Backbone
from recon_anomaly.checkpoints import Checkpoint
from recon_anomaly.schedules.constant import ConstantWeights
from recon_anomaly.snapshots import _DIGEST_SIZE as DIGEST_SIZE
from recon_anomaly.snapshots import _digest as digest
from recon_anomaly.training import Plan, RunState, Tick


class Run:
    """Small detectors that checkpoint to one folder; a large learning rate makes some epochs worse."""

    def __init__(self, folder, model=CAE, **params):
        small = {} if model is TCVAE else {"kernels": (2, 3)}
        small |= {} if model is CAE else {"latent_size": 3}
        self.params = {"epochs": 6, "learning_rate": 0.1} | small | params
        self.model = model
        self.folder = folder

    def detector(self, **params):
        return self.model(**self.params | {"checkpoint": self.folder} | params)

    def interrupted(self, X, epoch, **data):
        """Start a run and stop looking at it when the epoch's record is there."""
        for event in self.detector().iter_fit(X, **data):
            if isinstance(event, EpochRecord) and event.epoch == epoch:
                break


def same(first, second, X):
    """Whether two detectors are the same bit for bit, but for the seconds that they took."""
    weights, others = first.network_.state_dict(), second.network_.state_dict()
    assert weights.keys() == others.keys()
    return (
        all(torch.equal(weights[name], others[name]) for name in weights)
        and timeless(first) == timeless(second)
        and np.array_equal(first.score_samples(X), second.score_samples(X))
        and first.offset_ == second.offset_
    )


def timeless(detector):
    values = detector.history_.to_dict()
    for record in values["records"]:
        del record["seconds"]
    return values


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoint"


@pytest.mark.parametrize("corruptor", [None, "gaussian"])
@pytest.mark.parametrize("model", [CAE, CVAE])
@pytest.mark.parametrize("epoch", [1, 4])
def test_an_interrupted_run_goes_on_bit_for_bit(model, corruptor, epoch, good, folder):
    """Interrupted after an epoch and started again, it equals the run that nobody disturbed."""
    run = Run(folder, model, corruptor=corruptor)
    whole = run.detector(checkpoint=None).fit(good)
    run.interrupted(good, epoch)
    events = list((again := run.detector()).iter_fit(good))
    assert same(again, whole, good)
    assert {event.epoch for event in events if isinstance(event, Tick)} == set(range(epoch + 1, 7))


@pytest.mark.parametrize("model", [CAE, CVAE])
def test_an_interrupted_run_in_bfloat16_goes_on_bit_for_bit(model, good, folder):
    """What autocast rounds it rounds alike in the run that goes on, and in no run in float32."""
    run = Run(folder, model, precision="bfloat16")
    whole = run.detector(checkpoint=None).fit(good)
    run.interrupted(good, 3)
    again = run.detector().fit(good)
    assert same(again, whole, good)
    assert again.recipe_["precision"] == "bfloat16"
    assert not same(again, run.detector(checkpoint=None, precision="float32").fit(good), good)


@pytest.mark.parametrize("epoch", [1, 4])
def test_an_interrupted_transfer_model_goes_on_bit_for_bit(epoch, good, folder):
    """Its features are computed anew, once, and what follows equals the undisturbed run."""
    run = Run(folder, TCVAE)
    whole = run.detector(checkpoint=None).fit(good)
    run.interrupted(good, epoch)
    events = list((again := run.detector()).iter_fit(good))
    assert same(again, whole, good)
    epochs = [event.epoch for event in events if isinstance(event, Tick)]
    assert epochs == [0] * 3 + [later for later in range(epoch + 1, 7) for _ in range(2)]


def test_a_finished_transfer_model_computes_no_features(good, folder):
    """There is nothing to train, so nothing is kept, and the detector is the same."""
    run = Run(folder, TCVAE, epochs=2)
    first = run.detector().fit(good)
    again = run.detector()
    assert [type(event) for event in again.iter_fit(good)] == [EpochRecord] * 2
    assert same(again, first, good)


def test_a_run_interrupted_within_an_epoch_repeats_that_epoch(good, folder):
    """What was lost is at most one epoch, which is trained again from its start."""
    run = Run(folder)
    whole = run.detector(checkpoint=None).fit(good)
    for event in run.detector().iter_fit(good):
        if event == Tick(3, 6, 1, 2):
            break
    else:
        pytest.fail("there was no such batch")
    assert same(run.detector().fit(good), whole, good)


def test_a_run_may_be_interrupted_again_and_again(good, folder):
    """Any number of interruptions leaves the result as it is."""
    run = Run(folder)
    whole = run.detector(checkpoint=None).fit(good)
    for epoch in (1, 2, 3, 5):
        run.interrupted(good, epoch)
    assert same(run.detector().fit(good), whole, good)


def test_a_resumed_run_gives_the_earlier_records_first(good, folder):
    """Whoever draws progress sees all epochs, the loaded ones at once."""
    run = Run(folder)
    run.interrupted(good, 4)
    events = list(run.detector().iter_fit(good))
    assert [event.epoch for event in events[:4]] == [1, 2, 3, 4]
    assert [event.epoch for event in events if isinstance(event, EpochRecord)] == [1, 2, 3, 4, 5, 6]


def test_a_finished_run_does_not_train_again(good, folder):
    """The same fit gives the same detector without a single batch."""
    run = Run(folder)
    first = run.detector().fit(good)
    again = run.detector()
    events = list(again.iter_fit(good))
    assert [type(event) for event in events] == [EpochRecord] * 6
    assert same(again, first, good)
    assert again.history_.records == first.history_.records


def test_checkpointing_does_not_change_the_result(good, folder):
    """A run with a checkpoint equals one without."""
    run = Run(folder)
    assert same(run.detector().fit(good), run.detector(checkpoint=None).fit(good), good)


def test_a_run_that_early_stopping_ended_stays_ended(good, folder):
    """A run that stopped before its last planned epoch is finished, too."""
    run = Run(folder, epochs=40, learning_rate=1e-9)  # too small a rate to improve anything
    first = run.detector().fit(good)
    assert len(first.history_) < 40
    again = run.detector()
    assert not any(isinstance(event, Tick) for event in again.iter_fit(good))
    assert same(again, first, good)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"learning_rate": 0.01}, "learning_rate was 0.1 and is now 0.01"),
        ({"epochs": 7}, "epochs was 6 and is now 7"),
        ({"batch_size": 8}, "batch_size was 16 and is now 8"),
        ({"kernels": (2, 4)}, r"kernels was '\(2, 3\)' and is now '\(2, 4\)'"),
        ({"corruptor": "gaussian"}, "corruptor was 'None' and is now \"'gaussian'\""),
        ({"schedule_params": {"weights": {"reconstruction": 2}}}, "schedule_params was 'None'"),
        ({"precision": "bfloat16"}, "precision was 'float32' and is now 'bfloat16'"),
        ({"random_state": 1}, r"seed was \d+ and is now \d+"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused(change, named, good, folder):
    """It is never mixed into another run; the message names what differs."""
    run = Run(folder)
    run.interrupted(good, 1)
    with pytest.raises(SavedFileError, match=rf"belongs to another run: {named}"):
        run.detector(**change).fit(good)
    assert same(run.detector().fit(good), run.detector(checkpoint=None).fit(good), good)


def test_a_checkpoint_of_another_model_is_refused(good, folder):
    """What a CAE saved is no CVAE's."""
    Run(folder).interrupted(good, 1)
    with pytest.raises(SavedFileError, match="another run: latent_size was None and is now '3'"):
        Run(folder, CVAE).detector().fit(good)


def test_a_checkpoint_of_other_frozen_weights_is_refused(good, folder, drawn_weights, tmp_path):
    """Weights that changed under the same name are another run; the checksums of both are named."""
    weights = tmp_path / "mine.safetensors"
    tensors = load_file(drawn_weights)
    save_file(tensors, weights)
    run = Run(folder, TCVAE, weights=weights)
    run.interrupted(good, 1)
    before = Backbone("vgg16", weights=weights).checksum()
    tensors["features.5.bias"] += 0.5
    save_file(tensors, weights)
    now = Backbone("vgg16", weights=weights).checksum()
    words = f"another run: weights of backbone was '{before}' and is now '{now}'"
    with pytest.raises(SavedFileError, match=words):
        run.detector().fit(good)


def test_a_checkpoint_of_another_backbone_is_refused(good, folder):
    """The parameter is named by its values, not hidden behind the weights'."""
    run = Run(folder, TCVAE)
    run.interrupted(good, 1)
    with pytest.raises(SavedFileError, match=r"layer was 'None' and is now \"'features\.4'\""):
        run.detector(layer="features.4").fit(good)
    with (
        pytest.warns(WeightsWarning, match="resnet18 are random"),
        pytest.raises(SavedFileError, match="backbone was \"'vgg16'\" and is now \"'resnet18'\""),
    ):
        run.detector(backbone="resnet18", weights=None).fit(good)


def test_a_checkpoint_of_other_pictures_is_refused(good, folder):
    """One pixel more or less is another run."""
    run = Run(folder)
    run.interrupted(good, 1)
    other = good.copy()
    other[0, 0, 0] += 1
    with pytest.raises(SavedFileError, match=r"another run: (training|validation) pictures was"):
        run.detector().fit(other)


def test_a_checkpoint_of_other_validation_pictures_is_refused(good, bad, folder):
    """Validation pictures decide the run, too."""
    run = Run(folder)
    run.interrupted(good[:30], 1, validation_data=good[30:])
    with pytest.raises(SavedFileError, match="another run: validation pictures was"):
        run.detector().fit(good[:30], validation_data=good[31:])


@pytest.mark.parametrize("changed", ["pictures", "labels"])
def test_a_checkpoint_of_other_labelled_pictures_is_refused(changed, good, bad, folder):
    """Anomalous validation pictures decide the figure auroc, and so what a schedule makes of it."""
    run = Run(folder)
    labels = np.r_[np.ones(10), -np.ones(8)].astype(int)
    pictures = np.concatenate([good[30:], bad])
    run.interrupted(good[:30], 1, validation_data=(pictures, labels))
    if changed == "pictures":
        pictures = np.concatenate([good[30:], good[:8]])
    else:
        pictures, labels = pictures[:-1], labels[:-1]
    with pytest.raises(SavedFileError, match="belongs to another run"):
        run.detector().fit(good[:30], validation_data=(pictures, labels))


@pytest.mark.parametrize(
    "change",
    [{"contamination": 0.1}, {"verbose": 1}, {"device": "cpu"}, {"memory_budget": 10**5}],
)
def test_what_does_not_decide_a_training_may_change(change, good, folder):
    """The threshold, the device and the output are no part of the training's settings."""
    run = Run(folder)
    run.interrupted(good, 2)
    again = run.detector(**change).fit(good)
    whole = run.detector(checkpoint=None).fit(good)
    assert np.array_equal(again.score_samples(good), whole.score_samples(good))


def test_objects_are_compared_by_what_they_are(good, folder):
    """A run with an object in place of a name goes on with an equal one, as after a restart."""
    schedule = ConstantWeights({"reconstruction": 2.0})
    run = Run(folder, schedule=schedule)
    run.interrupted(good, 2)
    again = clone(run.detector()).fit(good)
    assert same(again, run.detector(checkpoint=None).fit(good), good)


def test_the_folder_is_made(good, tmp_path):
    """A checkpoint folder need not exist, nor the folder that holds it; one file is in it."""
    folder = tmp_path / "runs" / "first"
    Run(str(folder), epochs=1).detector().fit(good)
    assert [path.name for path in folder.iterdir()] == ["run.pt"]


def test_a_folder_that_cannot_be_made_is_found_before_training(good, tmp_path):
    """A file where the folder should be is an error before the first batch."""
    (tmp_path / "file").touch()
    events = Run(tmp_path / "file").detector().iter_fit(good)
    with pytest.raises(SavedFileError, match=r"cannot make the checkpoint folder .*file"):
        next(events)


def test_two_trainings_do_not_share_a_folder(good, folder):
    """The second is refused before its first batch, the first goes on, and then the folder is free."""
    run = Run(folder)
    first = run.detector().iter_fit(good)
    next(first)
    with pytest.raises(
        SavedFileError, match=rf"the checkpoint folder {folder} is in use by process"
    ):
        next(run.detector().iter_fit(good))
    assert sum(isinstance(event, EpochRecord) for event in first) == 6
    assert run.detector().fit(good).history_.kept_epoch


def test_a_folder_that_vanishes_ends_the_training_with_its_name(good, folder):
    """There is no state to go on from, and that is said when it cannot be written."""
    events = Run(folder).detector().iter_fit(good)
    with pytest.raises(SavedFileError, match=r"cannot write .*run\.pt: No such file or directory"):  # noqa: PT012 -- what fails is the training
        for event in events:
            if isinstance(event, EpochRecord):
                shutil.rmtree(folder)


# Damaged files -------------------------------------------------------------------------------------


def truncated(path):
    path.write_bytes(path.read_bytes()[:1000])


def flipped(path):
    contents = bytearray(path.read_bytes())
    contents[len(contents) // 3 : len(contents) // 3 + 40] = bytes(40)
    path.write_bytes(contents)


def emptied(path):
    path.write_bytes(b"")


def foreign(path):
    torch.save({"epoch": 3}, path)


def contents(path):
    return torch.load(io.BytesIO(path.read_bytes()[DIGEST_SIZE:]), weights_only=True)


def write(saved, path):
    """Write what is no state of ours, under a checksum that fits."""
    data = io.BytesIO()
    torch.save(saved, data)
    path.write_bytes(digest(data.getbuffer()) + data.getvalue())


def half_a_state(path):
    saved = contents(path)
    del saved["state"]["optimizer"]
    write(saved, path)


def strange_settings(path):
    write(contents(path) | {"settings": ["epochs"]}, path)


def another_network(path):
    saved = contents(path)
    saved["state"]["network"].popitem()
    write(saved, path)


@pytest.mark.parametrize(
    "damage",
    [truncated, flipped, emptied, foreign, half_a_state, strange_settings, another_network],
)
def test_a_damaged_checkpoint_is_refused(damage, good, folder):
    """A file that is not a whole state is an error that names it, and never the start of a training."""
    run = Run(folder)
    run.interrupted(good, 1)
    damage(folder / "run.pt")
    with pytest.raises(SavedFileError, match=r"run\.pt"):
        run.detector().fit(good)


def test_nothing_in_a_checkpoint_is_executed(good, folder, tmp_path):
    """A pickle that would run code is refused, and runs none."""

    class Malice:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "made"),))

    folder.mkdir()
    write({"settings": {}, "state": Malice()}, folder / "run.pt")
    with pytest.raises(SavedFileError, match="cannot read the checkpoint"):
        Run(folder).detector().fit(good)
    assert not (tmp_path / "made").exists()


def test_a_failing_save_leaves_the_last_whole_state(good, folder, monkeypatch):
    """A disk that fills up in an epoch is an error with the path, and the run goes on from the one before."""
    run = Run(folder)
    whole = run.detector(checkpoint=None).fit(good)
    sync, synced = writing.sync, []

    def fail(path):
        synced.append(path)
        if sum(path.suffix == ".part" for path in synced) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(path)

    with monkeypatch.context() as patch:
        patch.setattr(writing, "sync", fail)
        with pytest.raises(SavedFileError, match=r"run\.pt: No space left"):
            run.detector().fit(good)
    assert [path.name for path in folder.iterdir()] == ["run.pt"]
    again = run.detector()
    events = list(again.iter_fit(good))
    assert [event.epoch for event in events[:2]] == [1, 2]
    assert isinstance(events[2], Tick)
    assert same(again, whole, good)


@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX's")
def test_a_full_disk_is_an_error_that_names_the_checkpoint(good, folder, small_files):
    """What torch raises when it cannot write is a SavedFileError with the path, like any other."""
    with pytest.raises(SavedFileError, match=r"run\.pt"), small_files():
        Run(folder).detector().fit(good)
    assert list(folder.iterdir()) == []


@pytest.fixture
def small_files():
    """Let no file grow beyond a few bytes, as on a full disk."""
    from contextlib import contextmanager

    resource = pytest.importorskip("resource")

    @contextmanager
    def limit(size=512):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limit


# The class itself ----------------------------------------------------------------------------------


def state():
    network = torch.nn.Linear(2, 2)
    return RunState(network, Plan(ConstantWeights(), 3, 0.1, 0), ("loss",), torch.device("cpu"))


def test_nothing_is_loaded_where_nothing_was_saved(tmp_path):
    """Load says so, and leaves the state as it is."""
    fresh = state()
    before = fresh.network.weight.clone()
    assert Checkpoint(tmp_path, {}).load(fresh) is False
    assert torch.equal(fresh.network.weight, before)


def test_what_is_saved_is_loaded(tmp_path):
    """Network, counters and history come back."""
    first, second = state(), state()
    first.best_loss, first.stale_epochs, first.history.diverged = 0.25, 3, "the kl became nan"
    Checkpoint(tmp_path, {"a": 1}).save(first)
    assert Checkpoint(tmp_path, {"a": 1}).load(second) is True
    assert torch.equal(first.network.weight, second.network.weight)
    assert (second.best_loss, second.stale_epochs) == (0.25, 3)
    assert second.history == first.history


def test_every_difference_is_named(tmp_path):
    """Settings that changed, came or went are all in the message."""
    Checkpoint(tmp_path, {"a": 1, "b": 2, "c": 3}).save(state())
    with pytest.raises(SavedFileError) as caught:
        Checkpoint(tmp_path, {"a": 1, "b": 4, "d": 5}).load(state())
    for part in ("b was 2 and is now 4", "c was 3 and is now None", "d was None and is now 5"):
        assert part in str(caught.value)
    assert "a was" not in str(caught.value)

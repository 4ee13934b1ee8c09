"""Plugins are told of every epoch and of the end, and what they raise is said to be theirs."""

import pluggy
import pytest

from recon_anomaly import CAE, CVAE, AutoDetector, EpochRecord, HookError, ReconstructionDetector
from recon_anomaly.distributed import Ranks
from recon_anomaly.errors import PluginWarning
from recon_anomaly.hookspecs import hookimpl
from recon_anomaly.registry import plugin_manager, register


class Listener:
    """Keeps what it is told; ``fails`` names a hook that raises."""

    def __init__(self, fails=""):
        self.fails = fails
        self.epochs = []
        self.ends = []

    @hookimpl
    def recon_anomaly_epoch_end(self, record, run):
        self.epochs.append((run, record))
        if self.fails == "epoch":
            raise RuntimeError("the disk is full")

    @hookimpl
    def recon_anomaly_fit_end(self, run):
        self.ends.append((run, run.detector.offset_))
        if self.fails == "end":
            raise RuntimeError("the server is gone")


@pytest.fixture
def listen():
    """A function that registers a listener, which is gone after the test."""
    listeners = []

    def listen(fails=""):
        listeners.append(Listener(fails))
        register(plugin_manager(), listeners[-1], f"listener {len(listeners)}")
        return listeners[-1]

    yield listen
    for listener in listeners:
        plugin_manager().unregister(listener)


def test_every_epoch_is_told_once_and_then_the_end(listen, good):
    """The records are those of the history, all of one run, and at the end the threshold is known."""
    listener = listen()
    detector = CVAE(latent_size=4, epochs=3, batch_size=8).fit(good)
    assert [record for _, record in listener.epochs] == detector.history_.records
    ((run, offset),) = listener.ends
    assert {told for told, _ in listener.epochs} == {run}
    assert (run.detector, offset) == (detector, detector.offset_)
    assert run.settings["model"] == detector.names_["model"]
    assert run.settings["model.latent_size"] == 4
    assert {name: run.settings[name] for name in detector.recipe_} == detector.recipe_
    assert (run.settings["training_pictures"], run.settings["validation_pictures"]) == (32, 8)


def test_each_fit_is_a_run_of_its_own(listen, good):
    """Fitting again is another run, and a closed form has an end but no epoch."""
    listener = listen()
    detector = ReconstructionDetector("pca")
    for _ in range(2):
        detector.fit(good)
    assert listener.epochs == []
    assert len({run for run, _ in listener.ends}) == 2


def test_branches_are_told_with_their_paths(listen, good):
    """Epochs of branches that are lost later are told, too, each with its path."""
    listener = listen()
    schedule = {"schedule": "awl-loss", "schedule_params": {"milestones": [1, 2, 3]}}
    history = CVAE(**schedule, image_size=16).fit(good).history_
    told = [record for _, record in listener.epochs]
    known = [*history.records, *(record for branch in history.lost for record in branch.records)]
    assert len(history.lost) == 4
    assert sorted(told, key=str) == sorted(known, key=str)


def test_a_resumed_run_tells_of_its_earlier_epochs_first(listen, good, tmp_path):
    """A run that was left after two epochs tells all of them when it goes on."""
    events = CAE(epochs=3, checkpoint=tmp_path).iter_fit(good)
    while not isinstance(event := next(events), EpochRecord) or event.epoch < 2:
        pass
    events.close()
    listener = listen()
    detector = CAE(epochs=3, checkpoint=tmp_path).fit(good)
    assert [record for _, record in listener.epochs] == detector.history_.records


def test_a_plugin_that_raises_stops_the_training_and_is_named(listen, good, tmp_path):
    """The error names plugin and epoch, the cause is kept, and the same fit goes on from its checkpoint."""
    listener = listen("epoch")
    detector = CAE(epochs=2, checkpoint=tmp_path)
    with pytest.raises(
        HookError, match=r"'listener 1' stopped .* epoch 1: .*disk is full"
    ) as caught:
        detector.fit(good)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert not hasattr(detector, "history_")
    assert listener.ends == []
    listener.fails = ""
    first = detector.fit(good).history_.records[0]
    assert first == listener.epochs[0][1]  # with the seconds that it took then


@pytest.mark.parametrize("search", [False, True])
def test_how_pictures_are_cut_and_shared_out_is_told(search, listen, good):
    """Tiles, region, overlap as it is used, the share held out, and how many tiles that made."""
    listener = listen()
    options = {"tile": 8, "roi": (0, 0, 16, 12), "validation_fraction": 0.25, "image_size": 8}
    if search:
        AutoDetector(candidates=[("mean", {})], scorers=("mse",), **options).fit(good)
    else:
        ReconstructionDetector("mean", **options).fit(good)
    for run, _ in listener.ends:
        wanted = {"tile": 8, "overlap": 2, "roi": (0, 0, 16, 12)}
        wanted |= {"training_pictures": 30, "training_tiles": 30 * 3 * 2}
        wanted |= {"validation_pictures": 10, "validation_tiles": 10 * 3 * 2}
        assert {name: run.settings[name] for name in wanted} == wanted
    assert run.settings["validation_fraction"] == 0.25
    assert not run.failed


def test_a_share_that_is_not_held_out_is_not_told(listen, good):
    """Where pictures to validate on are given, no share of the others is taken."""
    listener = listen()
    ReconstructionDetector("mean").fit(good[:30], validation_data=good[30:])
    ((run, _),) = listener.ends
    assert run.settings["validation_fraction"] is None
    assert (run.settings["tile"], run.settings["training_tiles"]) == (None, 30)


def test_what_the_end_raises_does_not_cost_the_detector(listen, good):
    """A warning names the plugin, the others are told all the same, and the detector is fitted."""
    listen("end")
    other = listen()
    with pytest.warns(PluginWarning, match="'listener 1': .*server is gone"):
        detector = ReconstructionDetector("mean").fit(good)
    assert detector.predict(good[:1]).shape == (1,)
    assert len(other.ends) == 1


def test_a_search_tells_of_each_candidate_and_of_itself(listen, good):
    """Each candidate is a run, and so is the search, whose threshold is the one that it has."""
    listener = listen()
    candidates = [("pca", {"n_components": 2}), ("mean", {})]
    search = AutoDetector(candidates=candidates, scorers=("mse", "l1")).fit(good)
    runs = [run for run, _ in listener.ends]
    assert [run.settings["model"] for run in runs[:2]] == ["builtin:pca", "builtin:mean"]
    assert runs[2].detector is search
    assert listener.ends[2][1] == search.offset_


def test_an_error_of_a_plugin_ends_a_search(listen, good):
    """It is not taken for a candidate that cannot be fitted."""
    listen("epoch")
    with pytest.raises(HookError, match="listener 1"):
        AutoDetector(candidates=[("cae", {})], epochs=1).fit(good)


def test_a_hook_with_another_argument_is_refused(listen):
    """A function that asks for what there is not is told at once, not in the training."""

    class Wrong:
        @hookimpl
        def recon_anomaly_epoch_end(self, loss):
            """Ask for what no hook gives."""

    with pytest.raises(pluggy.PluginValidationError, match="loss"):
        register(plugin_manager(), Wrong(), "wrong")


def test_only_the_first_process_tells(listen, good, monkeypatch):
    """Of several processes that train together one is heard."""

    class Second(Ranks):
        alone = True  # nobody is there to be waited for
        first = False

    listener = listen()
    monkeypatch.setattr("recon_anomaly.detector.ranks_of", lambda device: Second())
    CAE(epochs=1).fit(good)
    assert (listener.epochs, listener.ends) == ([], [])

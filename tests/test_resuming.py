"""States of a run: one that the run cannot go on from is refused before anything of it is used."""

from __future__ import annotations

import copy

import pytest
import torch

from recon_anomaly.errors import InputError
from recon_anomaly.history import EpochRecord
from recon_anomaly.models.cae import CAENetwork
from recon_anomaly.protocols import Branches
from recon_anomaly.races import Race
from recon_anomaly.training import Plan, RunState


def run(epochs=4):
    """A run of a small network after one epoch, with moments of its optimiser."""
    torch.manual_seed(0)
    network = CAENetwork((8, 8, 1), kernels=(2,))
    plan = Plan(schedule=dict, epochs=epochs, learning_rate=0.01, seed=0)
    state = RunState(network, plan, ("reconstruction",), torch.device("cpu"))
    images = torch.rand(2, 1, 8, 8)
    network.losses(images, network(images))["reconstruction"].backward()
    state.optimizer.step()
    terms = {"reconstruction": 0.5}
    state.history.records.append(EpochRecord(1, terms, terms, terms, 0.01))
    state.history.kept_epoch = 1
    state.kept_weights = copy.deepcopy(network.state_dict())
    return state


def raced():
    """The same run on the first of two branches."""
    state = run()
    state.race = Race(Branches(("a", "b"), 3), 1, ["a", "b"])
    state.history.path = ("a",)
    return state


@pytest.mark.parametrize("made", [run, raced])
def test_a_state_of_the_same_run_is_taken_whole(made):
    """Weights, moments, rate, history and race."""
    first, second = made(), run()
    first.optimizer.param_groups[0]["lr"] = 0.005
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert second.history == first.history
    assert second.race == first.race
    assert second.optimizer.param_groups[0]["lr"] == 0.005
    moments, others = (s.optimizer.state_dict()["state"] for s in (first, second))
    assert all(torch.equal(moments[k][n], others[k][n]) for k in moments for n in moments[k])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (["network", "encoder.0.bias"], torch.zeros(9), r"float32 of \(9,\); float32 of \(2,\)"),
        (["network", "encoder.0.bias"], torch.zeros(2, dtype=torch.float64), "is float64"),
        (["kept_weights"], {"a": torch.zeros(1)}, "kept_weights has other entries"),
        (["kept_weights"], {}, "it keeps the weights of epoch 1 of 1"),
        (["optimizer", "state", 0, "exp_avg"], torch.zeros(1), "moments 0.exp_avg is float32"),
        (["optimizer", "state", 0, "step"], 3.0, "moments 0.step is a float"),
        (["optimizer", "state", 99], {}, "knows weights 99; there are 4"),
        (["optimizer", "param_groups", 0, "lr"], float("nan"), "lr is nan"),
        (["plateau", "best"], "low", r"plateau\.best is 'low'"),
        (["history", "planned_epochs"], 9, "planned_epochs were 9 and are now 4"),
        (["history", "terms"], ["kl"], "terms were"),
        (["history", "records", 0, "epoch"], 2, "no record of epoch 1"),
        (["history", "records", 0, "weights"], {}, "no record of epoch 1"),
        (["history", "kept_epoch"], 2, "it keeps the weights of epoch 2 of 1"),
        (["race", "rung"], 7, "its race is none"),
        (["race", "waiting"], [], "its race is none"),
        (["race", "asked"], [["a"], 99, "validation-loss", []], "its race is none"),
        (["race", "reached"], {"c": 0.1}, "its race is none"),
    ],
)
def test_a_state_of_another_run_is_refused_and_changes_nothing(place, value, message):
    """Whatever differs is named; the run is as it was."""
    saved = copy.deepcopy(raced().state_dict())
    owner = saved
    for name in place[:-1]:
        owner = owner[name]
    owner[place[-1]] = value
    state = run()
    before = copy.deepcopy(state.state_dict())
    with pytest.raises(InputError, match=message):
        state.load_state_dict(saved)
    after = state.state_dict()
    assert after["history"] == before["history"]
    assert all(torch.equal(before["network"][n], after["network"][n]) for n in before["network"])

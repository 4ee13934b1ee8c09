import json

import pytest

from recon_anomaly.errors import InputError, PluginError
from recon_anomaly.history import EpochRecord, History
from recon_anomaly.protocols import Branches
from recon_anomaly.registry import build
from recon_anomaly.schedules.awl_auc import AUCAdaptiveWeights
from recon_anomaly.schedules.awl_loss import LossAdaptiveWeights
from recon_anomaly.schedules.combined import CombinedWeights
from recon_anomaly.schedules.constant import ConstantWeights
from recon_anomaly.schedules.kl_annealing import KLAnnealing

TERMS = ("reconstruction", "kl")
LOSS = ["awl-loss", {"milestones": [2, 6, 8], "steepness": 0}]


def history_of(epochs, path=(), planned=8, auc=0.5):
    records = []
    for epoch in range(1, epochs + 1):
        values = {"reconstruction": 10.0 - epoch, "kl": 5.0 - epoch + 3 * (epoch == 4)}
        records.append(EpochRecord(epoch, values, values, {}, 1e-4, {"auroc": auc}))
    return History(TERMS, planned, records, path=tuple(path))


WANTED = r'give a list of names or \[name, parameters\], such as \["kl-annealing", "awl-loss"\]'


class Third:
    """A stranger's schedule that asks for branches at epoch 2."""

    def __call__(self, history):
        if len(history) == 2 and not history.path:
            return Branches(("left", "right"), until=4)
        return dict.fromkeys(history.terms, 0.5)


def doubling(history, factor=2.0):
    return dict.fromkeys(history.terms, factor)


def forgetful(history):
    return {"kl": 1.0}


def test_weights_are_multiplied():
    """Each term weighs what the schedules give it, one times the other, in every epoch."""
    schedule = CombinedWeights(
        ["kl-annealing", ["constant", {"weights": {"kl": 4, "reconstruction": 3}}]]
    )
    for epochs in range(8):
        annealed = KLAnnealing()(history_of(epochs))["kl"]
        assert schedule(history_of(epochs)) == {"reconstruction": 3.0, "kl": 4 * annealed}


def test_annealing_with_adaptive_weights_hand_worked():
    """Inside a branch the falling weight is annealed, too; and it stops as it would alone."""
    schedule = CombinedWeights([["kl-annealing", {"warm_up": 4}], LOSS])
    given = []
    for epochs in range(6):
        answer = schedule(history_of(epochs, ["II"] if epochs >= 2 else []))
        given.append(answer["kl"])
        assert answer["reconstruction"] == 1.0
    # Annealed 0, ¼, ½, ¾, 1, 1; adaptive 1, 1, ¾, ½, and no further, since the term rose in epoch 4.
    assert given == pytest.approx([0, 0.25, 0.375, 0.375, 0.5, 0.5])


def test_branches_are_passed_through():
    """What the one schedule asks for is asked for, by the training's milestones."""
    alone = LossAdaptiveWeights(**LOSS[1])
    schedule = CombinedWeights(["kl-annealing", LOSS, "constant"])
    assert isinstance(alone(history_of(2)), Branches)
    assert schedule(history_of(2)) == alone(history_of(2))
    assert schedule(history_of(6, ["III"])) == alone(history_of(6, ["III"]))
    assert schedule.patterns_of(TERMS) == alone.patterns_of(TERMS)


def test_only_what_branches_tells_of_branches():
    """A combination without branches has no ``patterns_of``, and may be combined with one that has."""
    inner = CombinedWeights(["kl-annealing", "constant"])
    assert not hasattr(inner, "patterns_of")
    assert hasattr(CombinedWeights([inner, LOSS]), "patterns_of")


def test_names_parameters_objects_classes_and_functions():
    """A part may be given in any of the ways in which a detector takes a schedule."""
    parts = [
        "constant",
        ["constant", {"weights": {"kl": 2.0}}],
        ("builtin:constant", {}),
        ConstantWeights({"kl": 3.0}),
        ConstantWeights,
        doubling,
        [doubling, {"factor": 5.0}],
    ]
    assert CombinedWeights(parts)(history_of(0)) == {"reconstruction": 10.0, "kl": 60.0}


def test_what_the_parts_say_is_joined():
    """The default lays out the epochs of awl-loss and keeps the last; rules run where all want them."""
    schedule = CombinedWeights()
    assert (schedule.planned_epochs, schedule.keeps, schedule.needs) == (200, "last", ())
    assert not schedule.reduces_learning_rate
    assert not schedule.stops_early
    adaptive = CombinedWeights(["awl-auc", ["constant", {"keeps": "auroc"}], "kl-annealing"])
    assert (adaptive.keeps, adaptive.needs) == ("auroc", ("auroc",))
    assert not adaptive.reduces_learning_rate
    assert not adaptive.stops_early
    assert not hasattr(adaptive, "planned_epochs")
    plain = CombinedWeights(["constant", doubling])
    assert (plain.keeps, plain.needs) == ("lowest-loss", ())
    assert plain.reduces_learning_rate
    assert plain.stops_early


def test_equal_numbers_of_epochs_agree():
    """A stranger's schedule that lays out as many epochs may be combined with awl-loss."""
    fixed = ConstantWeights()
    fixed.planned_epochs = 8
    assert CombinedWeights([fixed, LOSS]).planned_epochs == 8


def test_the_names_of_the_parts_are_told():
    """Each registered name once and in full, those of nested parts too; objects have none."""
    inner = ["combined", {"schedules": ["kl-annealing", "constant"]}]
    schedule = CombinedWeights([doubling, "constant", inner, LOSS])
    names = ["constant", "combined", "kl-annealing", "awl-loss"]
    assert schedule.parts == tuple(f"builtin:{name}" for name in names)


def test_the_auc_reaches_its_schedule():
    """Figures, terms and planned epochs are one history for all parts."""
    schedule = CombinedWeights([["awl-auc", {"update_every": 1}], "kl-annealing"])
    assert schedule(history_of(2)) == {"reconstruction": 1.0, "kl": 0.5e-10}
    assert AUCAdaptiveWeights(1)(history_of(2)) == {"reconstruction": 1.0, "kl": 1e-10}


def test_it_is_a_pure_function_of_the_history():
    """Twice, by another object or from JSON the answer is the same, branches among them."""
    schedule = CombinedWeights(["kl-annealing", LOSS])
    for epochs in range(8):
        history = history_of(epochs, ["II", "III"][: (epochs > 2) + (epochs > 6)])
        answer, before = schedule(history), history.to_dict()
        assert schedule(history) == answer
        assert CombinedWeights(["kl-annealing", LOSS])(history) == answer
        assert schedule(History.from_dict(json.loads(json.dumps(before)))) == answer
        assert history.to_dict() == before


def test_a_registered_copy_answers_the_same():
    """An object that is handed to a detector is copied, with its parts and their branches."""
    schedule = CombinedWeights(["kl-annealing", LOSS])
    copied, _ = build("schedule", schedule)
    assert copied is not schedule
    assert copied(history_of(2)) == schedule(history_of(2))
    assert copied.patterns_of(TERMS) == schedule.patterns_of(TERMS)


@pytest.mark.parametrize(
    ("schedules", "named"),
    [
        ([], "schedules is empty"),
        ("awl-loss", rf"schedules is 'awl-loss'; {WANTED}$"),
        (3, "schedules is 3"),
        ([["awl-loss", {}, {}]], rf"is no schedule; {WANTED}$"),
        ([["constant", "awl-loss"]], "is no schedule; give a list"),
        ([["constant", {"wheights": {}}]], "does not take"),
        ([["awl-loss", {"milestones": [5, 3]}]], "E1 < E2"),
        (
            [["awl-loss", {"milestones": [2, 4]}], ["awl-loss", {"milestones": [2, 5]}]],
            "disagree about 'planned_epochs': builtin:awl-loss says 4, builtin:awl-loss says 5",
        ),
        (["awl-loss", "awl-auc"], "disagree about 'keeps': builtin:awl-loss says last, .* auroc"),
        ([LOSS, LOSS], "builtin:awl-loss, builtin:awl-loss all ask for branches"),
    ],
)
def test_what_cannot_be_combined_is_refused(schedules, named):
    """Each error says what was given and what does not fit, before any training."""
    with pytest.raises(InputError, match=named):
        CombinedWeights(schedules)


def test_an_unknown_name_is_refused():
    """As everywhere, the error lists the names that are known."""
    with pytest.raises(PluginError, match="awl-auc, awl-loss"):
        CombinedWeights(["awl-los"])


def test_branches_of_two_strangers_are_refused():
    """Where it cannot be known before, the error comes when both ask, and names them."""
    schedule = CombinedWeights([Third(), Third(), "constant"])
    assert schedule(history_of(1)) == dict.fromkeys(TERMS, 0.25)
    with pytest.raises(InputError, match=r"Third object.*Third object.*all ask for branches"):
        schedule(history_of(2))


def test_a_part_that_leaves_out_a_term_is_refused():
    """The error names the schedule, what it gave and the model's terms."""
    with pytest.raises(
        InputError, match=r"forgetful.*gave the weights {'kl': 1.0}.*reconstruction, kl"
    ):
        CombinedWeights([forgetful, "constant"])(history_of(0))

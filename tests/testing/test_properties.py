"""Every built-in keeps its laws: on the cases that are fixed, and on those that hypothesis draws."""

import pytest
from hypothesis import HealthCheck, given, settings

from recon_anomaly import ReconstructionDetector
from recon_anomaly.errors import WeightsWarning
from recon_anomaly.registry import KINDS, offers
from recon_anomaly.testing import (
    CASES,
    CHECKS,
    cases,
    check_corruptor,
    check_detector,
    check_model,
    check_schedule,
    check_scorer,
    check_threshold,
    scores_and_labels,
)
from recon_anomaly.thresholds import RULES

RULE_PARAMS = {
    "conformal": {"false_alarm": 0.05},
    "peaks-over-threshold": {"false_alarm": 0.01},
    "quantile": {"false_alarm": 0.05},
    "value": {"threshold": 1.5},
}
CLOSED = ("brightness", "feature-pca", "mean", "nearest", "pca")
# A second for each case: the fixed ones are enough by default, and fewer others are drawn in the slow run.
COSTLY = ("feature-ae", "feature-pca", "fused", "perceptual", "tcae", "tcvae")


def names(kind):
    return [offer.name for offer in offers(kind) if offer.plugin == "builtin"]


def drawn(check, examples, strategy):
    """Run a check on examples of a strategy."""

    @settings(
        max_examples=examples,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(strategy)
    def run(case):
        check(case)

    run()


def few_and_many(names):
    """Each name with few examples, and in the slow run with a hundred, or ten where each takes a second."""
    few = [pytest.param(name, 6, id=name) for name in names if name not in COSTLY]
    many = [
        pytest.param(name, 10 if name in COSTLY else 100, id=f"{name}-many", marks=pytest.mark.slow)
        for name in names
    ]
    return pytest.mark.parametrize(("name", "examples"), few + many)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in KINDS for name in names(kind)])
def test_the_built_ins_pass(kind, name):
    """Every built-in of every kind passes the check that plugin authors run."""
    CHECKS[kind](name)


def test_there_is_a_check_for_each_kind():
    """The kinds of plugins and the checks are the same."""
    assert set(CHECKS) == set(KINDS)


def test_parameters_reach_what_is_checked():
    """Each check builds its object with the parameters that it is given."""
    check_model("cae", {"kernels": [2, 3]})
    check_scorer("reconstruction-probability", {"draws": 2})
    with pytest.warns(WeightsWarning, match="resnet18 are random"):
        check_model("tcae", {"backbone": "resnet18", "weights": None})
    check_corruptor("gaussian", {"std": 0.1})
    check_schedule("constant", {"weights": {"kl": 0.5}})
    with pytest.raises(ValueError, match="std"):
        check_corruptor("gaussian", {"std": -1.0})


@few_and_many(names("model"))
def test_every_model_on_any_pictures(name, examples):
    """Of any shape, type and number, in any batches, also black and all alike."""
    drawn(lambda case: check_model(name, case=case), examples, cases())


@few_and_many(names("scorer"))
def test_every_scorer_on_any_pictures(name, examples):
    """Of any shape, type and number, in any batches, also black and all alike."""
    drawn(lambda case: check_scorer(name, case=case), examples, cases())


@few_and_many(names("corruptor"))
def test_every_corruptor_on_any_pictures(name, examples):
    """Of any shape, with every picture its own seed."""
    drawn(lambda case: check_corruptor(name, case=case), examples, cases())


@few_and_many(sorted(RULES))
def test_every_threshold_of_any_scores(name, examples):
    """With ties, of both signs, far apart, and of a single good picture."""

    def check(found):
        scores, anomalous = found
        check_threshold(name, RULE_PARAMS.get(name), scores=scores, anomalous=anomalous)

    drawn(check, 10 * examples, scores_and_labels())


@pytest.mark.parametrize("rule", sorted(RULES))
def test_every_threshold_passes(rule):
    """Every rule passes the check on its own sets of scores."""
    check_threshold(rule, RULE_PARAMS.get(rule))


def detector(name):
    recipe = {} if name in CLOSED else {"epochs": 1}
    return ReconstructionDetector(name, device="cpu", random_state=0, **recipe)


@pytest.mark.parametrize("name", names("model"))
def test_a_detector_of_every_model_passes(name):
    """Fitted twice, scored in any order and alone, saved and loaded, with coloured pictures of 8 bits."""
    check_detector(detector(name), case=CASES[1])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::recon_anomaly.TrainingWarning")
@pytest.mark.parametrize("name", names("model"))
def test_a_detector_of_every_model_on_any_pictures(name):
    """The same, of any shape, type and number, also black and all alike."""
    examples = 5 if name in COSTLY else 20
    drawn(lambda case: check_detector(detector(name), case=case), examples, cases(largest=12))

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recon_anomaly.detector import Observed
from recon_anomaly.history import EpochRecord, History, LostBranch
from recon_anomaly.observations import figures_of_epochs

LABELS = np.array([0, 0, 0, 1, 1])


def _epoch(number, *path):
    return EpochRecord(number, {"a": 1.0}, {"a": 1.0}, {"a": 1.0}, 0.1, path=path)


def _history():
    """One epoch of trunk, then branch II won over I, then III over II."""
    history = History(("a",), 3, [_epoch(1), _epoch(2, "II"), _epoch(3, "II", "III")])
    history.lost = [
        LostBranch(("I",), (_epoch(2, "I"),), 1.0),
        LostBranch(("II", "II"), (_epoch(3, "II", "II"),), None),
    ]
    return history


def test_every_epoch_that_led_to_the_network_has_its_figures():
    """AUROC is scikit-learn's; the threshold has the largest Youden's J of all that there are."""
    rng = np.random.default_rng(0)
    seen = [
        Observed(1, (), {"mse": rng.normal(size=5), "max1p": rng.normal(size=5)}),
        Observed(2, ("I",), {"mse": rng.normal(size=5)}),
        Observed(2, ("II",), {"mse": rng.normal(size=5)}),
        Observed(3, ("II", "III"), {"mse": rng.normal(size=5)}),
        Observed(3, ("II", "II"), {"mse": rng.normal(size=5)}),
    ]
    found = figures_of_epochs(seen, "mse", LABELS, _history())
    assert [(one["epoch"], one["path"]) for one in found] == [
        (1, []),
        (2, ["II"]),
        (3, ["II", "III"]),
    ]
    for one, place in zip(found, (0, 2, 3), strict=True):
        scores = seen[place].scores["mse"]
        assert one["auroc"] == pytest.approx(roc_auc_score(LABELS, scores))
        called = scores > one["threshold"]
        assert one["sensitivity"] == called[3:].mean()
        assert one["specificity"] == (~called[:3]).mean()
        best = max(
            (scores[3:] > cut).mean() + (scores[:3] <= cut).mean() for cut in [-np.inf, *scores]
        )
        assert one["sensitivity"] + one["specificity"] == pytest.approx(best)


def test_another_scorer_has_figures_of_its_own():
    """Each scorer's scores are ranked by themselves."""
    scores = np.arange(5.0)
    seen = [Observed(1, (), {"mse": scores, "max1p": -scores})]
    first, second = (
        figures_of_epochs(seen, name, LABELS, _history())[0]["auroc"] for name in ("mse", "max1p")
    )
    assert (first, second) == (1.0, 0.0)

"""The estimator that chooses model and scorer by synthetic anomalies."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone

from recon_anomaly import AutoDetector, ReconstructionDetector, auto, load
from recon_anomaly.auto import Tried
from recon_anomaly.errors import InputError
from recon_anomaly.store import from_array
from recon_anomaly.synthetic import make_parts

CHEAP = (("pca", {"n_components": 8}), ("mean", {}))


@pytest.fixture(scope="module")
def parts():
    return make_parts(60, 10, 2, 0, image_size=32)


@pytest.fixture(scope="module")
def fitted(parts):
    return AutoDetector(candidates=CHEAP, scorers=("mse", "max1p"), device="cpu").fit(parts.train)


def test_the_best_pair_is_kept(fitted):
    """What was chosen has the highest figure of all that was tried."""
    figures = {
        (one.model, scorer): auroc for one in fitted.tried_ for scorer, auroc in one.auroc.items()
    }
    assert len(figures) == 4
    chosen = fitted.chosen_.model, fitted.chosen_.scorer
    assert figures[chosen] == max(figures.values())
    assert all(0 < auroc <= 1 for auroc in figures.values())


def test_it_scores_as_what_it_chose(fitted, parts):
    """Scores, threshold and decisions are those of the chosen detector."""
    assert np.array_equal(
        fitted.score_samples(parts.test), fitted.chosen_.score_samples(parts.test)
    )
    assert np.array_equal(fitted.predict(parts.test), fitted.chosen_.predict(parts.test))
    assert fitted.anomaly_map(parts.test[:2]).shape == (2, 32, 32)


def test_the_first_candidate_is_tried_whole_and_no_other_without_time(parts):
    """When the budget is spent the rest is left out, and says why."""
    detector = AutoDetector(candidates=CHEAP, scorers=("mse",), minutes=1e-9).fit(parts.train)
    first, second = detector.tried_
    assert first.auroc
    assert not first.why
    assert not second.auroc
    assert "were over" in second.why
    assert detector.chosen_.model == "pca"


def test_a_training_that_would_not_fit_is_given_up(parts, monkeypatch):
    """After its first epoch a candidate is left out whose planned epochs need more than what is left."""
    candidates = (("mean", {}), ("cae", {"kernels": [4]}))
    detector = AutoDetector(
        candidates=candidates, scorers=("mse",), minutes=0.5, epochs=10**6, device="cpu"
    ).fit(parts.train)
    assert "its epochs would take" in detector.tried_[1].why
    assert detector.chosen_.model == "mean"


def test_missing_weights_leave_a_candidate_out(parts):
    """A candidate whose weights are not here is named, and the others are tried."""
    candidates = (("mean", {}), ("feature-pca", {"weights": "nowhere.pth"}))
    detector = AutoDetector(candidates=candidates, scorers=("mse",)).fit(parts.train)
    assert "nowhere.pth" in detector.tried_[1].why
    assert detector.chosen_.model == "mean"


def test_without_any_candidate_it_is_an_error(parts):
    """The message says why each was left out."""
    detector = AutoDetector(
        candidates=[("feature-pca", {"weights": "nowhere.pth"})], scorers=("mse",)
    )
    with pytest.raises(InputError, match=r"no candidate could be tried: feature-pca.*nowhere"):
        detector.fit(parts.train)


def test_what_is_saved_is_the_chosen_detector(fitted, parts, tmp_path):
    """The file holds a ReconstructionDetector that scores the same bits, with the threshold that stands now."""
    detector = clone(fitted).fit(parts.train)
    detector.calibrate(parts.test, rule="quantile", false_alarm=0.3)
    detector.save(tmp_path / "a.safetensors")
    again = load(tmp_path / "a.safetensors")
    assert type(again) is ReconstructionDetector
    assert np.array_equal(
        again.decision_function(parts.test), detector.decision_function(parts.test)
    )
    assert again.model == f"builtin:{detector.chosen_.model}"


def test_the_same_seed_chooses_the_same(fitted, parts):
    """Refitted with one random_state the figures and scores are equal."""
    again = clone(fitted).fit(parts.train)
    assert [one.auroc for one in again.tried_] == [one.auroc for one in fitted.tried_]
    assert np.array_equal(again.score_samples(parts.test), fitted.score_samples(parts.test))


def test_contamination_sets_the_share_that_is_flagged(parts):
    """With a share of 0.1 a tenth of all pictures lies beyond the threshold."""
    detector = AutoDetector(candidates=CHEAP[:1], scorers=("mse",), contamination=0.1)
    assert (detector.fit_predict(parts.train) == -1).mean() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"minutes": 0}, "more than 0"),
        ({"candidates": []}, "0 candidates"),
        ({"scorers": ()}, "0 scorers"),
        ({"scorer": "max1p"}, "leave scorer out"),
        ({"corruptor": "gaussian"}, "leave corruptor out"),
        ({"checkpoint": "run"}, "leave checkpoint out"),
    ],
)
def test_what_it_cannot_take_is_refused(params, message, parts):
    """The message says what was got and what to change."""
    with pytest.raises(InputError, match=message):
        AutoDetector(**params).fit(parts.train)


def test_several_processes_are_refused(parts, monkeypatch):
    """Under torchrun each would try every candidate by itself."""
    monkeypatch.setattr(auto, "ranks_of", lambda device: SimpleNamespace(alone=False))
    with pytest.raises(InputError, match="torchrun started several; start it once"):
        AutoDetector().fit(parts.train)


def test_at_most_128_pictures_are_judged_on():
    """They are spread over all, first and last included, and each is taken once."""
    judged = auto._some(from_array(np.arange(200, dtype=np.uint8)[:, None, None, None])).batch(
        slice(None)
    )
    assert len(np.unique(judged)) == len(judged) == 128
    assert (judged.min(), judged.max()) == (0, 199)


def test_verbose_says_what_was_tried(parts, capsys):
    """A line for each candidate."""
    detector = AutoDetector(candidates=CHEAP[1:], scorers=("mse",), device="cpu", verbose=1)
    detector.fit(parts.train)
    printed = capsys.readouterr().out
    assert all(one.line() in printed for one in detector.tried_)


def test_a_line_says_what_was_found():
    """A candidate in one line: its parameters, the figures of its scorers, and the seconds."""
    one = Tried("pca", {"n_components": 4}, 2.0, {"mse": 0.9, "top-k": 0.95})
    assert one.line() == "pca n_components=4: mse 0.900, top-k 0.950 (2 s)"
    assert one.best == (0.95, "top-k")
    assert Tried("cae", {}, 3.0, why="no time").line() == "cae: left out after 3 s: no time"


def test_labelled_defects_are_refused(parts):
    """It judges by synthetic anomalies, and does not drop real ones silently."""
    labels = np.repeat([1, -1], [10, len(parts.test) - 10])
    with pytest.raises(InputError, match="no use for labelled ones"):
        AutoDetector(candidates=CHEAP, scorers=("mse",)).fit(
            parts.train, validation_data=(parts.test, labels)
        )


def test_a_candidate_that_cannot_score_is_left_out(parts):
    """One that a scorer has no use for is named, and the search goes on with the others."""
    candidates = (("pca", {"n_components": 8}), ("cvae", {"kernels": [4], "latent_size": 2}))
    detector = AutoDetector(candidates=candidates, scorers=("elbo",), epochs=1, device="cpu")
    detector.fit(parts.train)
    assert "elbo needs" in detector.tried_[0].why
    assert detector.chosen_.model == "cvae"


def test_another_scorer_and_its_file_agree(fitted, parts, tmp_path):
    """with_scorer gives a detector of its own, whose file scores the same."""
    other = fitted.with_scorer("top-k", parts.train[:20], scorer_params={"share": 0.5})
    other.save(tmp_path / "a.safetensors")
    again = AutoDetector.load(tmp_path / "a.safetensors")
    assert np.array_equal(again.score_samples(parts.test), other.score_samples(parts.test))

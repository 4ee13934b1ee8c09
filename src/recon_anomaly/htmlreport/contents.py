"""What a report holds: scores, decisions, kinds, pictures, and how they came about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from recon_anomaly.cells import in_words
from recon_anomaly.errors import InputError
from recon_anomaly.history import History
from recon_anomaly.metrics import decision_metrics, ranking_metrics
from recon_anomaly.promises import defaults_of
from recon_anomaly.thresholds import RULES

__all__ = ["GOOD", "Contents", "KindRow", "Tile", "one_line", "rule_in_words"]

GOOD = "good"
"""The kind of pictures that are not anomalous."""


class Tile(NamedTuple):
    """One picture as it is shown.

    Attributes
    ----------
    position : int
        In the scores.
    thumbnail : str
        A data URI.
    views : dict of str to str
        Data URIs by what they show: "picture", and, where a detector drew them, "reconstruction", "error" and
        "map".
    """

    position: int
    thumbnail: str
    views: dict[str, str]


class KindRow(NamedTuple):
    """Pictures of one kind, and what a threshold makes of them."""

    kind: str
    pictures: int
    called: int
    """How many are called anomalous."""
    auroc: float | None
    """Of this kind against the good pictures; None for these, and where there are none."""


@dataclass(frozen=True)
class Contents:
    """All that a report shows.

    Attributes
    ----------
    title : str
        What was scored by what.
    names : tuple of str
        Of the n pictures, relative to their folder.
    scores : ndarray of shape (n,), float64
        Anomaly scores; above the threshold is called anomalous.
    kinds : tuple of str or None
        "good", or the kind of defect, of each; None where nobody said.
    threshold : float
        In the scores' unit.
    rule : str
        In words, where the threshold comes from.
    scorer : str
        In words.
    tiles : tuple of Tile
        The pictures that are shown, all or some.
    settings : tuple of (str, str)
        Names and values.
    notes : tuple of str
        What a reader has to know first, a sentence each.
    history : History or None
        Of the training, where it had epochs.
    scales : dict of str to float
        The value of the brightest colour, by the view: "error", "map".
    size : (int, int)
        Height and width at which the pictures were scored.
    thumbnail : int
        Pixels of the longer side of thumbnails and maps.

    Raises
    ------
    InputError
        Where there is no picture, names, scores and kinds are not of one length, or a score or the threshold is
        not finite.

    Examples
    --------
    >>> found = Contents("new, by cae", ("a.png", "b.png"), np.array([1.0, 3.0]), ("good", "dent"), 2.0, "given", "mse")
    >>> found.labels.tolist(), found.order.tolist(), found.decision["recall"]
    ([0, 1], [1, 0], 1.0)
    """

    title: str
    names: tuple[str, ...]
    scores: np.ndarray
    kinds: tuple[str, ...] | None
    threshold: float
    rule: str
    scorer: str
    tiles: tuple[Tile, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    history: History | None = None
    scales: dict[str, float] = field(default_factory=dict)
    size: tuple[int, int] = (1, 1)
    thumbnail: int = 128

    def __post_init__(self) -> None:
        if not len(self.names):
            raise InputError("there is no picture to report on; give at least one")
        if not len(self.names) == len(self.scores) == len(self.kinds or self.names):
            raise InputError(
                f"got {len(self.names)} names, {len(self.scores)} scores and "
                f"{len(self.kinds or ())} kinds; give one of each for every picture"
            )
        if not np.isfinite(self.threshold):
            raise InputError(f"the threshold is {self.threshold}; a finite one is wanted")
        broken = np.flatnonzero(~np.isfinite(self.scores))
        if len(broken):
            raise InputError(
                f"{len(broken)} of {len(self.scores)} scores are not finite, the first is "
                f"{self.scores[broken[0]]} of {self.names[broken[0]]}; train the detector anew"
            )

    @property
    def labels(self) -> np.ndarray | None:
        """1 for anomalous and 0 for good pictures, int64 (n,); None where nobody said."""
        if self.kinds is None:
            return None
        return np.array([kind != GOOD for kind in self.kinds], dtype=np.int64)

    @property
    def order(self) -> np.ndarray:
        """The positions from the highest score to the lowest, equal ones as they came, intp (n,)."""
        return np.argsort(-self.scores, kind="stable")

    @property
    def decision(self) -> dict[str, Any]:
        """Counts and figures at the threshold, as `decision_metrics` has them, for labelled pictures."""
        labels = self.labels
        if labels is None:
            return {}
        return dict(decision_metrics(labels, self.scores > self.threshold))

    @property
    def ranking(self) -> dict[str, float | None]:
        """Figures that need no threshold, as `ranking_metrics` has them, for labelled pictures."""
        return {} if self.labels is None else ranking_metrics(self.labels, self.scores)

    @property
    def missing(self) -> str:
        """What is left out for want of labels or of a class, a sentence; empty where nothing is."""
        labels = self.labels
        if labels is None:
            return (
                "The pictures have no labels, so nothing is said here of right and wrong decisions; folders named "
                "good and by the kind of defect would give them."
            )
        if labels.all():
            return "There are no good pictures, so false alarms, precision, F1 and the curves are left out."
        if not labels.any():
            return "There are no anomalous pictures, so precision, recall, F1 and the curves are left out."
        return ""

    def by_kind(self) -> list[KindRow]:
        """Return a row for each kind, the good ones first, then by name; empty without labels."""
        if self.kinds is None:
            return []
        kinds = np.array(self.kinds)
        rows = []
        for kind in sorted(set(self.kinds), key=lambda kind: (kind != GOOD, kind)):
            of_kind = kinds == kind
            called = int((self.scores[of_kind] > self.threshold).sum())
            chosen = of_kind | (kinds == GOOD)
            auroc = None
            if kind != GOOD:
                labels = of_kind[chosen].astype(np.int64)
                auroc = ranking_metrics(labels, self.scores[chosen])["auroc"]
            rows.append(KindRow(kind, int(of_kind.sum()), called, auroc))
        return rows


def one_line(name: str) -> str:
    r"""Return a file's name as it can be shown: what does not print, and bytes that are no text, escaped.

    Examples
    --------
    >>> print(one_line("a\nb\udcff \u202egnp.exe"))
    a\nb\xff \u202egnp.exe
    """
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def rule_in_words(rule: dict[str, Any]) -> str:
    """Return where a detector's threshold comes from.

    Examples
    --------
    >>> rule_in_words({"rule": "quantile"})
    'quantile of good pictures that were not trained on (false_alarm=0.05)'
    >>> rule_in_words({"rule": "youden"})
    'youden'
    """
    name = rule["rule"]
    params = defaults_of(RULES[name]) if name in RULES else {}
    params |= {key: value for key, value in rule.items() if key != "rule"}
    if name == "quantile":
        name = "quantile of good pictures that were not trained on"
    if name == "contamination":
        name = "share of all pictures given to fit"
    return in_words(name, params)

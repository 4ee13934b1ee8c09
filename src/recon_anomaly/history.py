"""What a training has done so far: the one thing that a weight schedule may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .forms import check_form

__all__ = ["RECORD", "EpochRecord", "History", "LostBranch"]


_TERMS = {str: float}
RECORD = {
    "epoch": int,
    "training": _TERMS,
    "validation": _TERMS,
    "weights": _TERMS,
    "learning_rate": float,
    "figures": _TERMS,
    "seconds": float,
    "path": [str],
}
"""The form of an epoch's record as plain values, see `recon_anomaly.forms`."""
_HISTORY = {
    "terms": [str],
    "planned_epochs": int,
    "records": [RECORD],
    "kept_epoch": (int, None),
    "path": [str],
    "lost": [{"path": [str], "records": [RECORD], "value": (float, None)}],
    "diverged": (str, None),
}


@dataclass(frozen=True)
class EpochRecord:
    """One epoch of a training.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    training, validation : mapping of str to float
        The unweighted loss terms: means over the pictures; in validation the latent is at its mean.
    weights : mapping of str to float
        What the schedule gave each term.
    learning_rate : float
        Used in this epoch.
    figures : mapping of str to float
        Validation figures that the schedule needs, such as ``auroc``.
    seconds : float
        Wall time of the epoch.
    path : tuple of str
        The branches that led here, the last one its own; empty on the trunk.
    """

    epoch: int
    training: Mapping[str, float]
    validation: Mapping[str, float]
    weights: Mapping[str, float]
    learning_rate: float
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    path: tuple[str, ...] = ()

    @property
    def loss(self) -> float:
        """The unweighted sum of the validation terms: what plateau, stopping and best weights watch."""
        return sum(self.validation.values())

    @property
    def weighted_training_loss(self) -> float:
        """The sum of the training terms, each times its weight: what the gradient steps lower."""
        return sum(self.weights[name] * term for name, term in self.training.items())

    def line(self, epochs: int) -> str:
        """Return one line for people: losses in training / validation, learning rate, seconds."""
        parts = [
            f"{name} {self.training[name]:.5g} / {self.validation[name]:.5g}"
            for name in self.training
        ]
        parts += [f"{name} {figure:.4f}" for name, figure in self.figures.items()]
        return (
            f"epoch {self.epoch}/{epochs}{''.join(f' {name}' for name in self.path[-1:])}  "
            f"{'  '.join(parts)}  "
            f"learning rate {self.learning_rate:.3g}  {self.seconds:.1f} s"
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> EpochRecord:
        """Rebuild a record from plain values; an InputError says what is wrong with them."""
        check_form(values, RECORD, "the epoch")
        return cls(**{**values, "path": tuple(values["path"])})


@dataclass(frozen=True)
class LostBranch:
    """A branch that was tried and did not go on.

    Attributes
    ----------
    path : tuple of str
        Its name, after those of the branches that led to it.
    records : tuple of EpochRecord
        Its own epochs.
    value : float or None
        Its criterion where it was dropped; None when a term diverged.
    """

    path: tuple[str, ...]
    records: tuple[EpochRecord, ...]
    value: float | None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LostBranch:
        """Rebuild a branch from plain values."""
        records = tuple(map(EpochRecord.from_dict, values["records"]))
        return cls(tuple(values["path"]), records, values["value"])


@dataclass
class History:
    """The epochs of one training, and what was planned.

    Attributes
    ----------
    terms : tuple of str
        The model's loss terms, known before the first epoch.
    planned_epochs : int
        How many epochs were asked for.
    records : list of EpochRecord
        One an epoch, in order: the trunk, and the branches that went on.
    kept_epoch : int or None
        The epoch whose weights the network ended with.
    path : tuple of str
        The branches that led here; a branch that is being trained is the last one.
    lost : list of LostBranch
        The branches that did not go on, in the order they were dropped.
    diverged : str or None
        Which term became NaN or infinite and when, where that ended the training.

    Examples
    --------
    >>> history = History(terms=("reconstruction", "kl"), planned_epochs=2)
    >>> len(history), history.terms
    (0, ('reconstruction', 'kl'))
    """

    terms: tuple[str, ...]
    planned_epochs: int
    records: list[EpochRecord] = field(default_factory=list)
    kept_epoch: int | None = None
    path: tuple[str, ...] = ()
    lost: list[LostBranch] = field(default_factory=list)
    diverged: str | None = None

    @property
    def epochs_trained(self) -> int:
        """Epochs of gradient steps in all: those of lost branches, too."""
        return len(self.records) + sum(len(branch.records) for branch in self.lost)

    def __len__(self) -> int:
        return len(self.records)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> History:
        """Rebuild a history from ``to_dict``; an InputError says what is wrong with other values."""
        check_form(values, _HISTORY, "the history")
        return cls(
            terms=tuple(values["terms"]),
            planned_epochs=values["planned_epochs"],
            records=list(map(EpochRecord.from_dict, values["records"])),
            kept_epoch=values["kept_epoch"],
            path=tuple(values["path"]),
            lost=list(map(LostBranch.from_dict, values["lost"])),
            diverged=values["diverged"],
        )

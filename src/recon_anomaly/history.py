"""What a training has done so far: the one thing that a weight schedule may read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["EpochRecord", "History"]


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
    """

    epoch: int
    training: Mapping[str, float]
    validation: Mapping[str, float]
    weights: Mapping[str, float]
    learning_rate: float
    figures: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """The unweighted sum of the validation terms: what plateau, stopping and best weights watch."""
        return sum(self.validation.values())

    def line(self, epochs: int) -> str:
        """Return one line for people: losses in training / validation, learning rate, seconds."""
        parts = [
            f"{name} {self.training[name]:.5g} / {self.validation[name]:.5g}"
            for name in self.training
        ]
        parts += [f"{name} {figure:.4f}" for name, figure in self.figures.items()]
        return (
            f"epoch {self.epoch}/{epochs}  {'  '.join(parts)}  "
            f"learning rate {self.learning_rate:.3g}  {self.seconds:.1f} s"
        )


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
        One an epoch, in order.
    kept_epoch : int or None
        The epoch whose weights the network ended with.

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

    def __len__(self) -> int:
        return len(self.records)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that JSON can hold; ``from_dict`` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> History:
        """Rebuild a history from ``to_dict``."""
        return cls(
            terms=tuple(values["terms"]),
            planned_epochs=values["planned_epochs"],
            records=[EpochRecord(**record) for record in values["records"]],
            kept_epoch=values["kept_epoch"],
        )

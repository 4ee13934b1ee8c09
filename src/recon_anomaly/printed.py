"""The figures that papers print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

__all__ = [
    "KLIMKEVICIUS",
    "KLIMKEVICIUS_MODELS",
    "NAKATA",
    "NAKATA_SETS",
    "PaperTable",
    "WeightingExperiment",
    "WeightingTable",
]

KLIMKEVICIUS_MODELS = ("cae", "cvae", "tcae", "tcvae")
"""The models of Klimkevičius, in that paper's order."""


@dataclass(frozen=True)
class PaperTable:
    """A table of Klimkevičius.

    Attributes
    ----------
    title : str
        Its number and heading.
    test_sets : tuple of str
        The test sets of the bench that it speaks of.
    figures : mapping of str to (float, float, float, float)
        By model: recall, precision, F1 and the area under the precision-recall curve.
    """

    title: str
    test_sets: tuple[str, ...]
    figures: Mapping[str, tuple[float, float, float, float]]


@dataclass(frozen=True)
class WeightingTable:
    """A table of Nakata et al.

    Attributes
    ----------
    title : str
        Its number and heading.
    figure : {"auroc", "sensitivity", "specificity"}
        What it is a table of.
    printed : mapping of str to (str, str)
        By data set, in % with the deviation over seeds: the conventional and the adapted VAE's.
    """

    title: str
    figure: Literal["auroc", "sensitivity", "specificity"]
    printed: Mapping[str, tuple[str, str]]


@dataclass(frozen=True)
class WeightingExperiment:
    """An experiment of Nakata et al.

    Attributes
    ----------
    keeps : str
        Which epoch the conventional training keeps: a parameter of the schedule `constant`.
    adapted : str
        The schedule that it is compared with.
    seeds : tuple of int
        Of the repetitions.
    over_epochs : bool
        Whether the paper takes the best epoch on its evaluation set.
    tables : tuple of WeightingTable
        Its AUC, sensitivity and specificity.
    """

    keeps: str
    adapted: str
    seeds: tuple[int, ...]
    over_epochs: bool
    tables: tuple[WeightingTable, ...]


KLIMKEVICIUS = (
    PaperTable(
        "Table 1, additive artificial noise",
        ("gaussian", "salt-and-pepper"),
        dict.fromkeys(KLIMKEVICIUS_MODELS, (0.996, 1, 0.998, 1)),
    ),
    PaperTable(
        "Table 2, objects",
        ("objects",),
        {
            "cae": (0.855, 0.941, 0.896, 0.966),
            "cvae": (0.8625, 0.918, 0.89, 0.955),
            "tcae": (0.859, 0.945, 0.9, 0.9705),
            "tcvae": (0.84, 0.905, 0.871, 0.953),
        },
    ),
    PaperTable(
        "Table 3, real-world anomalies",
        ("defects",),
        {
            "cae": (0.993, 0.653, 0.788, 0.837),
            "cvae": (0.9955, 0.989, 0.992, 0.998),
            "tcae": (0.987, 0.665, 0.795, 0.83),
            "tcvae": (0.9955, 0.989, 0.992, 0.997),
        },
    ),
)
"""Tables 1 to 3 of Klimkevičius."""

_BELLOWS, _SQUARE, _COMB = "Bellows", "Square-shaped Resin Product", "Comb-shaped Resin Product"
NAKATA_SETS = {
    _BELLOWS: ("bernoulli", "mse"),
    _SQUARE: ("gaussian", "max1p"),
    _COMB: ("gaussian", "mse"),
}
"""The data sets of Nakata et al., with the likelihood and the score that the paper took for each."""

NAKATA = (
    WeightingExperiment(
        "auroc",
        "awl-auc",
        (1, 10, 20, 50, 100),
        True,
        (
            WeightingTable(
                "Table 6, maximum AUC",
                "auroc",
                {
                    _BELLOWS: ("83.64 ± 0.34", "88.41 ± 1.13"),
                    _SQUARE: ("99.73 ± 0.002", "99.72 ± 0.01"),
                    _COMB: ("94.18 ± 2.10", "97.41 ± 0.90"),
                },
            ),
            WeightingTable(
                "Table 7, sensitivity at the epoch of the maximum AUC",
                "sensitivity",
                {
                    _BELLOWS: ("67.88 ± 1.87", "78.27 ± 8.00"),
                    _SQUARE: ("97.14 ± 0.48", "97.14 ± 0.29"),
                    _COMB: ("87.00 ± 9.62", "92.00 ± 4.95"),
                },
            ),
            WeightingTable(
                "Table 8, specificity at the epoch of the maximum AUC",
                "specificity",
                {
                    _BELLOWS: ("89.56 ± 1.49", "84.67 ± 7.30"),
                    _SQUARE: ("99.48 ± 0.19", "99.66 ± 0.11"),
                    _COMB: ("86.67 ± 4.87", "91.94 ± 2.48"),
                },
            ),
        ),
    ),
    WeightingExperiment(
        "last",
        "awl-loss",
        (1, 10, 20),
        False,
        (
            WeightingTable(
                "Table 9, AUC at the last epoch",
                "auroc",
                {
                    _BELLOWS: ("76.08 ± 0.47", "75.95 ± 0.85"),
                    _SQUARE: ("99.01 ± 0.11", "99.16 ± 0.17"),
                    _COMB: ("87.45 ± 2.71", "90.02 ± 1.56"),
                },
            ),
            WeightingTable(
                "Table 10, sensitivity at the last epoch",
                "sensitivity",
                {
                    _BELLOWS: ("62.18 ± 0.56", "61.86 ± 1.11"),
                    _SQUARE: ("97.67 ± 0.50", "98.03 ± 0.55"),
                    _COMB: ("89.67 ± 2.52", "88.67 ± 5.77"),
                },
            ),
            WeightingTable(
                "Table 11, specificity at the last epoch",
                "specificity",
                {
                    _BELLOWS: ("85.56 ± 1.11", "85.19 ± 1.70"),
                    _SQUARE: ("99.47 ± 0.06", "99.47 ± 0.12"),
                    _COMB: ("72.69 ± 8.37", "79.63 ± 3.50"),
                },
            ),
        ),
    ),
)
"""Tables 6 to 8 (experiment I, Section 4) and 9 to 11 (experiment II, Section 5) of Nakata et al."""

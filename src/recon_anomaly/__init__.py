"""Learns to reconstruct good parts and finds what it cannot reconstruct.

Public names are imported on first use, so that ``import recon_anomaly`` costs nothing: torch alone
takes seconds.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .audit import Leakage, find_leakage
    from .auto import AutoDetector
    from .bench import run_bench
    from .datasets import find_labelled
    from .errors import (
        CalibrationWarning,
        HookError,
        InputError,
        PictureError,
        PictureWarning,
        PluginError,
        PluginWarning,
        ReconAnomalyError,
        SavedFileError,
        TrainingError,
        TrainingWarning,
        WeightsError,
        WeightsWarning,
        WorkerError,
    )
    from .estimators import CAE, CVAE, TCAE, TCVAE, VAE, ReconstructionDetector
    from .fitted import NotFittedError
    from .history import EpochRecord, History, LostBranch
    from .hookspecs import hookimpl
    from .layouts import LabelledFolder
    from .pictures import read_pictures
    from .protocols import Branches, MapAndTerms, Reconstruction
    from .randomness import latent_noise
    from .saving import load
    from .store import Pictures
    from .synthetic import SyntheticParts, make_parts

_HOMES = {
    "audit": ["Leakage", "find_leakage"],
    "auto": ["AutoDetector"],
    "bench": ["run_bench"],
    "datasets": ["find_labelled"],
    "errors": [
        "CalibrationWarning",
        "HookError",
        "InputError",
        "PictureError",
        "PictureWarning",
        "PluginError",
        "PluginWarning",
        "ReconAnomalyError",
        "SavedFileError",
        "TrainingError",
        "TrainingWarning",
        "WeightsError",
        "WeightsWarning",
        "WorkerError",
    ],
    "estimators": ["CAE", "CVAE", "TCAE", "TCVAE", "VAE", "ReconstructionDetector"],
    "fitted": ["NotFittedError"],
    "history": ["EpochRecord", "History", "LostBranch"],
    "hookspecs": ["hookimpl"],
    "pictures": ["read_pictures"],
    "layouts": ["LabelledFolder"],
    "protocols": ["Branches", "MapAndTerms", "Reconstruction"],
    "randomness": ["latent_noise"],
    "saving": ["load"],
    "store": ["Pictures"],
    "synthetic": ["SyntheticParts", "make_parts"],
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [  # sorted; a test compares it with the table above
    "CAE",
    "CVAE",
    "TCAE",
    "TCVAE",
    "VAE",
    "AutoDetector",
    "Branches",
    "CalibrationWarning",
    "EpochRecord",
    "History",
    "HookError",
    "InputError",
    "LabelledFolder",
    "Leakage",
    "LostBranch",
    "MapAndTerms",
    "NotFittedError",
    "PictureError",
    "PictureWarning",
    "Pictures",
    "PluginError",
    "PluginWarning",
    "ReconAnomalyError",
    "Reconstruction",
    "ReconstructionDetector",
    "SavedFileError",
    "SyntheticParts",
    "TrainingError",
    "TrainingWarning",
    "WeightsError",
    "WeightsWarning",
    "WorkerError",
    "find_labelled",
    "find_leakage",
    "hookimpl",
    "latent_noise",
    "load",
    "make_parts",
    "read_pictures",
    "run_bench",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("recon-anomaly")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

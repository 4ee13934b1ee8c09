"""The layers of docs/architecture.md: imports run downward only, and heavy ones have their floors."""

import ast
from pathlib import Path

import pytest

import recon_anomaly

ROOT = Path(recon_anomaly.__file__).parent
LAYERS = [  # from the bottom; modules of one layer may import each other unless they are plugins
    {"errors", "protocols", "forms", "history", "hookspecs"},
    {"registry", "builtin", "images", "claims", "writing", "thresholds", "metrics"}
    | {"resampling", "checks", "terms", "ramps", "conformal", "tails", "promises", "logbook"}
    | {"following", "csvlines"},
    {"decoding", "folders", "memory", "reading", "store", "pictures", "layouts", "datasets"}
    | {
        "castings",
        "synthetic",
        "heatmaps",
        "alignment",
        "neighbours",
        "nearness",
        "parts",
        "audit",
        "fingerprints",
        "watching",
    }
    | {"outlines", "regions", "pixelmetrics", "masks", "interest", "tiles", "tiledpictures"},
    {
        "backbones",
        "efficientnet_lite",
        "components",
        "weights",
        "blocks",
        "losses",
        "likelihoods",
        "reductions",
        "similarity",
        "smoothing",
        "variational",
        "devices",
        "randomness",
        "rationing",
        "residency",
        "batches",
        "streams",
    }
    | {"allocation", "distributed", "clusters", "jobs"},
    {"models", "scorers", "corruptors", "schedules", "loggers"},
    {
        "recipes",
        "scoring",
        "steps",
        "snapshots",
        "races",
        "resuming",
        "training",
        "keeping",
        "checkpoints",
        "fitting",
        "spoiling",
        "judging",
        "tiledscoring",
    },
    {"inputs", "fitted", "detector", "estimators", "auto", "saving", "clusterscoring", "testing"}
    | {
        "calibration",
        "scoringgraph",
        "export",
        "headers",
        "locating",
        "regionfiles",
        "together",
        "station",
        "tiledinputs",
        "savedtiles",
    },
    {"benchdata", "settings", "events", "bench", "records", "recordforms", "decisions"}
    | {"cellruns", "gridruns", "readiness"}
    | {"labelling", "grid", "variants", "observations", "ledger"}
    | {
        "cells",
        "kinds",
        "pixeltable",
        "report",
        "comparison",
        "weighting",
        "printed",
        "trainings",
        "dataprotocols",
        "presets",
        "spreadsheet",
        "plots",
    }
    | {"figures", "curves", "histograms", "panels", "rows", "captions", "recordfigures"}
    | {"epochbars", "weightlines", "stages", "branchlines", "shown", "sidebyside"}
    | {"htmlreport", "service"},
    {"cli", "__init__", "__main__"},
]
PLUGINS = {"models", "scorers", "corruptors", "schedules"}
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
SKLEARN = {
    "thresholds",
    "metrics",
    "models",
    "inputs",
    "fitted",
    "detector",
    "curves",
    "variants",
    "kinds",
    "components",
    "judging",
    "scorers",
    "testing",
}
TORCH = {
    "backbones",
    "components",
    "efficientnet_lite",
    "spoiling",
    "rationing",
    "resuming",
    "residency",
    "weights",
    "variational",
    "blocks",
    "losses",
    "likelihoods",
    "reductions",
    "similarity",
    "smoothing",
    "devices",
    "randomness",
    "distributed",
    "jobs",
    "steps",
    "batches",
    "streams",
    "models",
    "scorers",
    "scoring",
} | {
    "snapshots",
    "races",
    "training",
    "checkpoints",
    "fitting",
    "fitted",
    "detector",
    "saving",
    "savedtiles",
    "testing",
    "scoringgraph",
    "export",
    "tiledscoring",
}


def _files():
    return sorted(path for path in ROOT.rglob("*.py"))


def _room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def _imports(path):
    """Module-level imports outside TYPE_CHECKING, as (top package, own module or None)."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")
            inside_package = path.parent != ROOT and node.level == 1
            if inside_package:
                yield "recon_anomaly", path.parent.name
            elif node.level or module[0] == "recon_anomaly":
                own = module if node.level else module[1:]
                names = [own[0]] if own and own[0] else [alias.name for alias in node.names]
                yield from (("recon_anomaly", name) for name in names)
            else:
                yield module[0], None


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downward(path):
    """A module imports its own layer or lower ones, and plugins never import each other."""
    room = _room(path)
    for top, own in _imports(path):
        if top != "recon_anomaly" or own in (None, "__init__"):
            continue
        assert own in LEVEL, f"{own} has no layer yet"
        assert LEVEL[own] <= LEVEL[room], f"{room} imports {own}, which lies above it"
        if room in PLUGINS:
            assert own not in PLUGINS, f"a plugin in {room} imports {own}"


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_heavy_imports_have_their_floors(path):
    """scikit-learn, torch, typer and rich are imported where the architecture says, nowhere else."""
    room = _room(path)
    allowed = {
        "sklearn": SKLEARN,
        "torch": TORCH,
        "torchvision": {"backbones"},
        "typer": {"cli"},
        "rich": {"cli"},
    }
    for top, _ in _imports(path):
        assert room in allowed.get(top, {room}), f"{room} imports {top}"

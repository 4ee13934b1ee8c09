"""What ``recon-anomaly threshold`` does."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import typer

from recon_anomaly.calibration import unseen_scores
from recon_anomaly.datasets import good_pictures
from recon_anomaly.detector import BaseDetector
from recon_anomaly.pictures import list_pictures
from recon_anomaly.promises import defaults_of, promise_of
from recon_anomaly.saving import load
from recon_anomaly.thresholds import NEED_LABELS, RULES, check_rule
from recon_anomaly.writing import check_writable

from .progress import counted
from .skipping import list_skipped

__all__ = ["run_threshold"]


def run_threshold(
    file: Path,
    good: Path,
    *,
    defects: Path | None,
    rule: str,
    params: dict[str, float],
    out: Path | None,
    as_json: bool,
    skip_unreadable: bool,
    weights: Path | None,
    max_pixels: int | None,
    device: str,
) -> None:
    """Set the threshold of a saved detector anew; what can be wrong is looked at before pictures are scored."""
    if rule not in RULES:
        raise typer.BadParameter(f"--rule {rule}: say one of {', '.join(sorted(RULES))}")
    check_rule(rule, **params)
    if rule in NEED_LABELS and defects is None:
        raise typer.BadParameter(f"--rule {rule} wants defective pictures, too: --defects DIR")
    out = check_writable(file if out is None else out)
    detector = load(file, device=device, weights=weights)
    saved_pixels = detector.max_pixels
    if max_pixels is not None:
        detector.max_pixels = max_pixels
    skipped: list[tuple[Path, str]] = []

    def scores_of(paths: list[Path]) -> np.ndarray:
        with counted("scoring", len(paths)) as progress:
            left_out = skipped if skip_unreadable else None
            return unseen_scores(detector, paths, skipped=left_out, progress=progress)

    good_scores = scores_of(good_pictures(good))
    defect_scores = np.empty(0) if defects is None else scores_of(list_pictures(defects))
    old = _standing(detector, good_scores, defect_scores)
    scores = np.append(good_scores, defect_scores)
    anomalous = np.repeat([False, True], [len(good_scores), len(defect_scores)])
    detector._calibrate_by(scores, anomalous, rule, params)
    new = _standing(detector, good_scores, defect_scores)
    detector.max_pixels = saved_pixels
    detector.save(out)
    promise = promise_of(rule, len(good_scores), params)
    summary: dict[str, Any] = {
        "file": str(out),
        "good": len(good_scores),
        "defects": None if defects is None else len(defect_scores),
        "old": old,
        "new": new,
        "promise": asdict(promise),
        "skipped": [str(path) for path, _ in skipped],
    }
    if as_json:
        print(json.dumps(summary, indent=2))
    else:
        print(_line("old", old, summary))
        print(_line("new", new, summary))
        print(f"promised of the new one: {promise.sentence}")
        if promise.needed is not None:
            print(
                f"a guarantee of that rate needs {promise.needed} good pictures; there were {len(good_scores)}"
            )
    print(f"{out}: written", file=sys.stderr)
    list_skipped(skipped)


def _standing(detector: BaseDetector, good: np.ndarray, defects: np.ndarray) -> dict[str, Any]:
    """Return the threshold, the rule that set it, and how many pictures lie above it."""
    threshold = -detector.offset_
    return {
        "threshold": threshold,
        "rule": detector.threshold_rule_,
        "good_above": int((good > threshold).sum()),
        "defects_above": int((defects > threshold).sum()),
    }


def _line(which: str, standing: dict[str, Any], summary: dict[str, Any]) -> str:
    name = standing["rule"]["rule"]
    params = defaults_of(RULES[name]) if name in RULES else {}
    params |= {key: value for key, value in standing["rule"].items() if key != "rule"}
    rule = " ".join([name, *(f"{key}={value:g}" for key, value in params.items())])
    above = f"{standing['good_above']} of {summary['good']} good pictures above"
    if summary["defects"] is not None:
        above += f", {standing['defects_above']} of {summary['defects']} defective ones"
    return f"{which} threshold {standing['threshold']:.6g} ({rule}): {above}"

"""What ``recon-anomaly fit`` does."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from recon_anomaly.datasets import good_pictures
from recon_anomaly.devices import choose_device
from recon_anomaly.estimators import ReconstructionDetector
from recon_anomaly.pictures import read_pictures
from recon_anomaly.registry import find
from recon_anomaly.writing import check_writable

from .progress import counted, followed, interrupted_well
from .skipping import list_skipped

__all__ = ["run_fit"]


def run_fit(
    folder: Path,
    out: Path,
    *,
    self_contained: bool,
    skip_unreadable: bool,
    as_json: bool,
    **params: Any,
) -> None:
    """Fit on a folder and save; what can be wrong is looked at before the training."""
    check_writable(out)
    choose_device(params["device"])
    for kind in ("model", "scorer", "schedule", "corruptor"):
        if params[kind] is not None:
            find(kind, params[kind])
    paths = good_pictures(folder)
    with counted("reading", len(paths)) as progress:
        pictures = read_pictures(
            paths,
            image_size=params["image_size"],
            channels=params["channels"],
            on_error="skip" if skip_unreadable else "raise",
            progress=progress,
        )
    detector = ReconstructionDetector(**params)
    with interrupted_well(
        f"the same command goes on from {params['checkpoint']}"
        if params["checkpoint"]
        else "with --checkpoint DIR the same command would go on from the last epoch"
    ):
        for _ in followed(detector.iter_fit(pictures), params["model"], params["epochs"]):
            pass
    detector.save(out, self_contained=self_contained)
    history = detector.history_
    kept = f"epoch {history.kept_epoch} of {len(history)}" if len(history) else "a closed-form fit"
    print(
        f"{out}: {params['model']} on {len(pictures)} pictures of "
        f"{'x'.join(map(str, pictures.shape))}, {kept}, threshold {-detector.offset_:.6g}",
        file=sys.stderr,
    )
    for part, used in detector.scorer_uses_.items():
        print(f"{params['scorer']}: {part}: {used}", file=sys.stderr)
    list_skipped(pictures.skipped)
    if as_json:
        summary = {
            "file": str(out),
            "model": detector.names_["model"],
            "scorer": detector.names_["scorer"],
            "pictures": len(pictures),
            "image_shape": pictures.shape,
            "threshold": -detector.offset_,
            "history": history.to_dict(),
            "skipped": [str(path) for path, _ in pictures.skipped],
        }
        print(json.dumps(summary, indent=2))

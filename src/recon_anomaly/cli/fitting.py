"""What ``recon-anomaly fit`` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import typer

from recon_anomaly.auto import AutoDetector
from recon_anomaly.datasets import good_pictures
from recon_anomaly.detector import BaseDetector
from recon_anomaly.devices import choose_device, choose_precision
from recon_anomaly.distributed import is_first
from recon_anomaly.errors import InputError
from recon_anomaly.estimators import ReconstructionDetector
from recon_anomaly.inputs import read_files, split_validation
from recon_anomaly.loggers import LOGGERS
from recon_anomaly.loggers.logger import Logger
from recon_anomaly.pictures import list_pictures
from recon_anomaly.registry import find
from recon_anomaly.tiledinputs import planned_tiling
from recon_anomaly.tiledpictures import joined_stores, tiles_of
from recon_anomaly.writing import check_writable

from .interrupts import interrupted_well
from .progress import counted, followed
from .runfiles import write_beside
from .skipping import list_skipped

__all__ = ["run_fit"]


def run_fit(
    folder: Path,
    out: Path,
    *,
    minutes: float | None,
    defects: Path | None,
    self_contained: bool,
    skip_unreadable: bool,
    as_json: bool,
    log: Sequence[str] = (),
    log_dir: Path | None = None,
    **params: Any,
) -> None:
    """Fit on a folder and save; what can be wrong is looked at before the training."""
    loggers = _loggers(log, log_dir)
    if is_first():
        check_writable(out)
    choose_precision(params["precision"], choose_device(params["device"]), 0)
    detector = _detector(params, minutes)
    for kind in ("model", "scorer", "schedule", "corruptor"):
        if params[kind] is not None and (kind, params[kind]) != ("model", "auto"):
            find(kind, params[kind])

    def read(paths: Sequence[Path], channels: Any) -> Any:
        with counted("reading", len(paths)) as progress:
            return read_files(
                detector,
                paths,
                tiling,
                image_size=params["image_size"],
                channels=channels,
                on_error="skip" if skip_unreadable else "raise",
                progress=progress,
            )

    tiling = planned_tiling(detector)
    pictures = read(good_pictures(folder), params["channels"])
    training, validation_data, skipped = pictures, None, pictures.skipped
    if defects is not None:
        training, good = split_validation(pictures, 0.2, params["random_state"])
        bad = read(list_pictures(defects), pictures.shape[2])
        labelled = joined_stores(good, bad, params["memory_budget"])
        labels = np.repeat([1, -1], [len(good), len(bad)])
        validation_data, skipped = (labelled, labels), labelled.skipped
        del bad  # its pictures are in the joined store
    epochs = detector._recipe()["epochs"]
    events = detector.iter_fit(training, validation_data=validation_data)
    with (
        interrupted_well(
            f"the same command goes on from {params['checkpoint']}"
            if params["checkpoint"]
            else "with --checkpoint DIR the same command would go on from the last epoch"
        ),
        ExitStack() as entered,
    ):
        for logger in loggers:
            entered.enter_context(logger)
        for _ in followed(events, params["model"], epochs):
            pass
        detector.save(out, self_contained=self_contained)
    if is_first():
        write_beside(out)
    history = detector.history_
    kept = f"epoch {history.kept_epoch} of {len(history)}" if len(history) else "a closed-form fit"
    cut = "of" if params["tile"] is None else f"in {len(tiles_of(pictures))} tiles of"
    what, scorer = params["model"], params["scorer"]
    if isinstance(detector, AutoDetector):
        scorer = detector.chosen_.scorer
        what = f"{detector.chosen_.model} scored by {scorer}"
    print(
        f"{out}: {what} on {len(pictures)} pictures {cut} "
        f"{'x'.join(map(str, pictures.shape))}, {kept}, threshold {-detector.offset_:.6g}",
        file=sys.stderr,
    )
    for place in (place for logger in loggers for place in logger.places):
        print(f"logged: {place}", file=sys.stderr)
    for part, used in detector.scorer_uses_.items():
        print(f"{scorer}: {part}: {used}", file=sys.stderr)
    list_skipped(skipped)
    if as_json:
        summary = {
            "file": str(out),
            "model": detector.names_["model"],
            "scorer": detector.names_["scorer"],
            "pictures": len(pictures),
            "image_shape": pictures.shape,
            "threshold": -detector.offset_,
            "history": history.to_dict(),
            "skipped": [str(path) for path, _ in skipped],
        }
        print(json.dumps(summary, indent=2))


def _loggers(names: Sequence[str], folder: Path | None) -> list[Logger[Any]]:
    """Return the loggers of these names, in the one process that tells of the training."""
    if unknown := [name for name in names if name not in LOGGERS]:
        raise typer.BadParameter(f"--log {unknown[0]}: say {' or '.join(sorted(LOGGERS))}")
    if folder is not None and "tensorboard" not in names:
        raise typer.BadParameter("--log-dir is for --log tensorboard")
    if not is_first():
        return []
    places = {} if folder is None else {"tensorboard": folder}
    return [LOGGERS[name](*([places[name]] if name in places else [])) for name in names]


def _detector(params: Mapping[str, Any], minutes: float | None) -> BaseDetector:
    if params["model"] != "auto":
        if minutes is not None:
            raise InputError(
                "--minutes is the budget of --model auto; leave it out, or take that model"
            )
        return ReconstructionDetector(**params)
    if params["model_params"]:
        raise InputError(
            "--model auto tries models with their own parameters; leave --model-param out"
        )
    taken = {name: value for name, value in params.items() if name not in ("model", "model_params")}
    # An empty table is what the command gives where nobody said anything.
    taken = {name: value for name, value in taken.items() if value != {}}
    return AutoDetector(**taken) if minutes is None else AutoDetector(**taken, minutes=minutes)

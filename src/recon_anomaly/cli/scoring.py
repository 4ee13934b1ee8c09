"""What ``recon-anomaly score`` does."""

from __future__ import annotations

import csv as csv_format
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from recon_anomaly.detector import BaseDetector
from recon_anomaly.errors import PictureError, SavedFileError
from recon_anomaly.heatmaps import side_by_side
from recon_anomaly.pictures import list_pictures, read_pictures
from recon_anomaly.saving import load
from recon_anomaly.writing import check_writable, whole_file

from .progress import counted
from .skipping import list_skipped

__all__ = ["run_score"]

CHUNK = 256
"""Pictures that are decoded and scored at a time, so that memory does not grow with the folder."""


def run_score(
    file: Path,
    places: list[Path],
    *,
    csv: Path | None,
    maps: Path | None,
    as_json: bool,
    skip_unreadable: bool,
    weights: Path | None,
    device: str,
) -> None:
    """Score files and folders with a saved detector."""
    if csv is not None:
        check_writable(csv)
    if maps is not None:
        _make_folder(maps)
    detector = load(file, device=device, weights=weights)
    paths = [
        path for place in places for path in (list_pictures(place) if place.is_dir() else [place])
    ]
    base = Path(os.path.commonpath([path.resolve().parent for path in paths]))
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[Path, str]] = []
    with counted("scoring", len(paths)) as progress:
        scored = _scored(detector, paths, skip_unreadable, skipped)
        for path, picture, score, anomaly_map in scored:
            decision = -score - detector.offset_
            label = "anomalous" if decision < 0 else "good"
            rows.append({"path": str(path), "score": score, "decision": decision, "label": label})
            if maps is not None:
                target = maps / path.resolve().relative_to(base)
                image = side_by_side(picture, anomaly_map, detector.map_scale_)
                _save_png(image, target.with_name(target.name + ".png"))
            progress(len(rows) + len(skipped))
    _write(rows, csv, as_json)
    anomalous = sum(row["label"] == "anomalous" for row in rows)
    print(f"{len(rows)} pictures, {anomalous} anomalous", file=sys.stderr)
    list_skipped(skipped)


def _scored(
    detector: BaseDetector, paths: list[Path], skip: bool, skipped: list[tuple[Path, str]]
) -> Iterator[tuple[Path, np.ndarray, float, np.ndarray]]:
    """Give path, picture, score and map of each file, adding to ``skipped`` what cannot be read."""
    for start in range(0, len(paths), CHUNK):
        try:
            pictures = read_pictures(
                paths[start : start + CHUNK],
                image_size=detector.image_shape_[:2],
                channels=detector.image_shape_[2],
                on_error="skip" if skip else "raise",
            )
        except PictureError as error:
            skipped += error.skipped
            if skip and len(skipped) < len(paths):
                continue
            raise
        skipped += pictures.skipped
        pairs = (
            pair for batch in detector.iter_scores(pictures) for pair in zip(*batch, strict=True)
        )
        for k, (score, anomaly_map) in enumerate(pairs):
            path = (pictures.paths or ())[k]
            yield path, pictures.batch(slice(k, k + 1))[0], float(score), anomaly_map


def _write(rows: list[dict[str, Any]], csv: Path | None, as_json: bool) -> None:
    text = io.StringIO(newline="")
    writer = csv_format.DictWriter(
        text, ["path", "score", "decision", "label"], lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(rows)
    if csv is not None:
        with whole_file(csv) as temporary:
            temporary.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")
    if as_json:
        print(json.dumps(rows, indent=2))
    elif csv is None:
        sys.stdout.write(text.getvalue())


def _save_png(image: Any, path: Path) -> None:
    _make_folder(path.parent)
    with whole_file(path) as temporary:
        image.save(temporary, format="PNG")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SavedFileError(f"cannot make the folder {folder}: {error.strerror}") from error

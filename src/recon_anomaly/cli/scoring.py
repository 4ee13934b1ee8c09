"""What ``recon-anomaly score`` does."""

from __future__ import annotations

import csv as csv_format
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

from recon_anomaly.errors import PictureError, SavedFileError
from recon_anomaly.heatmaps import side_by_side
from recon_anomaly.pictures import list_pictures, read_pictures
from recon_anomaly.saving import load
from recon_anomaly.writing import check_writable, whole_file

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
    device: str,
) -> None:
    """Score files and folders with a saved detector."""
    if csv is not None:
        check_writable(csv)
    if maps is not None:
        _make_folder(maps)
    detector = load(file, device=device)
    paths = [
        path for place in places for path in (list_pictures(place) if place.is_dir() else [place])
    ]
    base = Path(os.path.commonpath([path.resolve().parent for path in paths]))
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[Path, str]] = []
    for start in range(0, len(paths), CHUNK):
        try:
            pictures = read_pictures(
                paths[start : start + CHUNK],
                image_size=detector.image_shape_[:2],
                channels=detector.image_shape_[2],
                on_error="skip" if skip_unreadable else "raise",
            )
        except PictureError as error:
            skipped += error.skipped
            if skip_unreadable and len(skipped) < len(paths):
                continue
            raise
        skipped += pictures.skipped
        batches = detector.iter_scores(pictures)
        scored = (pair for batch in batches for pair in zip(*batch, strict=True))
        for k, (score, anomaly_map) in enumerate(scored):
            path = (pictures.paths or ())[k]
            decision = -float(score) - detector.offset_
            label = "anomalous" if decision < 0 else "good"
            rows.append(
                {"path": str(path), "score": float(score), "decision": decision, "label": label}
            )
            if maps is not None:
                picture = pictures.batch(slice(k, k + 1))[0]
                target = maps / path.resolve().relative_to(base)
                _save_png(
                    side_by_side(picture, anomaly_map, detector.map_scale_),
                    target.with_name(target.name + ".png"),
                )
    _write(rows, csv, as_json)
    anomalous = sum(row["label"] == "anomalous" for row in rows)
    print(f"{len(rows)} pictures, {anomalous} anomalous", file=sys.stderr)
    list_skipped(skipped)


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

"""What ``recon-anomaly audit`` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recon_anomaly.audit import KINDS, Leakage, Twin, find_leakage
from recon_anomaly.csvlines import csv_lines
from recon_anomaly.datasets import find_labelled
from recon_anomaly.pictures import read_pictures
from recon_anomaly.store import Pictures
from recon_anomaly.writing import check_outputs, whole_file

from .pairsheet import draw_pairs
from .progress import counted
from .skipping import list_skipped

__all__ = ["run_audit"]

_COLUMNS = ("test", "train", "kind", "turn", "gain", "offset", "distance", "moved")


def run_audit(
    folder: Path,
    *,
    csv: Path | None,
    sheet: Path | None,
    image_size: int | tuple[int, int],
    skip_unreadable: bool,
    as_json: bool,
) -> None:
    """Read a labelled folder and list its test pictures that stand in the training pictures."""
    check_outputs([csv, sheet])
    found = find_labelled(folder)
    on_error: Any = "skip" if skip_unreadable else "raise"
    with counted("reading", len(found.train) + len(found.test)) as progress:
        train = read_pictures(
            found.train, image_size=image_size, on_error=on_error, progress=progress
        )
        test = read_pictures(
            found.test,
            image_size=image_size,
            channels=train.shape[2],
            on_error=on_error,
            progress=lambda count: progress(len(found.train) + count),
        )
    label_of = dict(zip(found.test, found.labels, strict=True))
    labels = np.array([label_of[path] for path in test.paths or ()], dtype=np.int64)
    with counted("comparing", len(test)) as progress:
        leakage = find_leakage(train, test, progress=progress)
    rows = [_row(twin, train, test) for twin in leakage.twins]
    counts = _counts(leakage, labels)
    if sheet is not None:
        with whole_file(sheet) as temporary:
            draw_pairs(leakage, leakage.sentence(labels), train, test).save(temporary, format="PNG")
    if csv is not None:
        with whole_file(csv) as temporary:
            temporary.write_text(_table(rows), "utf-8", "surrogateescape", newline="")
    if as_json:
        summary = {"train": len(train), "test": len(test), "counts": counts, "twins": rows}
        print(json.dumps(summary, indent=2, default=str))
    elif csv is None:
        sys.stdout.write(_table(rows))
    print(leakage.sentence(labels), file=sys.stderr)
    for kind, by_label in counts.items() if leakage.twins else ():
        listed = ", ".join(f"{count} {label}" for label, count in by_label.items())
        print(f"  {kind}: {listed}", file=sys.stderr)
    list_skipped([*train.skipped, *test.skipped])


def _row(twin: Twin, train: Pictures, test: Pictures) -> dict[str, Any]:
    paths = {
        "test": (test.paths or ())[twin.test],
        "train": (train.paths or ())[twin.train],
    }
    return paths | {name: getattr(twin, name) for name in _COLUMNS[2:]}


def _counts(leakage: Leakage, labels: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    return {
        kind: {
            name: sum(
                twin.kind == kind and int(labels[twin.test]) == label for twin in leakage.twins
            )
            for label, name in enumerate(("good", "anomalous"))
        }
        for kind in KINDS
    }


def _table(rows: Sequence[dict[str, Any]]) -> str:
    return "".join(csv_lines(_COLUMNS, rows))

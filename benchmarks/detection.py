"""How well this library finds defects beside other libraries, under one protocol for all.

    python benchmarks/detection.py --data FOLDER [--data FOLDER ...] --out FILE.jsonl [--image-size 256]
        [--seeds 1 2 3] [--rows NAME ...] [--peers NAME ...] [--anomalib-python PYTHON] [--pyod-python PYTHON]
        [--pyimgano-python PYTHON] [--backbone NAME ...] [--weights NAME=FILE ...] [--peer-epochs N] [--limit 60]
        [--drop-leaked] [--split-by-part] [--retry-failed] [--threads N]
    python benchmarks/detection.py --table FILE.jsonl

Pictures are read, resized and split by this library, and written to a folder for each set and seed. Each
contender is a process of its own environment that gets the folder without labels and answers with scores; the
figures are made here. A row is a name, or a name with parameters, as ``'cae:{"epochs": 20}'``.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detection_figures import image_figures
from detection_folders import PICTURES, read_set, write_folder
from detection_rows import Row, add_options, last_line, rows_of, versions_of
from detection_table import tables
from timing import PEERS, machine, processors

from recon_anomaly.benchdata import BenchData
from recon_anomaly.errors import ReconAnomalyError
from recon_anomaly.masks import Masks
from recon_anomaly.pixelmetrics import pixel_figures
from recon_anomaly.settings import key_of
from recon_anomaly.writing import check_writable, whole_file

SHARE = 0.8
"""Share of the time limit after which networks that are trained in a loop here are scored as they are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the file has not yet, and print the tables."""
    parser = make_parser()
    options = parser.parse_args(arguments)
    if options.table:
        if not Path(options.table).is_file():
            parser.error(f"there is no file {options.table}")
        print(tables(read_records(Path(options.table)), markdown=options.markdown))
        return
    if not options.data or not options.out:
        parser.error("--data and --out are needed, or --table")
    try:
        rows, out = rows_of(options), check_writable(options.out)
        versions = versions_of(rows)
        for folder in options.data:
            measure(folder, rows, versions, out, options)
    except ReconAnomalyError as error:
        raise SystemExit(str(error)) from error
    print(machine(options.threads, "torch", "scikit-learn"), end="\n\n")
    print(tables(read_records(out)))


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--data", action="append", help="a labelled folder; may be said several times")
    add("--out", help="a JSON-lines file, gone on with where it exists")
    add("--markdown", action="store_true", help="with --table: for docs, without what rows cost")
    add("--table", metavar="FILE", help="print the tables of such a file, and measure nothing")
    add("--image-size", type=int, default=256)
    add("--seeds", type=int, nargs="+", default=[1, 2, 3])
    add_options(parser)
    add("--limit", type=float, default=60, help="minutes that a contender may take")
    add("--drop-leaked", action="store_true", help="test without what stands in the training set")
    add("--split-by-part", action="store_true", help="no part to train and to test on")
    add("--retry-failed", action="store_true", help="run again what failed before")
    add("--threads", type=int, default=processors())
    return parser


def measure(
    folder: str,
    rows: Sequence[Row],
    versions: Mapping[str, Mapping[str, str]],
    out: Path,
    options: argparse.Namespace,
) -> None:
    """Run all rows on one set with all seeds, but for those whose records are there; each is written at once."""
    data = read_set(
        folder,
        options.image_size,
        drop_leaked=options.drop_leaked,
        split_by_part=options.split_by_part,
    )
    masks = data.test.masks
    common = {
        "data": data.name,
        "data_checksum": data.checksum(),
        "image_size": list(data.image_size),
        "drop_leaked": options.drop_leaked,
    }
    for seed in options.seeds:
        there = {
            record["key"]
            for record in read_records(out)
            if "error" not in record or not options.retry_failed
        }
        missing = {}
        for row in rows:
            settings = {**common, "seed": seed, **row.settings(versions[row.environment])}
            if (key := key_of(settings)) not in there:
                missing[key] = (row, settings)
        if not missing:
            continue
        with tempfile.TemporaryDirectory(prefix="detection-") as place:
            write_folder(Path(place), data, masks, seed)
            for key, (row, settings) in missing.items():
                print(f"{data.name}, seed {seed}, {row.label()} ...", file=sys.stderr)
                answer = ask(row, Path(place), seed, masks is not None, options)
                record = {
                    "key": key,
                    **settings,
                    "label": row.label(),
                    **counts_of(data, Path(place)),
                    **judged(answer, data, masks, Path(place)),
                    "limit_minutes": options.limit,
                    "date": time.strftime("%Y-%m-%d"),
                    "machine": machine(options.threads, "torch"),
                }
                keep(record, out)
                print(f"    {in_short(record)}", file=sys.stderr)


def ask(
    row: Row, place: Path, seed: int, maps: bool, options: argparse.Namespace
) -> dict[str, Any]:
    """Run a contender and return its answer, or what it failed of under "error"."""
    told = {
        "folder": str(place / PICTURES),
        "maps": str(place / "maps.npy") if maps else None,
        "seed": seed,
        "threads": options.threads,
        "seconds": 60 * options.limit * SHARE,
        "row": row.name,
        "params": dict(row.params),
        "epochs": row.epochs,
        "backbone": row.backbone,
        "weights": None if row.weights is None else str(Path(row.weights).resolve()),
    }
    alone = {"OMP_NUM_THREADS": str(options.threads), "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            [row.python, str(PEERS / row.script)],
            input=json.dumps(told) + "\n",
            capture_output=True,
            text=True,
            env={**os.environ, **alone},
            timeout=60 * options.limit,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"the time limit of {options.limit:g} minutes"}
    if done.returncode or not done.stdout.strip():
        # An error of Python's is 1 and says what it was; a signal, as for want of memory, does not.
        ended = f"it ended with {done.returncode}" if done.returncode != 1 else ""
        return {"error": ended or last_line(done.stderr)}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def judged(
    answer: Mapping[str, Any],
    data: BenchData,
    masks: Masks | None,
    place: Path,
) -> dict[str, Any]:
    """Return the answer with the figures, which are made of its scores and maps alone."""
    if "error" in answer:
        return dict(answer)
    labels = data.test.labels
    scores, validation = (np.array(answer[name]) for name in ("scores", "validation_scores"))
    if scores.shape != labels.shape:
        return {"error": f"scores {scores.shape} of {len(labels)} pictures"}
    if not (np.isfinite(scores).all() and np.isfinite(validation).all()):
        return {"error": "scores that are no finite numbers"}
    figures = image_figures(scores, labels, validation)
    if masks is not None and answer["has_maps"]:
        maps = np.load(place / "maps.npy")
        if maps.shape != (len(labels), *data.image_size) or not np.isfinite(maps).all():
            return {"error": f"maps {maps.shape} that are not finite and of the pictures' size"}
        figures |= pixel_figures(maps, masks)
    known = {"labels": labels.tolist(), "kinds": list(data.test.kinds)}
    return {**figures, **known, **answer}


def counts_of(data: BenchData, place: Path) -> dict[str, int]:
    """Return how many pictures there are of each sort."""
    return {
        "n_train": sum(1 for _ in (place / PICTURES / "train").iterdir()),
        "n_validation": sum(1 for _ in (place / PICTURES / "validation").iterdir()),
        "n_test_good": int((data.test.labels == 0).sum()),
        "n_test_anomalous": int((data.test.labels == 1).sum()),
    }


def read_records(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file; none where it is not there yet."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def keep(record: Mapping[str, Any], out: Path) -> None:
    """Put a record into the file, in the place of one of the same key."""
    others = [one for one in read_records(out) if one["key"] != record["key"]]
    with whole_file(out) as temporary:
        lines = (json.dumps(one) + "\n" for one in (*others, record))
        temporary.write_text("".join(lines), encoding="utf-8")


def in_short(record: Mapping[str, Any]) -> str:
    """Return what came out, in a few words."""
    if "error" in record:
        return f"failed: {record['error']}"
    auroc = "-" if record["auroc"] is None else f"{record['auroc']:.3f}"
    return (
        f"AUROC {auroc}, {record['fit_seconds']:.1f} s to fit, "
        f"{record['milliseconds_per_picture']:.1f} ms a picture"
    )


if __name__ == "__main__":
    # So that a scheduler's signal ends the contender and removes the pictures, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    main()

"""Conventional training beside awl-auc and awl-loss, on labelled folders, with trivial rows; in Markdown.

    python benchmarks/schedules.py --data FOLDER --epochs 16 --out records.jsonl [--image-size 128]
        [--batch-size 8] [--learning-rate 1e-3] [--update-every 1] [--seeds 1 10 20] [--split-by-part]

A small budget beside the paper's 100 epochs of thousands of pictures: the batches are smaller, the learning
rate is higher, and awl-auc looks at the AUC after every epoch, so that it may switch as often. Every schedule
trains ``--epochs`` epochs; awl-loss branches after half and after three quarters of them, and its race
costs more besides, which the table says. The conventional training keeps the epoch with the best
validation AUC, as awl-auc does. Validation pictures have labels, taken from the folder, and all rows are
tested on the same other pictures. A finished file is shown again without any training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from recon_anomaly.bench import iter_bench
from recon_anomaly.events import Begun, Cell
from recon_anomaly.report import markdown, tables


def main() -> None:
    """Train what is missing in the records, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a labelled folder")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument(
        "--out", type=Path, required=True, help="records, gone on with where they stand"
    )
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--update-every", type=int, default=1)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 10, 20])
    parser.add_argument("--split-by-part", action="store_true")
    options = parser.parse_args()
    epochs = options.epochs
    milestones = [epochs // 2, 3 * epochs // 4, epochs]
    records: list[dict[str, Any]] = []
    for event in iter_bench(
        options.data,
        models=["vae", "mean", "brightness", "pca", "nearest"],
        schedules=[
            ("constant", {"keeps": "auroc"}),
            ("awl-auc", {"update_every": options.update_every}),
            ("awl-loss", {"milestones": milestones, "steepness": 10}),
        ],
        corruptors=[],
        seeds=options.seeds,
        image_size=options.image_size,
        epochs=epochs,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        split_by_part=options.split_by_part,
        out=options.out,
        resume=True,
    ):
        if isinstance(event, Begun):
            print("\n".join(event.notes), file=sys.stderr)
        elif isinstance(event, Cell):
            print(event.title, file=sys.stderr)
        elif isinstance(event, dict):
            records.append(event)
    rules = ("quantile", "youden-validation", "best-f1")
    print("\n\n".join(map(markdown, tables(records, rules=rules))))
    print(f"\n{_by_seed(records)}")


def _by_seed(records: list[dict[str, Any]]) -> str:
    """Say what each seed's AUROC has gained over the conventional training, and which epoch was kept."""
    of = {(r["schedule"], r["seed"]): r for r in records if r["model"] == "vae"}
    lines = [
        f"{name}, seed {seed}: AUROC {record['auroc'] - of['constant', seed]['auroc']:+.3f} beside "
        f"constant, epoch {record['kept_epoch']} kept"
        for (name, seed), record in of.items()
        if name != "constant"
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()

"""What racing the branches of awl-loss gives up beside training them all, and beside not branching.

    python benchmarks/races.py --data FOLDER [--image-size 32] [--latent-size 100] [--milestones 40 60 80]
        [--steepness 4] [--window 5] [--patience 3] [--seeds 1 2 3 ...] [--race 0.1:4,0.2:2,0.5:1] [--records FILE]

For each seed, on the same split, batches and noise: (a) the exhaustive search of the paper, every branch of
every stage trained to its end; (b) the race, successive halving; (c) a conventional training, which is
read at the last milestone, and at the end of what the search cost: the control. All are compared
by the unweighted sum of the validation terms; no anomalous picture is used. Records of finished seeds
are kept in the file and not run again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from rich.console import Console
from rich.table import Table

from recon_anomaly import VAE, History, find_labelled, read_pictures
from recon_anomaly.inputs import split_validation

OTHER_RACES = (
    "0.05:4,0.35:1",
    "0.05:4,0.2:2,0.6:1",
    "0.05:4,0.25:2,0.45:1",
    "0.1:3,0.2:2,0.6:1",
    "0.1:4,0.2:2,0.5:1",
    "0.2:1",
)
"""Of at most the cost of the default, which is one of them."""


def main() -> None:
    """Measure, and print a row a seed and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="a labelled folder")
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--latent-size", type=int, default=100)
    parser.add_argument("--likelihood", default="gaussian")
    parser.add_argument("--milestones", type=int, nargs=3, default=[40, 60, 80])
    parser.add_argument("--steepness", type=float, default=4.0, help="of the falling weights")
    parser.add_argument("--window", type=int, default=5, help="of the slope's moving average")
    parser.add_argument(
        "--patience", type=int, default=3, help="positive slopes that stop a weight"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[*range(1, 11)])
    parser.add_argument("--race", help="share:survivors,…; by default the schedule's own")
    parser.add_argument("--records", type=Path, help="JSON lines, gone on with where they stand")
    options = parser.parse_args()
    settings = {
        name: getattr(options, name) for name in vars(options) if name not in ("seeds", "records")
    }
    pictures = read_pictures(find_labelled(options.data).train, image_size=options.image_size)
    records = _known(options.records, settings)
    for seed in options.seeds:
        if seed not in records:
            records[seed] = _one_seed(pictures, options, seed)
            if options.records is not None:
                with options.records.open("a") as file:
                    file.write(json.dumps({"settings": settings, "record": records[seed]}) + "\n")
    print(
        f"{Path(options.data).name}, {len(pictures)} pictures at {options.image_size} px, "
        f"{options.likelihood} VAE, latent {options.latent_size}, milestones {options.milestones}, "
        f"steepness {options.steepness:g}, window {options.window}, patience {options.patience}; "
        f"{time.strftime('%Y-%m-%d')}, {platform.machine()}, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, torch {torch.__version__}, scikit-learn {sklearn.__version__}"
    )
    shown = [records[seed] for seed in options.seeds]
    _show(shown)
    for text in OTHER_RACES:
        right = 0
        for record in shown:
            exhaustive = History.from_dict(record["exhaustive"])
            gap = record["conventional"] - exhaustive.records[-1].loss
            lost = _read_off(exhaustive, options.milestones, _rungs(text))
            right += lost <= max(0.1 * gap, 0.0)
        print(f"rungs {text}, read off the exhaustive searches: {right} of {len(shown)} seeds")


def _one_seed(pictures: Any, options: argparse.Namespace, seed: int) -> dict[str, Any]:
    training, validation = split_validation(pictures, 0.2, seed)

    def fit(**params: Any) -> History:
        detector = VAE(
            likelihood=options.likelihood,
            latent_size=options.latent_size,
            random_state=seed,
            **params,
        )
        return detector.fit(training, validation_data=validation).history_

    def search(race: Any) -> History:
        params = {
            "milestones": options.milestones,
            "steepness": options.steepness,
            "window": options.window,
            "patience": options.patience,
            "race": race,
        }
        return fit(schedule="awl-loss", schedule_params=params)

    exhaustive, raced = search(False), search(_rungs(options.race) if options.race else True)
    end = options.milestones[-1]
    control = fit(epochs=max(end, raced.epochs_trained), schedule_params={"keeps": "last"})
    return {
        "seed": seed,
        "exhaustive": exhaustive.to_dict(),
        "raced": raced.to_dict(),
        "conventional": control.records[end - 1].loss,
        "control": control.records[-1].loss,
        "control_best": min(record.loss for record in control.records),
    }


def _rungs(text: str) -> list[tuple[float, int]]:
    rungs = [rung.split(":") for rung in text.split(",")]
    return [(float(share), int(survivors)) for share, survivors in rungs]


def _read_off(exhaustive: History, milestones: list[int], rungs: list[tuple[float, int]]) -> float:
    """Return what a race of these rungs would have lost in the stages of the exhaustive search, in nats."""
    lost = 0.0
    for stage, (start, end) in enumerate(itertools.pairwise(milestones)):
        losses = {
            branch.path[stage]: [record.loss for record in branch.records]
            for branch in exhaustive.lost
            if len(branch.path) == stage + 1
        }
        losses[exhaustive.path[stage]] = [record.loss for record in exhaustive.records[start:end]]
        left = list(losses)
        for share, survivors in rungs:
            at = max(1, round(share * (end - start))) - 1
            left = sorted(left, key=lambda name, at=at: losses[name][at])[:survivors]
        lost += min(losses[name][-1] for name in left) - min(found[-1] for found in losses.values())
    return lost


def _known(path: Path | None, settings: dict[str, Any]) -> dict[int, dict[str, Any]]:
    if path is None or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    if any(line["settings"] != settings for line in lines):
        raise SystemExit(f"{path} has records of other settings; name another file")
    return {line["record"]["seed"]: line["record"] for line in lines}


def _show(records: list[dict[str, Any]]) -> None:
    table = Table("seed", "conventional", "exhaustive", "path", "race", "path", "gap", "given up")
    for name in ("epochs, race", "epochs, all", "control"):
        table.add_column(name)
    gaps, shares, costs, paths = [], [], [], []
    for record in records:
        exhaustive, raced = (History.from_dict(record[name]) for name in ("exhaustive", "raced"))
        best, found = exhaustive.records[-1].loss, raced.records[-1].loss
        gap = record["conventional"] - best
        # Where the conventional training is the best there is nothing to gain: the race must not lose.
        share = (found - best) / gap if gap > 0 else (0.0 if found <= best else float("inf"))
        gaps.append(gap)
        shares.append(share)
        costs.append(raced.epochs_trained / len(raced))
        paths.append(exhaustive.path)
        table.add_row(
            str(record["seed"]),
            *(f"{record['conventional']:.1f}", f"{best:.1f}", " ".join(exhaustive.path)),
            *(f"{found:.1f}", " ".join(raced.path), f"{gap:.1f}", f"{share:.0%}"),
            *(str(raced.epochs_trained), str(exhaustive.epochs_trained)),
            f"{record['control']:.1f}",
        )
    Console(width=140).print(table)
    conventional = np.array([record["conventional"] for record in records])
    raced_losses = np.array([record["raced"]["records"][-1] for record in records], dtype=object)
    found_losses = np.array([sum(last["validation"].values()) for last in raced_losses])
    control = np.array([record["control"] for record in records])
    always = sum(path == ("I", "I") for path in paths)
    print(f"epochs of the race beside a conventional training: at most {max(costs):.2f} times")
    print(f"race within a tenth of the gap: {sum(s <= 0.1 for s in shares)} of {len(shares)} seeds")
    print(
        f"gap between conventional and best: {np.mean(gaps):.1f} ± {np.std(gaps, ddof=1):.1f}; the "
        f"conventional loss over the seeds: {conventional.mean():.1f} ± {conventional.std(ddof=1):.1f}"
    )
    for stage in range(2):
        wins = sum(path[stage] == "I" for path in paths)
        print(f"the conventional branch wins stage {stage + 1} in {wins} of {len(paths)} seeds")
    print(
        f"always choosing it gives up the whole gap, {np.mean(gaps):.1f}; it is the best in {always} of "
        f"{len(paths)} seeds"
    )
    print(
        f"control, a conventional training of as many epochs as the race: {control.mean():.1f}, the race "
        f"{found_losses.mean():.1f}; the control is the lower one in "
        f"{int((control < found_losses).sum())} of {len(records)} seeds"
    )


if __name__ == "__main__":
    main()

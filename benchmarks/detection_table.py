"""The records of `detection.py` become tables, of plain text or of Markdown: one for each set, and one over the sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from recon_anomaly.cells import short, with_interval
from recon_anomaly.resampling import draw_resamples, percentile_intervals, resampled_ranking

FIGURES = {
    "AUROC": "auroc",
    "average precision": "average_precision",
    "F1": "f1",
    "pixel AUROC": "pixel_auroc",
    "AUPRO": "aupro",
}
COSTS = {
    "fit s": ("fit_seconds", "{:.1f}"),
    "ms/picture": ("milliseconds_per_picture", "{:.2f}"),
    "peak MiB": ("peak_memory_mib", "{:.0f}"),
}
BELOW = "AUROC - best"
HOW_TO_READ = (
    "brackets: 95 % bootstrap interval over test pictures, the mean of the seeds' intervals; ±: standard deviation over "
    "seeds; F1: at the 95 % quantile of the good validation pictures' scores; AUPRO: up to a false positive rate of .3;\n"
    f"{BELOW}: the AUROC less that of the first row, mean over seeds, with its 95 % interval and two-sided p over the "
    "same resamples of pictures for both; the best was chosen by these figures, which favours it"
)

_Record = Mapping[str, Any]
_Rows = dict[str, list[_Record]]


def tables(records: Iterable[_Record], *, markdown: bool = False) -> str:
    """Return one table for each set, its best row first, and where there are several sets one over all.

    Those of Markdown leave out what rows cost, and what they have to say.
    """
    records = list(records)
    made: dict[str, set[str]] = {}
    for record in records:
        made.setdefault(record["label"], set()).add(_made_by(record))
    sets: dict[tuple[Any, ...], _Rows] = {}
    for record in records:
        place = (record["data"], record["data_checksum"], tuple(record["image_size"]))
        label = record["label"]
        if len(made[label]) > 1:
            label = f"{label}, {_made_by(record)}"
        sets.setdefault(place, {}).setdefault(label, []).append(record)
    parts = [_of_set(rows, markdown) for rows in sets.values()]
    if len(sets) > 1:
        parts.append(_of_means(list(sets.values()), markdown))
    return "\n\n".join([*parts, HOW_TO_READ])


def differences(records: Sequence[_Record], best: Sequence[_Record]) -> np.ndarray | None:
    """Return the AUROC of a row less that of the best, (resamples,), each on the same resampled pictures.

    Both are means over the seeds that they have in common; None where there are none, or pictures of one class.
    """
    pairs = [(one, other) for one in records for other in best if one["seed"] == other["seed"]]
    if not pairs or len(set(pairs[0][0]["labels"])) < 2:
        return None
    labels = np.array(pairs[0][0]["labels"])
    counts = draw_resamples(labels)

    def resampled(record: _Record) -> np.ndarray:
        return resampled_ranking(labels, np.array(record["scores"]), counts)["auroc"]

    return np.mean([resampled(one) - resampled(other) for one, other in pairs], axis=0)


def two_sided(drawn: np.ndarray) -> float:
    """Return the p-value of a resampled difference: twice the share of resamples on the rarer side of 0."""
    return min(1.0, 2 * min(float(np.mean(drawn <= 0)), float(np.mean(drawn >= 0))))


def _made_by(record: _Record) -> str:
    """Return what tells rows of one label apart."""
    versions = [f"{name} {version}" for name, version in record["versions"].items()]
    return ", ".join([*versions, *([record["weights"]] if record["weights"] else [])])


def _of_set(rows: _Rows, markdown: bool) -> str:
    done = {
        label: [one for one in records if "error" not in one] for label, records in rows.items()
    }
    order = sorted(rows, key=lambda label: -_mean(done[label], "auroc"))
    best = done[order[0]]
    shown = [name for name in FIGURES if any(_values(done[row], FIGURES[name]) for row in rows)]
    lines = [("row", *shown, BELOW, *([] if markdown else COSTS))]
    for label in order:
        found = done[label]
        cells = [
            with_interval(
                [one.get(FIGURES[name]) for one in found],
                [one["intervals"].get(FIGURES[name]) for one in found],
            )
            if found
            else "-"
            for name in shown
        ]
        costs = [_cost(found, name, form) for name, form in COSTS.values() if not markdown]
        below = "the best" if found and label == order[0] else _below(found, best)
        lines.append((label, *cells, below, *costs))
    if markdown:
        return _piped(_title(rows), lines)
    return "\n".join([_title(rows), _aligned(lines), *_notes(rows)])


def _of_means(sets: Sequence[_Rows], markdown: bool) -> str:
    """Return each set's AUROC and the means over sets, all of means over seeds; first the rows that no set lacks."""
    labels = list(dict.fromkeys(label for rows in sets for label in rows))
    lines = []
    for label in labels:
        found = [[one for one in rows.get(label, []) if "error" not in one] for rows in sets]
        had = [records for records in found if records]
        cells = [short(_mean(records, "auroc")) if records else "-" for records in found]
        for name in FIGURES.values():
            means = [np.mean(values) for records in had if (values := _values(records, name))]
            cells.append(f"{short(float(np.mean(means)))} ({len(means)})" if means else "-")
        auroc = float(np.mean([_mean(records, "auroc") for records in had])) if had else -np.inf
        lines.append(((-len(had), -auroc), (label, *cells)))
    ordered = [line for _, line in sorted(lines, key=lambda line: line[0])]
    title = f"AUROC of {len(sets)} sets, and means over them; in brackets how many have the figure"
    names = [next(record["data"] for made in rows.values() for record in made) for rows in sets]
    table = [("row", *names, *(f"mean {name}" for name in FIGURES)), *ordered]
    return _piped(title, table) if markdown else "\n".join([title, _aligned(table)])


def _title(rows: _Rows) -> str:
    one = next(record for records in rows.values() for record in records)
    seeds = {record["seed"] for records in rows.values() for record in records}
    height, width = one["image_size"]
    dropped = ", without leaked pictures" if one["drop_leaked"] else ""
    return (
        f"{one['data']}{dropped}: {one['n_train']} good to train on and {one['n_validation']} to validate, "
        f"{one['n_test_good']} good and {one['n_test_anomalous']} anomalous to test, {height}x{width} px, "
        f"{len(seeds)} seed{'s' if len(seeds) > 1 else ''}"
    )


def _notes(rows: _Rows) -> list[str]:
    """Return what the rows have to say, each sentence once, with the seeds that say it where others do not."""
    lines = []
    for label, records in rows.items():
        said: dict[str, list[int]] = {}
        for record in records:
            failed = [f"failed: {record['error']}"] if "error" in record else []
            for note in (*record.get("notes", ()), *failed):
                said.setdefault(note, []).append(record["seed"])
        for note, seeds in said.items():
            some = "" if len(seeds) == len(records) else f", seed {', '.join(map(str, seeds))}"
            lines.append(f"{label}{some}: {note}")
    return lines


def _below(records: Sequence[_Record], best: Sequence[_Record]) -> str:
    drawn = differences(records, best)
    if drawn is None:
        return "-"
    seeds = {one["seed"] for one in best}
    gap = _mean([r for r in records if r["seed"] in seeds], "auroc")
    gap -= _mean([r for r in best if r["seed"] in {one["seed"] for one in records}], "auroc")
    ends = percentile_intervals({"gap": drawn})["gap"]
    low, high = ends if ends else (np.nan, np.nan)
    least = 2 / len(drawn)
    p = two_sided(drawn)
    said = f"p {short(p)}" if p >= least else f"p < {short(least)}"
    return f"{_signed(gap)} [{_signed(low)}, {_signed(high)}] {said}"


def _signed(value: float) -> str:
    return ("-" if value < 0 else "+") + short(abs(value))


def _values(records: Iterable[_Record], name: str) -> list[float]:
    return [record[name] for record in records if record.get(name) is not None]


def _mean(records: Iterable[_Record], name: str) -> float:
    values = _values(records, name)
    return float(np.mean(values)) if values else -np.inf


def _cost(records: Iterable[_Record], name: str, form: str) -> str:
    values = _values(records, name)
    return form.format(np.mean(values)) if values else "-"


def _piped(title: str, lines: Sequence[Sequence[str]]) -> str:
    head, *rows = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([f"**{title}**", "", head, "| --- " * len(lines[0]) + "|", *rows])


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )

"""What stands above the figures of a bench, and how their files are called."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from .cells import in_words
from .rows import epochs_of, ways_of
from .trainings import said, size_of, way_of

__all__ = ["free_name", "group_name", "group_title", "safe_name", "training_name", "training_title"]

_LONGEST_PART, _LONGEST_NAME = (
    48,
    150,
)  # file systems take 255 bytes, with what is added while the file is written

_Record = Mapping[str, Any]


def group_title(records: Sequence[_Record]) -> str:
    """Return two lines for the rows of a test set: what was tested, and under which settings."""
    record, ways = records[0], ways_of(records)
    anomalous = sum(record["labels"])
    parts = [f"{len(record['labels']) - anomalous} good and {anomalous} anomalous", size_of(record)]
    if len(ways) == 1:
        parts += said(ways[0])
    elif epochs := epochs_of(records):  # where there are several ways, the rows' names tell them
        parts.append(f"at most {' or '.join(map(str, epochs))} epochs")
    if record.get("drop_leaked"):
        parts.append("without leaked pictures")
    seeds = len({record["seed"] for record in records})
    parts.append(f"{seeds} seed{'s' if seeds > 1 else ''}")
    return f"{record['data']}, {record['test_set']}, scorer {record['scorer']}\n{', '.join(parts)}"


def group_name(records: Sequence[_Record]) -> str:
    """Return the beginning of the names of a test set's files."""
    record = records[0]
    parts = [record["data"], record["test_set"], record["scorer"], *_shape(records)]
    schedules = list(dict.fromkeys(way[0].split(" ")[0] for way in ways_of(records)))
    return _joined([*parts, *(schedules if schedules != ["constant"] else [])], record)


def training_title(record: _Record, about: str, *, scorer: bool, schedule: bool = True) -> str:
    """Return two lines for the figure of a training: what was trained, and what is shown.

    Parameters
    ----------
    record : mapping
        Of a bench.
    about : str
        The second line.
    scorer, schedule : bool
        Whether they are named: what is shown may not depend on the one, or may compare the other.
    """
    parts = [in_words(record["model"], record["model_params"])]
    if schedule:
        parts.append(way_of(record))
    if scorer:
        parts.append(f"scorer {record['scorer']}")
    parts += [f"seed {record['seed']}", size_of(record)]
    if record.get("drop_leaked"):
        parts.append("without leaked pictures")
    return f"{record['data']}: {', '.join(parts)}\n{about}"


def training_name(records: Sequence[_Record], *, scorer: bool, schedule: bool = True) -> str:
    """Return the beginning of the name of a training's file; the rest as in `training_title`."""
    record = records[0]
    parts = [record["data"], in_words(record["model"], record["model_params"])]
    if schedule:
        parts.append(way_of(record))
    if scorer:
        parts.append(record["scorer"])
    return _joined([*parts, f"seed{record['seed']}", *_shape(records)], record)


def safe_name(name: str) -> str:
    """Return a name with letters, digits, dots, hyphens and underscores only, no dot in front.

    Examples
    --------
    >>> safe_name("../castings 300/cvae (seed 1)")
    '_castings_300_cvae_seed_1_'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")[:_LONGEST_NAME] or "_"


def free_name(name: str, taken: set[str]) -> str:
    """Return the name, numbered if something else has it already, and take it."""
    found, number = name, 1
    while found.casefold() in taken:  # some file systems do not tell capitals apart
        number += 1
        found = f"{name}-{number}"
    taken.add(found.casefold())
    return found


def _joined(parts: Sequence[Any], record: _Record) -> str:
    dropped = ["without-leaked"] if record.get("drop_leaked") else []
    return safe_name("-".join(str(part)[:_LONGEST_PART] for part in [*parts, *dropped]))


def _shape(records: Sequence[_Record]) -> list[str]:
    height, width = records[0]["image_size"]
    epochs = epochs_of(records)
    return [f"{height}x{width}", *([f"{'-'.join(map(str, epochs))}-epochs"] if epochs else [])]

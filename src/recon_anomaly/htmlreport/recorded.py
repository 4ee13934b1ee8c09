"""A row of a bench's records, and the pictures it was tested on, become the contents of a report."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recon_anomaly.benchdata import (
    DEFECTS,
    BenchData,
    LabelledPictures,
    corrupted,
    embedded,
    from_folder,
)
from recon_anomaly.cells import in_words, short
from recon_anomaly.checks import at_least
from recon_anomaly.detector import BaseDetector
from recon_anomaly.errors import InputError
from recon_anomaly.history import History
from recon_anomaly.labelling import with_labels
from recon_anomaly.registry import build
from recon_anomaly.rows import row_names
from recon_anomaly.saving import load
from recon_anomaly.store import Pictures
from recon_anomaly.trainings import circumstances

from .contents import Contents, Tile, one_line, rule_in_words
from .scored import drawn, made_here, names_of
from .tiles import LEAST_THUMBNAIL, THUMBNAIL, chosen, tile

__all__ = ["choose_row", "contents_of_record", "data_of_record", "detector_of_record"]

_Record = Mapping[str, Any]
_CHECKED = 32  # pictures whose scores have to be the record's


def choose_row(records: Sequence[_Record], row: int | None = None) -> tuple[_Record, str]:
    """Choose a record that a report can be made of: one with scores.

    Parameters
    ----------
    records : sequence of mapping
        Of a bench.
    row : int, optional
        The number of one, from 1, as the message for a wrong number lists them; by default the one with the
        highest AUROC on a data set's own pictures, or the first where there is none.

    Returns
    -------
    mapping, str
        The record, and a sentence that says how it was chosen.

    Raises
    ------
    InputError
        When there is no such record, or no such number.
    """
    scored = [one for one in records if one["scores"]]
    if not scored:
        raise InputError("the records have no scores; run the bench with a model that scores")
    if row is not None:
        if 1 <= row <= len(scored):
            return scored[row - 1], f"Row {row} of {len(scored)} of the bench's records."
        listed = "\n".join(f"  {k}  {name}" for k, name in enumerate(_listed(scored), 1))
        raise InputError(f"row is {row}; give the number of one of these rows\n{listed}")
    every = [one for one in scored if one["auroc"] is not None]
    known = [one for one in every if one.get("test_set") == DEFECTS] or every
    if not known:
        return scored[0], f"The first of {len(scored)} rows, since none has an AUROC."
    best = max(known, key=lambda one: float(one["auroc"]))
    if len(known) == 1:
        return best, ""
    return best, (
        f"Of {len(known)} rows this has the highest AUROC on these very pictures, which is an oracle's choice; "
        "--row takes another."
    )


def data_of_record(
    record: _Record, folder: str | os.PathLike[str] | None, *, skip_unreadable: bool = False
) -> BenchData:
    """Read the data set of a record again, and hold it against the record's checksum.

    Parameters
    ----------
    record : mapping
        Of a bench.
    folder : path or None
        The data set; None for the embedded one.
    skip_unreadable : bool
        As in `iter_bench`.

    Raises
    ------
    InputError
        When the folder is wanted and not given, or holds other pictures than those of the record.
    """
    height, width = record["image_size"]
    if record["data"].startswith("embedded") and record.get("layout") is None:
        data = embedded((height, width))
    elif folder is None:
        raise InputError(
            f"the records have no pictures; name the folder of {one_line(record['data'])} with --data"
        )
    else:
        data = from_folder(folder, (height, width), skip_unreadable=skip_unreadable)
    if ", split by part" in record["data"]:
        data = data.by_part()
    if record.get("n_validation_anomalous"):
        data = with_labels(data)
    if record.get("drop_leaked") and data.leakage.twins:
        data = data.without(data.leakage.leaked)
    if data.checksum() != record["data_checksum"]:
        raise InputError(
            f"{folder or 'the embedded data set'} holds other pictures than those that the records were made of "
            f"({one_line(record['data'])}, {len(record['labels'])} to test on); give the same folder, unchanged"
        )
    return data


def detector_of_record(
    record: _Record,
    source: str | os.PathLike[str],
    data: BenchData,
    *,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
) -> BaseDetector | None:
    """Load the detector that a bench kept for a record, with the record's scorer.

    Parameters
    ----------
    record : mapping
        Of a bench.
    source : path
        The file of the records, from whose folder they name their detectors.
    data : BenchData
        From `data_of_record`; its validation pictures are those that the scorer learns from.
    weights, device : path, and str
        As in `recon_anomaly.load`.

    Returns
    -------
    BaseDetector or None
        None where the bench kept none.

    Raises
    ------
    SavedFileError
        When the file that the record names cannot be read.
    """
    if not record.get("detector"):
        return None
    detector = load(Path(source).parent / record["detector"], device=device, weights=weights)
    return detector.with_scorer(record["scorer"], data.split_validation(record["seed"])[1])


def contents_of_record(
    record: _Record,
    data: BenchData,
    detector: BaseDetector | None = None,
    *,
    chosen_by: str = "",
    pictures: int | None = None,
    thumbnail: int = THUMBNAIL,
) -> Contents:
    """Return what a report shows of a record.

    Parameters
    ----------
    record : mapping
        From `choose_row`.
    data : BenchData
        From `data_of_record`.
    detector : BaseDetector, optional
        From `detector_of_record`; without one there are no reconstructions and maps.
    chosen_by : str
        A sentence on why this record.
    pictures, thumbnail : int
        As in `contents_of_folder`.

    Raises
    ------
    InputError
        When the detector makes other scores than the record has.
    """
    thumbnail = at_least("thumbnail", thumbnail, LEAST_THUMBNAIL)
    test = _tested(record, data)
    scores = np.array(record["scores"], np.float64)
    labels = np.array(record["labels"])
    threshold = float(record["decisions"]["quantile"]["threshold"])
    history = None if record.get("history") is None else History.from_dict(record["history"])
    shown = chosen(scores, labels, threshold, len(scores) if pictures is None else pictures)
    if detector is None:
        scales: dict[str, float] = {}
        tiles = tuple(_bare(test.pictures, position, thumbnail) for position in shown)
        note = "The bench kept no detectors, so there are no reconstructions and maps; --keep-detectors keeps them."
    else:
        _check_scores(detector, test, shown[:_CHECKED], scores)
        tiles, scales = drawn(detector, test.pictures.take, shown, thumbnail)
        note = ""
    model = in_words(record["model"], record["model_params"])
    height, width = record["image_size"]
    return Contents(
        title=f"{one_line(record['data'])}, scored by {model}",
        names=_names(test),
        scores=scores,
        kinds=tuple(map(one_line, record["kinds"])),
        threshold=threshold,
        rule=rule_in_words({"rule": "quantile"}),
        scorer=str(record["scorer"]),
        tiles=tiles,
        scales=scales,
        settings=_settings(record, model),
        notes=tuple(filter(None, [chosen_by, _leakage(record), note])),
        history=history if history is not None and len(history) else None,
        size=(height, width),
        thumbnail=thumbnail,
    )


def _tested(record: _Record, data: BenchData) -> LabelledPictures:
    name = record.get("test_set", DEFECTS)
    return data.test if name == DEFECTS else corrupted(data, name, build("corruptor", name)[0])


def _bare(pictures: Pictures, position: int, side: int) -> Tile:
    """Return a tile of a picture alone, with the whole range of its type from black to white."""
    full = {"uint8": 255.0, "uint16": 65535.0}.get(pictures.dtype.name, 1.0)
    image = pictures.batch(slice(position, position + 1))[0] / full
    image = image[..., :3] if image.shape[-1] >= 3 else image[..., :1]
    return tile(int(position), {"picture": image}, {}, side)


def _check_scores(
    detector: BaseDetector, test: LabelledPictures, some: np.ndarray, scores: np.ndarray
) -> None:
    """Refuse a detector that was put in the place of the record's."""
    made = detector.anomaly_score(test.pictures.take(some))
    if not np.allclose(made, scores[some], rtol=1e-3, atol=1e-3 * float(np.ptp(scores))):
        raise InputError(
            "the detector that the record names makes other scores than the record has; run the bench again, or "
            "put the right file in its place"
        )


def _listed(records: Sequence[_Record]) -> list[str]:
    return [
        f"{name}, {one['scorer']}, {one.get('test_set', DEFECTS)}, seed {one['seed']}, {one_line(one['data'])}: "
        f"AUROC {'-' if one['auroc'] is None else short(one['auroc'])}"
        for name, one in zip(row_names(records), records, strict=True)
    ]


def _names(test: LabelledPictures) -> tuple[str, ...]:
    paths = test.pictures.paths
    if paths is None:
        return tuple(f"{one_line(kind)} {k + 1}" for k, kind in enumerate(test.kinds))
    return names_of(paths)


def _leakage(record: _Record) -> str:
    found = record.get("leakage")
    if found is None:
        return ""
    counted = f"{found['identical']} identical, {found['near']} near"
    if found["identical"] + found["near"] == 0:
        return "No test picture was found in the training pictures."
    after = " These were dropped before testing." if record.get("drop_leaked") else ""
    return f"Test pictures that stand in the training pictures too: {counted}.{after}"


def _settings(record: _Record, model: str) -> tuple[tuple[str, str], ...]:
    versions = record.get("versions") or {}
    rows = {
        "model": model,
        "scorer": record["scorer"],
        "test set": record.get("test_set"),
        "what the scorer uses": record.get("scorer_uses"),
        "seed": record["seed"],
        "training": circumstances(record),
        "training pictures": record.get("n_good"),
        "epochs": record.get("epochs_run"),
        "ended early": record.get("diverged"),
        "bench run": record.get("date"),
        "with": ", ".join(f"{name} {number}" for name, number in versions.items()),
        "recon-anomaly": record.get("recon_anomaly"),
        "machine": record.get("machine"),
        "device": record.get("device"),
    }
    told = tuple((name, str(value)) for name, value in rows.items() if value not in (None, "", {}))
    return told + made_here()

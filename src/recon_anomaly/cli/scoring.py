"""What ``recon-anomaly score`` does."""

from __future__ import annotations

import json
import math
import os
import sys
import warnings
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import typer

from recon_anomaly.clusterscoring import ScoredPaths, score_on_cluster
from recon_anomaly.conformal import discoveries, p_values, pictures_needed
from recon_anomaly.csvlines import csv_lines
from recon_anomaly.errors import CalibrationWarning
from recon_anomaly.fitted import ScoredFiles
from recon_anomaly.folders import is_folder
from recon_anomaly.heatmaps import side_by_side
from recon_anomaly.jobs import pool
from recon_anomaly.pictures import list_pictures
from recon_anomaly.saving import load
from recon_anomaly.writing import check_outputs, make_folder, whole_file

from .locating import Regions
from .progress import counted
from .skipping import list_skipped

__all__ = ["run_score"]

_COLUMNS = ("path", "score", "decision", "label", "p_value")
WAITING = 32
"""Heat maps that may wait to be written; further ones hold the scoring up, so that memory does not grow."""


WAITING_BYTES = 2**28
"""Of pictures and maps that wait to be drawn; beyond it, too, the scoring is held up."""


def run_score(
    file: Path,
    places: list[Path],
    *,
    csv: Path | None,
    maps: Path | None,
    as_json: bool,
    skip_unreadable: bool,
    weights: Path | None,
    max_pixels: int | None,
    device: str,
    dask: str | None = None,
    false_discovery: float | None = None,
    regions: Path | None = None,
    coco: Path | None = None,
    limits: dict[str, float] | None = None,
    every_picture: bool = False,
) -> None:
    """Score files and folders with a saved detector, while the files are decoded.

    What is held of the pictures is a few batches and `WAITING` heat maps, however many there are; of a
    picture that is done remain its path, its score and, where asked for, its regions. With ``false_discovery`` the labels are those of
    `discoveries`, over all pictures of this call; the decisions stay those of the detector's threshold. ``regions`` and
    ``coco`` are files of regions, of which ``limits`` has what `Limits.of` takes.
    """
    if false_discovery is not None and not 0 < false_discovery < 1:
        raise typer.BadParameter(
            f"--false-discovery {false_discovery:g}: a share between 0 and 1 is wanted"
        )
    located = Regions(regions, coco, limits or {}, every_picture, false_discovery is not None)
    if dask is not None and (maps is not None or located.wanted):
        option = "--maps" if maps is not None else "--coco" if regions is None else "--regions"
        raise typer.BadParameter(
            f"{option} and --dask: maps are not sent over the network; score the pictures that are of "
            "interest again, without --dask"
        )
    outputs = [csv, regions, coco]
    check_outputs(outputs, [file, *(place for place in places if not is_folder(place))])
    if maps is not None:
        make_folder(maps)
    scored: list[Path] = []
    scores = array("d")
    skipped: list[tuple[Path, str]] = []
    with pool(dask=dask) as workers:  # first: to list a folder may take a while
        # With Dask the device is that of the workers.
        detector = load(file, device=device if workers is None else "cpu", weights=weights)
        if max_pixels is not None:
            detector.max_pixels = max_pixels
        if false_discovery is not None:
            _warn_of_few(len(detector.calibration_scores_), false_discovery)
        located.begin(detector)
        paths = [
            path
            for place in places
            for path in (list_pictures(place) if is_folder(place) else [place])
        ]
        for out in outputs:
            if out is not None and out.exists():
                check_outputs([out], (path for path in paths if path.name == out.name))
        with counted("scoring", len(paths)) as progress, _drawn(maps, paths) as draw:
            left_out = skipped if skip_unreadable else None
            wanted = maps is not None or located.wanted
            found: ScoredFiles | ScoredPaths
            for found in (
                detector.iter_files(paths, skipped=left_out, with_maps=wanted)
                if workers is None
                else score_on_cluster(workers, detector, paths, device=device, skipped=left_out)
            ):
                scored += found.paths
                scores.extend(found.scores.tolist())
                if wanted and isinstance(found, ScoredFiles):
                    located.see(found)
                    for picture in zip(found.paths, found.pixels, found.maps, strict=True):
                        draw(*picture, detector.map_scale_)
                        del picture
                del found  # else it would live on while the next one is waited for
                progress(len(scored) + len(skipped))
            progress(len(scored) + len(skipped))  # the last files may all have been skipped
    values = p_values(np.array(scores), detector.calibration_scores_)
    if false_discovery is None:
        # Not by the p-values: the threshold may have been set by another rule.
        anomalous = -np.array(scores) - detector.offset_ < 0
    else:
        anomalous = discoveries(values, false_discovery)
    located.write(anomalous, places)
    _write(lambda: _rows(scored, scores, detector.offset_, anomalous, values), csv, as_json)
    print(f"{len(scored)} pictures, {anomalous.sum()} anomalous", file=sys.stderr)
    if false_discovery is not None:
        print(
            f"of those called anomalous a share of at most {false_discovery:g} is expected to be good",
            file=sys.stderr,
        )
        calibrated = len(detector.calibration_scores_)
        fewest = math.ceil(len(scored) / (false_discovery * (calibrated + 1)) - 1e-9)
        if not anomalous.any() and fewest <= len(scored):
            print(
                f"with {calibrated} calibration pictures fewer than {fewest} of {len(scored)} cannot be called so",
                file=sys.stderr,
            )
    list_skipped(skipped)


def _warn_of_few(calibrated: int, false_discovery: float) -> None:
    if calibrated < (needed := pictures_needed(false_discovery)):
        warnings.warn(
            f"the detector was calibrated on {calibrated} good pictures, and with fewer than {needed} no picture can be "
            f"called anomalous at a false discovery rate of {false_discovery:g}; set the threshold by more of them "
            "(recon-anomaly threshold)",
            CalibrationWarning,
            stacklevel=2,
        )


def _rows(
    paths: list[Path],
    scores: array[float],
    offset: float,
    anomalous: np.ndarray,
    values: np.ndarray,
) -> Iterator[dict[str, Any]]:
    for path, score, flagged, p_value in zip(paths, scores, anomalous, values, strict=True):
        yield {
            "path": path,
            "score": score,
            "decision": -score - offset,
            "label": "anomalous" if flagged else "good",
            "p_value": float(p_value),
        }


def _write(rows: Callable[[], Iterator[dict[str, Any]]], csv: Path | None, as_json: bool) -> None:
    if csv is not None:
        options: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
        with whole_file(csv) as temporary, temporary.open("w", **options) as table:
            table.writelines(csv_lines(_COLUMNS, rows()))
    if as_json:
        print(json.dumps(list(rows()), indent=2, default=str))
    elif csv is None:
        sys.stdout.writelines(csv_lines(_COLUMNS, rows()))


@contextmanager
def _drawn(
    folder: Path | None, paths: list[Path]
) -> Iterator[Callable[[Path, np.ndarray, np.ndarray, float], None]]:
    """Give a function that lets threads draw a picture beside its map, and save both, if there is a folder."""
    if folder is None:
        yield lambda path, picture, anomaly_map, scale: None
        return
    base = Path(os.path.commonpath([path.resolve().parent for path in paths]))

    def save(path: Path, picture: np.ndarray, anomaly_map: np.ndarray, scale: float) -> None:
        target = folder / path.resolve().relative_to(base)
        image = side_by_side(picture, anomaly_map, scale)
        _save_png(image, target.with_name(target.name + ".png"))

    waiting: deque[Future[None]] = deque()
    sizes: deque[int] = deque()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:

        def draw(path: Path, picture: np.ndarray, anomaly_map: np.ndarray, scale: float) -> None:
            while waiting and (len(waiting) == WAITING or sum(sizes) > WAITING_BYTES):
                sizes.popleft()
                waiting.popleft().result()
            sizes.append(picture.nbytes + anomaly_map.nbytes)
            waiting.append(pool.submit(save, path, picture, anomaly_map, scale))

        yield draw
        for future in waiting:
            future.result()


def _save_png(image: Any, path: Path) -> None:
    make_folder(path.parent)
    with whole_file(path) as temporary:
        image.save(temporary, format="PNG")

"""A detector and a folder become the contents of a report."""

from __future__ import annotations

import datetime
import os
import platform
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from recon_anomaly.audit import find_leakage
from recon_anomaly.cells import in_words
from recon_anomaly.checks import at_least
from recon_anomaly.datasets import good_pictures
from recon_anomaly.errors import InputError, PictureWarning
from recon_anomaly.fitted import FittedDetector
from recon_anomaly.pictures import read_pictures
from recon_anomaly.shown import as_shown
from recon_anomaly.store import Pictures

from .contents import Contents, Tile, one_line, rule_in_words
from .tested import find_tested
from .tiles import LEAST_THUMBNAIL, THUMBNAIL, chosen, tile

__all__ = ["contents_of_folder", "drawn", "made_here", "names_of"]

_PICTURES = ("picture", "reconstruction")
_SAMPLE = 32  # pictures whose errors say how bright the others are
_BRIGHTEST = 0.995  # the share of their pixels below the top of the scale


def contents_of_folder(
    detector: FittedDetector,
    folder: str | os.PathLike[str],
    *,
    source: str = "a detector",
    train: str | os.PathLike[str] | None = None,
    everything: bool = False,
    pictures: int | None = None,
    thumbnail: int = THUMBNAIL,
    skipped: list[tuple[Path, str]] | None = None,
    progress: Callable[[int], object] | None = None,
) -> Contents:
    """Score a folder and return what a report shows of it.

    All pictures are scored, in a stream; those that are shown are then read once more to be reconstructed.

    Parameters
    ----------
    detector : fitted detector
        Its own threshold decides.
    folder : path
        What is labelled in it, and which pictures are taken, is said in `find_tested`.
    source : str
        What the detector is called in the title.
    train : path, optional
        The training pictures, a folder as for ``fit``: looked through for the reported ones.
    everything : bool
        As in `find_tested`.
    pictures : int, optional
        How many are shown at the most; all if None.
    thumbnail : int
        Pixels of a tile's longer side.
    skipped : list, optional
        Takes up (path, reason) for each file that cannot be used, which is then left out; without a list it is
        an error.
    progress : callable, optional
        Called with how many pictures have been scored and, when all are, drawn, both counted together.

    Returns
    -------
    Contents

    Raises
    ------
    InputError, PictureError
        When the folder, a file or a parameter cannot be used, or the detector cuts pictures (``tile``, ``roi``).
    """
    if detector.tiling_ is not None:
        raise InputError(
            "a report shows reconstructions of whole pictures, which a detector with tile or roi does not make; score --maps and "
            "regions show where it finds what"
        )
    thumbnail = at_least("thumbnail", thumbnail, LEAST_THUMBNAIL)
    if pictures is not None:
        at_least("pictures", pictures, 1)
    root = Path(folder)
    tested = find_tested(root, everything=everything)
    trained = None if train is None else good_pictures(train)
    paths: list[Path] = []
    scores: list[float] = []
    for found in detector.iter_files(tested.paths, skipped=skipped):
        paths += found.paths
        scores += found.scores.tolist()
        if progress is not None:
            progress(len(paths))
    kinds = None
    if tested.kinds is not None:
        kind_of = dict(zip(tested.paths, tested.kinds, strict=True))
        kinds = tuple(one_line(kind_of[path]) for path in paths)
    left_out = len(tested.paths) - len(paths)
    notes = [
        tested.note,
        f"{left_out} of {len(tested.paths)} files could not be read and are left out."
        if left_out
        else "",
        "" if trained is None else _leakage(detector, trained, paths, kinds, skipped),
    ]
    threshold = -detector.offset_
    contents = Contents(
        title=f"{one_line(root.resolve().name)}, scored by {one_line(source)}",
        names=names_of(paths),
        scores=np.array(scores, np.float64),
        kinds=kinds,
        threshold=threshold,
        rule=rule_in_words(detector.threshold_rule_),
        scorer=_part(detector, "scorer"),
        settings=_settings(detector),
        notes=tuple(filter(None, notes)),
        history=detector.history_ if len(detector.history_) else None,
        size=detector.image_shape_[:2],
        thumbnail=thumbnail,
    )
    shown = chosen(contents.scores, contents.labels, threshold, pictures or len(paths))
    tiles, scales = drawn(
        detector,
        lambda positions: _read(detector, [paths[position] for position in positions]),
        shown,
        thumbnail,
        progress and (lambda count: progress(len(paths) + count)),
    )
    return replace(contents, tiles=tiles, scales=scales)


def drawn(
    detector: FittedDetector,
    read: Callable[[np.ndarray], Pictures],
    shown: np.ndarray,
    side: int,
    progress: Callable[[int], object] | None = None,
) -> tuple[tuple[Tile, ...], dict[str, float]]:
    """Draw pictures with their reconstructions and maps, a batch at a time.

    Parameters
    ----------
    detector : fitted detector
    read : callable
        Gives the pictures at some positions.
    shown : ndarray of int
        The positions.
    side : int
        Pixels of a tile's longer side.
    progress : callable, optional
        Called with how many are drawn.

    Returns
    -------
    tuple of Tile, dict of str to float
        The tiles, and the value of the brightest colour of each map.
    """
    scales = _scales(detector, read, shown)
    tiles: list[Tile] = []
    for one in _tiles(detector, read, shown, scales, side):
        tiles.append(one)
        if progress is not None:
            progress(len(tiles))
    return tuple(tiles), scales


def names_of(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return the names of files, as short as one folder above all of them allows."""
    base = Path(os.path.commonpath([path.parent for path in paths])) if paths else Path()
    return tuple(one_line(path.relative_to(base).as_posix()) for path in paths)


def made_here() -> tuple[tuple[str, str], ...]:
    """Return when and by which versions a report is made, names and values."""
    packages = ("recon-anomaly", "torch", "numpy", "scikit-learn")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return (
        ("report made", datetime.datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")),
        ("by", f"{versions}, Python {platform.python_version()}"),
    )


def _leakage(
    detector: FittedDetector,
    trained: list[Path],
    paths: list[Path],
    kinds: tuple[str, ...] | None,
    skipped: list[tuple[Path, str]] | None,
) -> str:
    """Say how many of the reported pictures stand in the training pictures."""
    height, width, channels = detector.image_shape_
    size: Any = {
        "image_size": (height, width),
        "channels": channels,
        "max_pixels": detector.max_pixels,
    }
    whatever: Any = "raise" if skipped is None else "skip"
    stores = [read_pictures(part, on_error=whatever, **size) for part in (trained, paths)]
    if skipped is not None:
        skipped += stores[0].skipped
    labels = None if kinds is None else np.array([kind != "good" for kind in kinds])
    sentence = find_leakage(*stores).sentence(labels)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _settings(detector: FittedDetector) -> tuple[tuple[str, str], ...]:
    """Return what the detector was asked for, names and values."""
    given = detector.get_params(deep=False)
    model, params = detector._model()
    name = detector.names_["model"] or repr(model)
    history = detector.history_
    height, width, channels = detector.image_shape_
    rows = {
        "model": in_words(name.removeprefix("builtin:"), params),
        "scorer": _part(detector, "scorer"),
        "what the scorer uses": detector.scorer_uses_,
        "pictures": f"{height}x{width} pixels, {channels} channel{'s' if channels > 1 else ''}",
        "seed": detector.seed_,
        "contamination": given["contamination"],
    }
    if len(history):
        rows["schedule"] = _part(detector, "schedule")
        rows["corruptor"] = _part(detector, "corruptor")
        rows["training"] = ", ".join(
            f"{k.replace('_', ' ')} {v}" for k, v in detector.recipe_.items()
        )
        rows["epochs"] = (
            f"{len(history)} of {history.planned_epochs} planned, {history.kept_epoch} kept"
        )
        rows["ended early"] = history.diverged
    told = tuple(
        (name, one_line(str(value))) for name, value in rows.items() if value not in (None, "", {})
    )
    return told + made_here()


def _part(detector: FittedDetector, kind: str) -> str:
    """Return a part's name and parameters in words; empty where there is none."""
    given = detector.get_params(deep=False)
    if given.get(kind) is None:
        return ""
    name = detector.names_[kind] or repr(given[kind])
    return in_words(name.removeprefix("builtin:"), given.get(f"{kind}_params") or {})


def _scales(
    detector: FittedDetector, read: Callable[[np.ndarray], Pictures], shown: np.ndarray
) -> dict[str, float]:
    scales = {"map": float(detector.map_scale_)}
    if _has_errors(detector):
        places = np.linspace(0, len(shown) - 1, min(len(shown), _SAMPLE)).astype(int)
        errors = as_shown(detector, read(shown[places])).maps
        scales["error"] = float(np.quantile(errors, _BRIGHTEST)) or 1.0
    return scales


def _has_errors(detector: FittedDetector) -> bool:
    """Return whether there are squared errors that are not the scorer's map itself."""
    features = hasattr(detector.network_, "target")
    return not features and detector.names_["scorer"] not in ("mse", "builtin:mse")


def _tiles(
    detector: FittedDetector,
    read: Callable[[np.ndarray], Pictures],
    shown: np.ndarray,
    scales: dict[str, float],
    side: int,
) -> Iterator[Tile]:
    step = detector.recipe_["batch_size"]
    for start in range(0, len(shown), step):
        positions = shown[start : start + step]
        store = read(positions)
        made = as_shown(detector, store).columns
        if "anomaly map" in made:  # of features, where there is no reconstruction to look at
            anomaly_maps = made["anomaly map"]
        else:
            anomaly_maps = np.concatenate([maps for _, maps in detector.iter_scores(store)])
        for number, position in enumerate(positions):
            pictures = {name: images[number] for name, images in made.items() if name in _PICTURES}
            maps = {"map": (anomaly_maps[number], scales["map"])}
            if "error" in scales:
                maps["error"] = (made["squared error"][number], scales["error"])
            yield tile(int(position), pictures, maps, side)


def _read(detector: FittedDetector, paths: list[Path]) -> Any:
    height, width, channels = detector.image_shape_
    with warnings.catch_warnings():
        # What was dropped or converted has been told when they were scored.
        warnings.simplefilter("ignore", PictureWarning)
        return read_pictures(
            paths,
            image_size=(height, width),
            channels=channels,
            max_pixels=detector.max_pixels,
        )

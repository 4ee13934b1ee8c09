"""The regions that ``recon-anomaly score`` finds, and the files that it writes them to."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import typer

from recon_anomaly.fitted import FittedDetector, ScoredFiles
from recon_anomaly.locating import Limits, located_in
from recon_anomaly.regionfiles import coco, write_table
from recon_anomaly.regions import Located
from recon_anomaly.writing import whole_file

__all__ = ["Regions"]


@dataclass
class Regions:
    """What was asked for of regions, and what was found.

    Attributes
    ----------
    csv, json : Path or None
        The files to write.
    limits : dict
        What was said of the pixels' limits, as `Limits.of` takes it.
    every_picture : bool
        Whether pictures that are called good are looked at, too.
    by_label : bool
        Whether labels are decided when all pictures are scored, so that none can be left out before.
    """

    csv: Path | None
    json: Path | None
    limits: dict[str, float]
    every_picture: bool
    by_label: bool
    _found: list[Located] = field(default_factory=list)
    _chosen: Limits | None = None
    _offset: float = 0.0

    def __post_init__(self) -> None:
        if not self.wanted and (self.limits or self.every_picture):
            raise typer.BadParameter(
                "--pixel-threshold, --pixel-false-alarm, --least-area and --all-regions are about regions; say where "
                "they go, too: --regions OUT or --coco OUT"
            )
        if "threshold" in self.limits and "false_alarm" in self.limits:
            raise typer.BadParameter("give --pixel-threshold or --pixel-false-alarm, not both")

    @property
    def wanted(self) -> bool:
        """Whether a file was asked for."""
        return self.csv is not None or self.json is not None

    def begin(self, detector: FittedDetector) -> None:
        """Set the limits, of this detector's maps."""
        if self.wanted:
            self._chosen = Limits.of(detector, **self.limits)
            self._offset = detector.offset_

    def see(self, found: ScoredFiles) -> None:
        """Find the regions of a batch."""
        if self._chosen is not None:
            every = self.every_picture or self.by_label
            self._found += located_in(found, self._offset, self._chosen, every_picture=every)

    def write(self, anomalous: np.ndarray, places: Sequence[Path]) -> None:
        """Write the files; the labels are those of the pictures in their order."""
        if self._chosen is None:
            return
        located = [
            picture._replace(
                anomalous=bool(flagged),
                regions=picture.regions if flagged or self.every_picture else (),
            )
            for picture, flagged in zip(self._found, anomalous, strict=True)
        ]
        if self.csv is not None:
            options: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
            with whole_file(self.csv) as temporary, temporary.open("w", **options) as table:
                write_table(located, table)
        if self.json is not None:
            root = places[0] if len(places) == 1 and places[0].is_dir() else None
            with whole_file(self.json) as temporary:
                text = json.dumps(coco(located, root=root), allow_nan=False)
                temporary.write_text(text, "utf-8")
        print(
            f"{sum(len(picture.regions) for picture in located)} regions above {self._chosen.threshold:.6g} in "
            f"{sum(bool(picture.regions) for picture in located)} pictures",
            file=sys.stderr,
        )

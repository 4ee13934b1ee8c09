"""The command ``recon-anomaly score``; `app` registers it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Dask, Device, Json, MaxPixels

__all__ = ["score"]


def score(
    file: Annotated[Path, typer.Argument(help="What `fit` wrote.", metavar="FILE")],
    pictures: Annotated[
        list[Path], typer.Argument(help="A folder, or picture files.", metavar="DIR|PICTURE...")
    ],
    csv: Annotated[
        Path | None,
        typer.Option(help="Write the table to this file and not to stdout.", metavar="OUT"),
    ] = None,
    maps: Annotated[
        Path | None,
        typer.Option(help="Write a heat map beside each picture into this folder.", metavar="DIR"),
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(
            help="Write a table of the regions of the pictures that are called anomalous: boxes in pixels of the "
            "file, areas, mean and maximum.",
            metavar="OUT",
        ),
    ] = None,
    coco: Annotated[
        Path | None,
        typer.Option(
            help="Write these regions as COCO's JSON, with their outlines.", metavar="OUT"
        ),
    ] = None,
    pixel_threshold: Annotated[
        float | None,
        typer.Option(
            help="What the map exceeds in a region, in the unit of the scorer.",
            show_default="by --pixel-false-alarm",
        ),
    ] = None,
    pixel_false_alarm: Annotated[
        float | None,
        typer.Option(
            help="Share of the good validation pictures that have such a pixel.",
            metavar="SHARE",
            show_default="0.05",
        ),
    ] = None,
    least_area: Annotated[
        float | None,
        typer.Option(help="Leave out regions of fewer pixels of the file.", metavar="PIXELS"),
    ] = None,
    all_regions: Annotated[
        bool, typer.Option("--all-regions", help="Look at pictures that are called good, too.")
    ] = False,
    as_json: Json = False,
    skip_unreadable: Annotated[
        bool, typer.Option(help="Leave out files that cannot be read, and list them at the end.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(help="File of the frozen weights that FILE names.", metavar="PATH"),
    ] = None,
    max_pixels: MaxPixels = None,
    device: Device = "auto",
    dask: Dask = None,
    false_discovery: Annotated[
        float | None,
        typer.Option(
            help="Let the label be decided for all pictures together, so that of those that are called "
            "anomalous at most this share, such as 0.1, is expected to be good.",
            metavar="SHARE",
        ),
    ] = None,
) -> None:
    """Score pictures: path, score (higher is more abnormal), decision (negative is anomalous), label, p_value."""
    from .scoring import run_score

    limits = {
        "threshold": pixel_threshold,
        "false_alarm": pixel_false_alarm,
        "least_area": least_area,
    }
    run_score(
        file,
        pictures,
        csv=csv,
        maps=maps,
        as_json=as_json,
        skip_unreadable=skip_unreadable,
        weights=weights,
        max_pixels=max_pixels,
        device=device,
        dask=dask,
        false_discovery=false_discovery,
        regions=regions,
        coco=coco,
        limits={name: value for name, value in limits.items() if value is not None},
        every_picture=all_regions,
    )

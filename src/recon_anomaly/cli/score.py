"""The command ``recon-anomaly score``; `app` registers it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Dask, Device, Json

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
    as_json: Json = False,
    skip_unreadable: Annotated[
        bool, typer.Option(help="Leave out files that cannot be read, and list them at the end.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(help="File of the frozen weights that FILE names.", metavar="PATH"),
    ] = None,
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

    run_score(
        file,
        pictures,
        csv=csv,
        maps=maps,
        as_json=as_json,
        skip_unreadable=skip_unreadable,
        weights=weights,
        device=device,
        dask=dask,
        false_discovery=false_discovery,
    )

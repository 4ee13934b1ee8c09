"""The command ``recon-anomaly threshold``; `app` registers it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Json, MaxPixels

__all__ = ["threshold"]


def threshold(
    file: Annotated[Path, typer.Argument(help="What `fit` wrote.", metavar="FILE")],
    good: Annotated[
        Path, typer.Option(help="Good pictures that were not trained on.", metavar="DIR")
    ],
    defects: Annotated[
        Path | None,
        typer.Option(
            help="Defective pictures, for the rules youden, best-f1 and sensitivity; else they are only counted.",
            metavar="DIR",
        ),
    ] = None,
    rule: Annotated[
        str,
        typer.Option(
            help="conformal, quantile, peaks-over-threshold, youden, best-f1, sensitivity or value."
        ),
    ] = "conformal",
    false_alarm: Annotated[
        float | None,
        typer.Option(
            help="Share of good pictures that may exceed the threshold, by the first three rules.",
            metavar="SHARE",
            show_default="0.05; 0.01 for peaks-over-threshold",
        ),
    ] = None,
    tail: Annotated[
        float | None,
        typer.Option(
            help="Share of the scores that peaks-over-threshold extrapolates.",
            metavar="SHARE",
            show_default="0.1",
        ),
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Of the rule value, in the unit of the scorer.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="File to write, in place of FILE.", metavar="OUT"),
    ] = None,
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
) -> None:
    """Set the threshold of a saved detector anew, without training, and say what it promises."""
    from .thresholding import run_threshold

    given = {"false_alarm": false_alarm, "tail": tail, "threshold": threshold}
    run_threshold(
        file,
        good,
        defects=defects,
        rule=rule,
        params={name: value for name, value in given.items() if value is not None},
        out=out,
        as_json=as_json,
        skip_unreadable=skip_unreadable,
        weights=weights,
        max_pixels=max_pixels,
        device=device,
    )

"""The command ``recon-anomaly watch``; `app` registers it."""

from __future__ import annotations

import sys
import time
import warnings
from pathlib import Path
from typing import Annotated

import typer

from .options import MaxPixels

__all__ = ["watch"]


def watch(
    folder: Annotated[Path, typer.Argument(help="Where pictures arrive.", metavar="DIR")],
    model: Annotated[Path, typer.Option(help="What `fit` wrote.", metavar="FILE")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder for scores.csv, which is also what was done.", metavar="DIR"
        ),
    ],
    interval: Annotated[
        float,
        typer.Option(help="Seconds between two looks; a file must not have changed in them."),
    ] = 0.5,
    patience: Annotated[
        float,
        typer.Option(help="Seconds after which a file that cannot be read is recorded as that."),
    ] = 10.0,
    maps: Annotated[
        bool, typer.Option("--maps", help="Write a heat map beside each picture, too.")
    ] = False,
    recursive: Annotated[
        bool, typer.Option("--recursive", help="Watch the folders inside, too.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(help="File of the frozen weights that FILE names.", metavar="PATH"),
    ] = None,
    max_pixels: MaxPixels = None,
    device: Annotated[
        str, typer.Option(help="auto (CUDA, else MPS, else the CPU), or a device's name.")
    ] = "auto",
) -> None:
    """Score pictures as they arrive in a folder, until it is ended; the same command goes on."""
    from recon_anomaly.errors import PictureWarning
    from recon_anomaly.saving import load
    from recon_anomaly.station import Station, hash_of

    from .interrupts import interrupted_well

    with interrupted_well("the same command goes on"), warnings.catch_warnings():
        warnings.simplefilter("always", PictureWarning)  # a folder may be gone more than once
        detector = load(model, device=device, weights=weights)
        if max_pixels is not None:
            detector.max_pixels = max_pixels
        station = Station(
            detector,
            folder,
            out,
            recursive=recursive,
            interval=interval,
            patience=patience,
            maps=maps,
            name=hash_of(model),
        )
        with station:
            if station.book.torn:
                print(
                    f"{station.book.path}: a torn last line of {station.book.torn} bytes was cut off",
                    file=sys.stderr,
                )
            print(
                f"watching {folder}, {station.remembered} rows in {station.book.path}",
                file=sys.stderr,
                flush=True,
            )
            try:
                while True:
                    for row in station.step():
                        if row["label"] == "unreadable":
                            print(f"unreadable: {row['path']}: {row['note']}", file=sys.stderr)
                    time.sleep(interval)  # until the next look at the folder
            finally:
                count = station.counts
                print(
                    f"{count['good'] + count['anomalous']} pictures, {count['anomalous']} anomalous, "
                    f"{count['unreadable']} unreadable",
                    file=sys.stderr,
                )

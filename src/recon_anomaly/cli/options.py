"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["Dask", "Device", "Jobs", "Json", "MaxPixels", "MemoryBudget", "Params", "Precision"]

Params = Annotated[
    list[str], typer.Option(help="NAME=VALUE, as often as wanted.", metavar="NAME=VALUE")
]
Device = Annotated[
    str, typer.Option(help="auto (CUDA, else MPS, else the CPU), or a device's name.")
]
Jobs = Annotated[
    int | None,
    typer.Option(
        help="Train that many models at a time, each on one thread; -1: as many as there are cores.",
        show_default="one after the other, on all cores",
    ),
]
Dask = Annotated[
    str | None,
    typer.Option(
        help="Compute on the Dask cluster whose scheduler has this address (docs/distributed.md).",
        metavar="ADDRESS",
    ),
]
Precision = Annotated[
    str,
    typer.Option(
        help="In which networks train: float32, bfloat16, or auto: bfloat16 where that is faster."
    ),
]
MemoryBudget = Annotated[
    str | None,
    typer.Option(
        help="Memory for the pictures, such as 500MB or 2GiB; more of them wait in a temporary file.",
        metavar="BYTES",
        show_default="a quarter of what is free",
    ),
]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        help="Largest height times width of a file that is decoded, this time.",
        min=1,
        show_default="the detector's",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

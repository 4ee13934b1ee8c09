"""The commands and their options; what they do is imported when they run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import typer

from .bench import bench
from .configuring import ConfiguredTyper
from .fit import fit
from .options import Json
from .reporting import report
from .score import score
from .serving import serve
from .threshold import threshold
from .values import read_size
from .watching import watch

app = ConfiguredTyper(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learns to reconstruct good parts and finds what it cannot reconstruct.",
)

__all__ = ["app"]


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("recon-anomaly"))
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    processes = os.environ.get("WORLD_SIZE", "1") if "TORCHELASTIC_RUN_ID" in os.environ else "1"
    if processes != "1" and context.invoked_subcommand not in ("fit", "plugins"):
        from recon_anomaly.errors import InputError

        raise InputError(
            f"torchrun started {processes} processes of {context.invoked_subcommand}, and only fit knows how to "
            "share its work among them; start it once, for bench with --jobs or --dask"
        )


app.command()(fit)
app.command()(score)
app.command()(threshold)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="A saved detector.", metavar="FILE")],
    onnx: Annotated[Path, typer.Option(help="File to write: .onnx.", metavar="OUT")],
    weights: Annotated[
        Path | None,
        typer.Option(help="File of the frozen weights that FILE names.", metavar="PATH"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a detector as one ONNX graph, from integer pictures to score, map and decision."""
    from .exporting import run_export

    run_export(file, onnx, weights=weights, as_json=as_json)


app.command()(bench)


@app.command()
def audit(
    folder: Annotated[Path, typer.Argument(help="A labelled folder.", metavar="DIR")],
    csv: Annotated[
        Path | None,
        typer.Option(help="Write the table to this file and not to stdout.", metavar="OUT"),
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write a picture of the pairs to this file: .png.", metavar="OUT"),
    ] = None,
    image_size: Annotated[str, typer.Option(help="Pixels: 256, or HEIGHTxWIDTH.")] = "256",
    skip_unreadable: Annotated[
        bool, typer.Option(help="Leave out files that cannot be read, and list them at the end.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Look for test pictures that stand in the training pictures too: copies, turned, moved, relit."""
    from .auditing import run_audit

    run_audit(
        folder,
        csv=csv,
        sheet=sheet,
        image_size=read_size(image_size),
        skip_unreadable=skip_unreadable,
        as_json=as_json,
    )


app.command()(report)
app.command()(watch)
app.command()(serve)


@app.command()
def plugins(as_json: Json = False) -> None:
    """List models, scorers, corruptors and schedules, and which package offers them."""
    from recon_anomaly.registry import KINDS, offers

    rows = [
        {
            "kind": offer.kind,
            "name": offer.name,
            "plugin": offer.plugin,
            "package": offer.distribution,
            "version": offer.version,
            "target": str(offer.target),
        }
        for kind in KINDS
        for offer in offers(kind)
    ]
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    widths = [max(len(row[column]) for row in rows) for column in rows[0]]
    for row in rows:
        print(
            "  ".join(
                text.ljust(width) for text, width in zip(row.values(), widths, strict=True)
            ).rstrip()
        )

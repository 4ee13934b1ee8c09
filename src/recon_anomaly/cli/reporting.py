"""The command ``recon-anomaly report``; `app` registers it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from recon_anomaly.htmlreport.contents import Contents

__all__ = ["report"]


def report(
    source: Annotated[
        Path,
        typer.Argument(
            help="What `fit` wrote, or the records that `bench` wrote.", metavar="FILE|RUN"
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .html.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Pictures: a labelled folder, folders named good and by the kind of defect, or any others; of RUN the "
            "folder that it was run on.",
            metavar="DIR",
        ),
    ] = None,
    row: Annotated[
        int | None,
        typer.Option(
            help="Of RUN, the number of a row; a wrong one lists them.",
            show_default="the highest AUROC",
        ),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Show a labelled folder's good training pictures, too."),
    ] = False,
    train: Annotated[
        Path | None,
        typer.Option(
            help="Training pictures, to say how many of those shown stand among them; takes as long as audit.",
            metavar="DIR",
        ),
    ] = None,
    pictures: Annotated[int, typer.Option(help="Pictures to show, at the most.")] = 2000,
    thumbnail: Annotated[
        int, typer.Option(help="Pixels of a thumbnail's longer side; larger views have twice that.")
    ] = 128,
    plots: Annotated[
        Path | None,
        typer.Option(help="Draw each plot as PNG and PDF into this folder.", metavar="DIR"),
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option(help="Leave out files that cannot be read, and list them at the end.")
    ] = False,
    weights: Annotated[
        Path | None,
        typer.Option(help="File of the frozen weights that FILE names.", metavar="PATH"),
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto (CUDA, else MPS, else the CPU), or a device's name.")
    ] = "auto",
) -> None:
    """Write one HTML page, which opens without a network: pictures by score, errors, a threshold to move."""
    from recon_anomaly.htmlreport.page import write_page
    from recon_anomaly.writing import check_outputs

    from .skipping import list_skipped

    check_outputs([out], [source])
    if plots is not None:
        from recon_anomaly.htmlreport.paper import draw_plots
        from recon_anomaly.plots import check_matplotlib

        check_matplotlib()
    skipped: list[tuple[Path, str]] = []
    shown: dict[str, Any] = {"pictures": pictures, "thumbnail": thumbnail}
    if _holds_records(source):
        for option, given in (("--train", train), ("--all", everything)):
            if given:
                raise typer.BadParameter(f"{option} is for a detector; {source} holds records")
        contents = _of_run(
            source,
            data,
            row,
            skip_unreadable,
            skipped,
            {"weights": weights, "device": device},
            shown,
        )
    else:
        if row is not None:
            raise typer.BadParameter(f"--row is for the records of a bench; {source} holds none")
        if data is None:
            raise typer.BadParameter("--data is wanted: the folder of pictures to score")
        contents = _of_detector(
            source,
            data,
            weights=weights,
            device=device,
            skipped=skipped if skip_unreadable else None,
            train=train,
            everything=everything,
            **shown,
        )
    write_page(contents, out)
    if plots is not None:
        for path in draw_plots(contents, plots):
            print(f"plot: {path}", file=sys.stderr)
    size = out.stat().st_size / 2**20
    print(
        f"{len(contents.scores)} pictures, {len(contents.tiles)} of them shown: {out}, {size:.1f} MiB",
        file=sys.stderr,
    )
    list_skipped(skipped)


def _holds_records(source: Path) -> bool:
    """Return whether a file begins as JSON lines do, which no detector's does."""
    from recon_anomaly.errors import SavedFileError

    try:
        with source.open("rb") as file:
            return file.read(2) == b'{"'
    except OSError as error:
        raise SavedFileError(f"cannot read {source}: {error.strerror or error}") from error


def _of_run(
    source: Path,
    data: Path | None,
    row: int | None,
    skip_unreadable: bool,
    skipped: list[tuple[Path, str]],
    loading: dict[str, Any],
    shown: dict[str, Any],
) -> Contents:
    from recon_anomaly.htmlreport.recorded import (
        choose_row,
        contents_of_record,
        data_of_record,
        detector_of_record,
    )
    from recon_anomaly.records import read_records

    record, why = choose_row(read_records(source), row)
    found = data_of_record(record, data, skip_unreadable=skip_unreadable)
    skipped += found.test.pictures.skipped
    detector = detector_of_record(record, source, found, **loading)
    return contents_of_record(record, found, detector, chosen_by=why, **shown)


def _of_detector(
    source: Path, data: Path, *, weights: Path | None, device: str, **options: Any
) -> Contents:
    from recon_anomaly.htmlreport.scored import contents_of_folder
    from recon_anomaly.htmlreport.tested import find_tested
    from recon_anomaly.saving import load

    from .progress import counted

    detector = load(source, device=device, weights=weights)
    count = len(find_tested(data, everything=options["everything"]).paths)
    with counted("scoring and drawing", count + min(count, options["pictures"])) as progress:
        return contents_of_folder(detector, data, source=source.name, progress=progress, **options)

"""The command ``recon-anomaly fit``; `app` registers it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, Json, MemoryBudget, Params, Precision
from .values import read_bytes, read_params, read_region, read_size, read_value

__all__ = ["fit"]


def fit(
    folder: Annotated[Path, typer.Argument(help="Folder of good pictures.", metavar="DIR")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write: .safetensors.")],
    model: Annotated[
        str,
        typer.Option(
            help="`recon-anomaly plugins` lists them; auto tries several and keeps the best."
        ),
    ] = "cae",
    model_param: Params = [],
    scorer: str = "mse",
    scorer_param: Params = [],
    schedule: Annotated[
        str, typer.Option(help="Of the loss terms' weights, epoch by epoch.")
    ] = "constant",
    schedule_param: Params = [],
    corruptor: Annotated[
        str | None,
        typer.Option(help="Spoils the training pictures, for a denoising model."),
    ] = None,
    corruptor_param: Params = [],
    image_size: Annotated[
        str,
        typer.Option(
            help="Pixels: 256, or HEIGHTxWIDTH; auto: 256, or with --tile that of the tile."
        ),
    ] = "auto",
    tile: Annotated[
        int | None,
        typer.Option(help="Cut pictures, of any size, into tiles of that many pixels a side."),
    ] = None,
    overlap: Annotated[
        int | None,
        typer.Option(help="Pixels that neighbouring tiles share.", show_default="a quarter"),
    ] = None,
    roi: Annotated[
        str | None,
        typer.Option(
            help="Look at nothing but a box, in pixels of the upright files, or the pixels above 0 of a mask file.",
            metavar="X,Y,WIDTH,HEIGHT|MASK",
        ),
    ] = None,
    max_pixels: Annotated[
        int | None,
        typer.Option(
            help="Largest height times width of a file that is decoded.", show_default="89478485"
        ),
    ] = None,
    channels: Annotated[str, typer.Option(help="auto, 1 or 3.")] = "auto",
    epochs: Annotated[
        int | None, typer.Option(show_default="the schedule's, the model's, or 50")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(show_default="the model's, or 16")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(show_default="the model's, or 0.003")
    ] = None,
    contamination: Annotated[
        str, typer.Option(help="auto, or the share of the pictures to call anomalous.")
    ] = "auto",
    seed: int = 42,
    device: Device = "auto",
    precision: Precision = "auto",
    minutes: Annotated[
        float | None, typer.Option(help="Of --model auto, to try candidates in.", show_default="10")
    ] = None,
    defects: Annotated[
        Path | None,
        typer.Option(
            help="Defective pictures to validate on, with a fifth of the good ones, for schedules that "
            "want labels; never trained on.",
            metavar="DIR",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the run's state; the same command goes on from it.", metavar="DIR"
        ),
    ] = None,
    memory_budget: MemoryBudget = None,
    self_contained: Annotated[
        bool, typer.Option(help="Store a pretrained backbone's frozen weights in the file, too.")
    ] = False,
    skip_unreadable: Annotated[
        bool, typer.Option(help="Leave out files that cannot be read, and list them at the end.")
    ] = False,
    log: Annotated[
        list[str],
        typer.Option(
            help="Log epochs, weights and threshold: tensorboard, or mlflow (to MLFLOW_TRACKING_URI); as often as wanted.",
            metavar="NAME",
        ),
    ] = [],
    log_dir: Annotated[
        Path | None,
        typer.Option(
            help="Folder for TensorBoard, in which each training gets its own.",
            metavar="DIR",
            show_default="runs",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Learn from a folder of good pictures and write a detector to one file."""
    from .fitting import run_fit

    run_fit(
        folder,
        out,
        minutes=minutes,
        defects=defects,
        self_contained=self_contained,
        skip_unreadable=skip_unreadable,
        as_json=as_json,
        log=log,
        log_dir=log_dir,
        model=model,
        model_params=read_params(model_param),
        scorer=scorer,
        scorer_params=read_params(scorer_param),
        schedule=schedule,
        schedule_params=read_params(schedule_param),
        corruptor=corruptor,
        corruptor_params=read_params(corruptor_param),
        image_size="auto" if image_size == "auto" else read_size(image_size),
        tile=tile,
        overlap=overlap,
        roi=read_region(roi),
        max_pixels=max_pixels,
        channels=read_value(channels),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        contamination=read_value(contamination),
        random_state=seed,
        device=device,
        precision=precision,
        checkpoint=checkpoint,
        memory_budget=read_bytes(memory_budget),
    )

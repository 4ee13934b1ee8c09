"""The command ``recon-anomaly bench``; `app` registers it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Dask, Device, Jobs, Json, MemoryBudget
from .values import read_bytes, read_grids_of, read_names, read_params_of, read_size, read_whole

__all__ = ["bench"]


def bench(
    data: Annotated[
        Path | None,
        typer.Option(help="A labelled folder; by default the embedded castings.", metavar="DIR"),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            help="Settings and tables of a paper: klimkevicius or nakata. DIR holds its pictures, up to "
            "three levels down; options that are given beat the preset's.",
        ),
    ] = None,
    models: Annotated[
        str | None,
        typer.Option(
            help="Names, with commas between; by default cae,cvae,mean,brightness,pca,nearest."
        ),
    ] = None,
    model_param: Annotated[
        list[str],
        typer.Option(help="MODEL.NAME=VALUE, as often as wanted.", metavar="MODEL.NAME=VALUE"),
    ] = [],
    model_grid: Annotated[
        list[str],
        typer.Option(
            help="MODEL.NAME=[VALUE,...]: a model of its own for each value, or combination of values.",
            metavar="MODEL.NAME=[VALUE,...]",
        ),
    ] = [],
    schedules: Annotated[
        str | None,
        typer.Option(
            help="Names, with commas between, of the loss weights' schedules; every model is trained by "
            "each; by default constant."
        ),
    ] = None,
    schedule_param: Annotated[
        list[str],
        typer.Option(
            help="SCHEDULE.NAME=VALUE, as often as wanted.", metavar="SCHEDULE.NAME=VALUE"
        ),
    ] = [],
    scorers: Annotated[
        str | None, typer.Option(help="Names, with commas between; by default mse.")
    ] = None,
    corruptors: Annotated[
        str | None,
        typer.Option(
            help="Names, with commas between; may be empty; by default "
            "gaussian,salt-and-pepper,objects."
        ),
    ] = None,
    training_corruptors: Annotated[
        str | None,
        typer.Option(
            help="Names, with commas between, of what spoils the training pictures, for denoising models; none "
            "for clean ones, which is the default. Every model is trained with each."
        ),
    ] = None,
    training_corruptor_param: Annotated[
        list[str],
        typer.Option(
            help="CORRUPTOR.NAME=VALUE, as often as wanted.", metavar="CORRUPTOR.NAME=VALUE"
        ),
    ] = [],
    seeds: Annotated[
        str | None, typer.Option(help="Whole numbers, with commas between; by default 42.")
    ] = None,
    image_size: Annotated[
        str | None,
        typer.Option(help="Pixels, or HEIGHTxWIDTH; by default 64 embedded, 256 for a folder."),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="At the most; by default the schedule's, else the model's, else 50."),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="By default the model's, or 16.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(help="By default the model's, or 0.003.")
    ] = None,
    labelled_validation: Annotated[
        bool,
        typer.Option(
            "--labelled-validation",
            help="Validate on defects, too: those of the training folder, else some of the test set's, "
            "which leave it. Schedules that need labels have them anyway.",
        ),
    ] = False,
    every_epoch: Annotated[
        bool,
        typer.Option(
            "--every-epoch", help="Score the set's own test pictures after every epoch (oracle)."
        ),
    ] = False,
    split_by_part: Annotated[
        bool,
        typer.Option(
            "--split-by-part",
            help="Split the good pictures anew, so that no part is in training and test.",
        ),
    ] = False,
    drop_leaked: Annotated[
        bool,
        typer.Option(
            "--drop-leaked", help="Leave out test pictures that stand in the training pictures too."
        ),
    ] = False,
    rules: Annotated[
        str | None,
        typer.Option(
            help="Threshold rules that the tables show, with commas between: quantile, youden, "
            "best-f1, sensitivity, value, youden-validation; by default quantile,best-f1. The records have all."
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Adds the rule value: this threshold, in the unit of the one scorer."),
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option(help="Leave out files that cannot be read, and list them.")
    ] = False,
    memory_budget: MemoryBudget = None,
    device: Device = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            help="In which networks train: float32, bfloat16, or auto: bfloat16 where that is faster; by "
            "default auto."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="JSON lines; by default bench-DATE-TIME.jsonl.", metavar="FILE"),
    ] = None,
    resume: Annotated[
        bool, typer.Option(help="Go on with --out; done cells are not run again.")
    ] = False,
    keep_detectors: Annotated[
        Path | None,
        typer.Option(
            help="Keep the fitted detectors in this folder, for `report` to show reconstructions.",
            metavar="DIR",
        ),
    ] = None,
    jobs: Jobs = None,
    dask: Dask = None,
    csv: Annotated[
        Path | None,
        typer.Option(help="Write all figures, a row for each record and rule.", metavar="FILE"),
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the page of tables.", metavar="FILE")
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(help="Draw curves, histograms and pictures into this folder.", metavar="DIR"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Train and score a grid of models, and print tables for each test set."""
    from .benching import run

    run(
        data,
        preset=preset,
        out=out,
        resume=resume,
        rules=None if rules is None else read_names(rules),
        csv=csv,
        markdown=markdown,
        plots=plots,
        as_json=as_json,
        models=None if models is None else read_names(models),
        model_params=read_params_of("MODEL", model_param) or None,
        model_grid=read_grids_of(model_grid) or None,
        schedules=None if schedules is None else read_names(schedules),
        schedule_params=read_params_of("SCHEDULE", schedule_param) or None,
        scorers=None if scorers is None else read_names(scorers),
        corruptors=None if corruptors is None else read_names(corruptors),
        training_corruptors=None
        if training_corruptors is None
        else read_names(training_corruptors),
        training_corruptor_params=read_params_of("CORRUPTOR", training_corruptor_param) or None,
        seeds=None if seeds is None else [read_whole(seed) for seed in read_names(seeds)],
        image_size=None if image_size is None else read_size(image_size),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        labelled_validation=labelled_validation or None,
        every_epoch=every_epoch or None,
        split_by_part=split_by_part,
        drop_leaked=drop_leaked,
        threshold=threshold,
        skip_unreadable=skip_unreadable,
        memory_budget=read_bytes(memory_budget),
        device=device,
        precision=precision,
        keep_detectors=keep_detectors,
        jobs=jobs,
        dask=dask,
    )

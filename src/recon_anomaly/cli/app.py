"""The commands and their options; what they do is imported when they run."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from .reporting import report

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Learns to reconstruct good parts and finds what it cannot reconstruct.",
)

__all__ = ["app"]

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
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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


@app.command()
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
    image_size: Annotated[str, typer.Option(help="Pixels: 256, or HEIGHTxWIDTH.")] = "256",
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
        model=model,
        model_params=_params(model_param),
        scorer=scorer,
        scorer_params=_params(scorer_param),
        schedule=schedule,
        schedule_params=_params(schedule_param),
        corruptor=corruptor,
        corruptor_params=_params(corruptor_param),
        image_size=_size(image_size),
        channels=_value(channels),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        contamination=_value(contamination),
        random_state=seed,
        device=device,
        precision=precision,
        checkpoint=checkpoint,
        memory_budget=_bytes(memory_budget),
    )


@app.command()
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


@app.command()
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
        device=device,
    )


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


@app.command()
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
        rules=None if rules is None else _names(rules),
        csv=csv,
        markdown=markdown,
        plots=plots,
        as_json=as_json,
        models=None if models is None else _names(models),
        model_params=_params_of("MODEL", model_param) or None,
        model_grid=_grids_of(model_grid) or None,
        schedules=None if schedules is None else _names(schedules),
        schedule_params=_params_of("SCHEDULE", schedule_param) or None,
        scorers=None if scorers is None else _names(scorers),
        corruptors=None if corruptors is None else _names(corruptors),
        training_corruptors=None if training_corruptors is None else _names(training_corruptors),
        training_corruptor_params=_params_of("CORRUPTOR", training_corruptor_param) or None,
        seeds=None if seeds is None else [_whole(seed) for seed in _names(seeds)],
        image_size=None if image_size is None else _size(image_size),
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        labelled_validation=labelled_validation or None,
        every_epoch=every_epoch or None,
        split_by_part=split_by_part,
        drop_leaked=drop_leaked,
        threshold=threshold,
        skip_unreadable=skip_unreadable,
        memory_budget=_bytes(memory_budget),
        device=device,
        precision=precision,
        jobs=jobs,
        dask=dask,
    )


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
        image_size=_size(image_size),
        skip_unreadable=skip_unreadable,
        as_json=as_json,
    )


app.command()(report)


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


def _params(pairs: list[str]) -> dict[str, Any] | None:
    """Read NAME=VALUE pairs; a value is JSON where it can be (numbers, lists, true), else text."""
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.isidentifier():
            raise typer.BadParameter(f"{pair!r}: NAME=VALUE is wanted")
        found[name] = _value(text)
    return found or None


def _params_of(owner: str, pairs: list[str]) -> dict[str, dict[str, Any]]:
    """Read OWNER.NAME=VALUE pairs, by owner: a model, or a schedule."""
    found: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        whose, dot, rest = pair.partition(".")
        name, equals, text = rest.partition("=")
        if not (whose and dot and equals and name.isidentifier()):
            raise typer.BadParameter(f"{pair!r}: {owner}.NAME=VALUE is wanted")
        found.setdefault(whose, {})[name] = _value(text)
    return found


def _grids_of(pairs: list[str]) -> dict[str, dict[str, Any]]:
    """Read MODEL.NAME=[VALUE,...] pairs, by model."""
    for pair in pairs:
        if not isinstance(_value(pair.partition("=")[2]), tuple):
            raise typer.BadParameter(f"{pair!r}: MODEL.NAME=[VALUE,...] is wanted, a list in JSON")
    return _params_of("MODEL", pairs)


def _value(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return tuple(value) if isinstance(value, list) else value


def _size(text: str) -> int | tuple[int, int]:
    sides = tuple(_whole(side) for side in text.lower().split("x"))
    if len(sides) > 2:
        raise typer.BadParameter(f"image size {text!r}: one number, or HEIGHTxWIDTH, is wanted")
    return sides[0] if len(sides) == 1 else (sides[0], sides[1])


def _bytes(text: str | None) -> int | None:
    from recon_anomaly.errors import InputError
    from recon_anomaly.memory import bytes_of

    try:
        return None if text is None else bytes_of(text)
    except InputError as error:
        raise typer.BadParameter(f"memory budget {error}") from None


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no whole number") from None


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]

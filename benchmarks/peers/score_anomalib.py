"""PaDiM and FRE of anomalib with a ResNet-18, for the scoring benchmark.

Runs in an environment of its own, with anomalib. The backbone's weights are random, which costs the same. Of
each model the fastest of the ways that anomalib offers from files to scores is measured: ``Engine.predict`` on the folder,
the same with a loader of batches, without and with processes that read them, and ``TorchInferencer`` file by file.
"""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ |= {"TRUST_REMOTE_CODE": "1", "CUDA_VISIBLE_DEVICES": ""}

import torch
from anomalib.data import PredictDataset
from anomalib.deploy import ExportType, TorchInferencer
from anomalib.engine import Engine
from anomalib.models import Fre, Padim
from answering import Measure, answer, versions
from torch.utils.data import DataLoader

FITTED = 64
"""Pictures that are fitted on."""

TRIALS = 2
"""How often each way is tried on the whole folder; its faster run counts."""


def prepare(settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Measure]]:
    """Fit on a handful of pictures, and find the fastest way from files to scores."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(settings["threads"])
    folder, place = Path(settings["folder"]), Path(settings["place"]) / settings["anomalib"]
    size, batch_size = settings["image_size"], settings["batch_size"]
    files = sorted(folder.iterdir())
    few = place / "few"
    few.mkdir(parents=True)
    for file in files[:FITTED]:
        shutil.copy(file, few)

    plain: dict[str, Any] = {"evaluator": False, "visualizer": False, "pre_trained": False}
    kind: Any
    if settings["anomalib"] == "padim":
        kind, own = Padim, {"backbone": "resnet18"}
    else:
        features = 256 * (size // 32) ** 2  # of the third layer, pooled by two
        kind, own = Fre, {"backbone": "resnet18", "layer": "layer3", "input_dim": features}
    processor = kind.configure_pre_processor(image_size=(size, size))
    model = kind(pre_processor=processor, **own, **plain)
    engine = Engine(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        logger=False,
        default_root_dir=place,
        enable_progress_bar=False,
    )

    def loader(of: Path, batch: int, **more: Any) -> DataLoader:
        dataset = PredictDataset(of, image_size=(size, size))
        return DataLoader(dataset, batch_size=batch, collate_fn=dataset.collate_fn, **more)

    engine.fit(model, train_dataloaders=loader(few, 8))
    exported = engine.export(model, ExportType.TORCH, export_root=place)
    inferencer = TorchInferencer(exported, device="cpu")

    def on_folder(of: Path) -> Any:
        return engine.predict(model, data_path=of)

    def in_batches(of: Path) -> Any:
        return engine.predict(model, dataloaders=loader(of, batch_size))

    def in_batches_with_workers(of: Path) -> Any:
        loading = loader(of, batch_size, num_workers=settings["threads"])
        return engine.predict(model, dataloaders=loading)

    def file_by_file(of: Path) -> Any:
        with torch.inference_mode():
            return [inferencer.predict(file) for file in sorted(of.iterdir())]

    trials: dict[Callable[[Path], Any], float] = {}
    for way in (on_folder, in_batches, in_batches_with_workers, file_by_file):
        trials[way] = min(timed(way, folder) for _ in range(TRIALS))
    best = min(trials, key=trials.__getitem__)
    notes = ", ".join(f"{way.__name__.replace('_', ' ')} {ms:.1f}" for way, ms in trials.items())

    def go() -> dict[str, float]:
        return {"ms": timed(best, folder)}

    about = {"note": best.__name__.replace("_", " "), "trials": notes}
    return about | {"versions": versions("anomalib", "torch", "torchvision")}, {"go": go}


def timed(way: Callable[[Path], Any], folder: Path) -> float:
    """Return milliseconds a picture, and check that each has a score."""
    started = time.perf_counter()
    batches = way(folder)
    seconds = time.perf_counter() - started
    scores = torch.cat([batch.pred_score.reshape(-1) for batch in batches])
    files = len(list(folder.iterdir()))
    assert len(scores) == files, f"{len(scores)} scores for {files} pictures"
    return 1000 * seconds / files


if __name__ == "__main__":
    answer(prepare)

"""What the contenders of `detection.py` get: folders of pictures, all resized once by this library; and the masks."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from recon_anomaly.benchdata import BenchData, from_folder
from recon_anomaly.masks import Masks
from recon_anomaly.store import Pictures

PICTURES = "pictures"
"""The folder of what a contender sees."""

"""Share of the good training pictures that is held out, as the bench does."""


def read_set(
    folder: str, image_size: int, *, drop_leaked: bool = False, split_by_part: bool = False
) -> BenchData:
    """Read a labelled folder as `recon-anomaly bench` does."""
    data = from_folder(folder, image_size)
    if data.train.dtype != np.uint8:
        raise SystemExit(f"{folder} has pictures of {data.train.dtype}; 8 bits are wanted")
    if split_by_part:
        data = data.by_part()
    return data.without(data.leakage.leaked) if drop_leaked else data


def write_folder(place: Path, data: BenchData, masks: Masks | None, seed: int) -> None:
    """Write ``train``, ``validation`` and ``test`` of one seed as PNG below ``pictures``, which a contender is told of.

    What is known of the test pictures stands beside, in ``protocol.json`` and ``masks``.
    """
    train, validation = data.split_validation(seed)
    for part, pictures in (
        ("train", train),
        ("validation", validation),
        ("test", data.test.pictures),
    ):
        _write(place / PICTURES / part, pictures)
    (place / "masks").mkdir()
    names: list[str | None] = [None] * len(data.test.labels)
    for number in range(0 if masks is None else len(masks)):
        mask = masks[number]
        if mask is not None:
            names[number] = f"masks/{number:06d}.png"
            Image.fromarray(mask).save(place / names[number])
    known = {"labels": data.test.labels.tolist(), "kinds": data.test.kinds, "masks": names}
    (place / "protocol.json").write_text(json.dumps(known | {"seed": seed}))


def _write(folder: Path, pictures: Pictures) -> None:
    folder.mkdir(parents=True)
    for number in range(len(pictures)):
        pixels = pictures.batch(slice(number, number + 1))[0]
        image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
        image.save(folder / f"{number:06d}.png", compress_level=1)

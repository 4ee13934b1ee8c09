"""What ``recon-anomaly export`` does."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from recon_anomaly.export import export_onnx
from recon_anomaly.saving import load
from recon_anomaly.writing import check_outputs

__all__ = ["run_export"]


def run_export(file: Path, onnx: Path, *, weights: Path | None, as_json: bool) -> None:
    """Write the graph of a saved detector, and say what it takes and how near its scores are."""
    check_outputs([onnx], [file])
    detector = load(file, device="cpu", weights=weights)
    written = export_onnx(detector, onnx)
    height, width, channels = detector.image_shape_
    checked = (
        "not checked: onnxruntime is not installed"
        if written.difference is None
        else f"checked: scores differ by {written.difference:.1g} of themselves at the most"
    )
    print(
        f"{onnx}: pictures of {height}x{width}x{channels}, {onnx.stat().st_size / 1e6:.1f} MB, {checked}",
        file=sys.stderr,
    )
    if written.weights is not None:
        print(f"{written.weights}: its weights, to be kept beside it", file=sys.stderr)
    if as_json:
        summary = {
            "file": str(onnx),
            "weights": None if written.weights is None else str(written.weights),
            "model": detector.names_["model"],
            "scorer": detector.names_["scorer"],
            "image_shape": detector.image_shape_,
            "threshold": -detector.offset_,
            "difference": written.difference,
        }
        print(json.dumps(summary, indent=2))

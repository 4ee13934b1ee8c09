"""
ONNX, without PyTorch
=====================

Fit here, run there: an exported detector needs onnxruntime, Pillow and NumPy alone.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from PIL import Image

from recon_anomaly import ReconstructionDetector, make_parts

# %%
# Here: fit, and export one graph that takes integer pictures and gives score, map and decision. Scaling,
# network, scorer and threshold are inside. It is compared with the detector before it is written.
parts = make_parts(n_train=120, n_test_good=3, n_defects_per_kind=1, seed=6)
detector = ReconstructionDetector("pca", scorer="top-k").fit(parts.train)
place = TemporaryDirectory()
path = Path(place.name, "parts.onnx")
detector.export_onnx(path)
print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB")

# %%
# There: nothing of this library is needed any more. A frame of the camera is larger, and is resized as the
# detector's files are.
session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
height, width = json.loads(about["image_size"])
frames = [Image.fromarray(picture[..., 0]).resize((150, 150)) for picture in parts.test]
pixels = np.stack([frame.resize((width, height), Image.Resampling.BILINEAR) for frame in frames])
scores, maps, anomalous = session.run(["score", "map", "anomalous"], {"pixels": pixels[..., None]})

# %%
# Above each frame its score, red where that exceeds the threshold.
figure, axes = plt.subplots(2, len(frames), figsize=(10, 3), layout="constrained")
for frame, score, found, wrong, column in zip(frames, scores, maps, anomalous, axes.T, strict=True):
    column[0].imshow(frame, cmap="gray", vmin=0, vmax=255)
    column[0].set_title(f"{score:.4f}", color="red" if wrong else "black", fontsize=10)
    column[1].imshow(found, cmap="inferno", vmin=0, vmax=float(about["map_scale"]))
    for axis in column:
        axis.axis("off")
place.cleanup()
plt.show()

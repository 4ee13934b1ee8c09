"""Score a camera's frame without PyTorch: onnxruntime, Pillow and NumPy are all that it needs.

recon-anomaly export parts.safetensors --onnx parts.onnx
python examples/score_frame.py parts.onnx frame.png
"""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
about = session.get_modelmeta().custom_metadata_map
height, width = json.loads(about["image_size"])
mode = {"1": "L", "3": "RGB"}[about["channels"]]


def score(frame):
    """Return score, map and decision of a frame, uint8 (h, w) or (h, w, 3), resized as a detector's files are."""
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR).convert(mode)
    pixels = np.asarray(image).reshape(1, height, width, len(mode))
    return [output[0] for output in session.run(["score", "map", "anomalous"], {"pixels": pixels})]


frame = np.asarray(Image.open(sys.argv[2]))  # stands for what a camera gives
found, anomaly_map, anomalous = score(frame)
place = np.unravel_index(anomaly_map.argmax(), anomaly_map.shape)
print(
    f"score {found:.6g}, {'anomalous' if anomalous else 'good'}, most so at row {place[0]}, column {place[1]}"
)

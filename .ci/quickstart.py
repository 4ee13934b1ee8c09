"""Run the README's first Python block as it stands, on drawn pictures in the folders that it names.

python quickstart.py README.md
"""

import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image

import recon_anomaly

assert "site-packages" in recon_anomaly.__file__, recon_anomaly.__file__

rng = np.random.default_rng(0)
for folder, count in {"good": 24, "new": 4}.items():
    Path(folder).mkdir()
    for k in range(count):
        picture = rng.integers(60, 90, (128, 128), dtype=np.uint8)
        picture[32:96, 32:96] += 80
        if folder == "new" and k >= 2:
            picture[40:80, 40:80] = 0
        Image.fromarray(picture).save(f"{folder}/{k}.png")

block = re.search(r"```python\n(.*?)```", Path(sys.argv[1]).read_text(), re.DOTALL)[1]
print(block)
names = {}
exec(block, names)
scores = names["detector"].score_samples("new/")
print("score_samples:", scores)
assert scores[2:].max() < scores[:2].min(), "the two spoiled pictures are the least normal ones"
loaded = recon_anomaly.load("parts.safetensors")
assert np.array_equal(loaded.score_samples("new/"), scores)

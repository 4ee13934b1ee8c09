"""
A scorer of your own
====================

What counts as an error, and how the errors of a picture become one number, is a function or a class.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_auc_score
from torch.nn.functional import avg_pool2d

from recon_anomaly import ReconstructionDetector, make_parts
from recon_anomaly.testing import check_scorer

# %%
# A scorer gets what was to be reconstructed and what came of it, tensors (n, c, h, w), and returns a
# map (n, h, w). Its ``reduction`` makes the map one number: here a picture is as bad as its worst tile, so
# that a small defect does not drown in a large picture, and a single pixel does not count either.


class WorstTile:
    reduction = "max"

    def __init__(self, side=7):
        self.side = side

    def __call__(self, target, reconstruction):
        error = (target - reconstruction.mean).square().mean(1)
        return avg_pool2d(error, self.side, stride=1, padding=self.side // 2)


check_scorer(WorstTile)  # raises where a law does not hold

# %%
# One network can be scored in many ways. ``with_scorer`` sets the threshold anew, by good pictures
# that were not trained on.
parts = make_parts(n_train=120, n_test_good=60, n_defects_per_kind=12, seed=7)
held_out, test = parts.test[:20], parts.test[20:]
kinds = np.array(parts.kinds[20:])
detector = ReconstructionDetector("pca", model_params={"n_components": 16}).fit(parts.train)
detectors = {"mse": detector, "WorstTile": detector.with_scorer(WorstTile, held_out)}

# %%
# The worst tile finds blow-holes and stains that the mean error over the picture hardly notices.
names = [kind for kind in dict.fromkeys(parts.kinds) if kind != "good"]
figure, (left, *rest) = plt.subplots(
    1, 4, figsize=(9, 2.8), width_ratios=[2.2, 1, 1, 1], layout="constrained"
)
for number, (name, one) in enumerate(detectors.items()):
    scores = one.anomaly_score(test)
    wanted = [(kinds == kind) | (kinds == "good") for kind in names]
    figures = [roc_auc_score(kinds[some] != "good", scores[some]) for some in wanted]
    left.barh(np.arange(len(names)) + 0.4 * number, figures, 0.36, label=name)
left.set_yticks(np.arange(len(names)) + 0.2, names)
left.set(xlim=(0.5, 1), xlabel="AUROC against good parts")
left.invert_yaxis()
left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)
hole = int(np.flatnonzero(kinds == "blow-hole")[0])
rest[0].imshow(test[hole], cmap="gray")
rest[0].set_title("blow-hole")
for axis, (name, one) in zip(rest[1:], detectors.items(), strict=True):
    axis.imshow(
        one.anomaly_map(test[hole : hole + 1])[0], cmap="inferno", vmin=0, vmax=one.map_scale_
    )
    axis.set_title(name)
for axis in rest:
    axis.axis("off")
plt.show()

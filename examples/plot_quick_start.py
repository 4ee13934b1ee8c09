"""
Quick start
===========

Learn what good parts look like, and see what is wrong with others.
"""

import matplotlib.pyplot as plt
from sklearn.metrics import roc_auc_score

from recon_anomaly import CVAE, make_parts

# %%
# Pictures are arrays, a folder or a list of paths. These are arrays: gray castings, good ones to train
# on, and good and defective ones to test with.
parts = make_parts(n_train=160, n_test_good=40, n_defects_per_kind=8, seed=1)
print(parts.train.shape, parts.train.dtype, sorted(set(parts.kinds)))

# %%
# Training sees good parts alone. A fifth of them is held back; their scores set the threshold.
detector = CVAE(kernels=(8, 16, 32), epochs=30, scorer="top-k").fit(parts.train)
print(f"kept epoch {detector.history_.kept_epoch} of {len(detector.history_)}")

# %%
# The higher the anomaly score, the more abnormal; +1 is good and -1 anomalous, as in scikit-learn.
scores = detector.anomaly_score(parts.test)
found = detector.predict(parts.test) == -1
print(f"AUROC {roc_auc_score(parts.labels, scores):.3f}")
print(f"{found[parts.labels == 1].sum()} of {parts.labels.sum()} defective parts found")
print(f"{found[parts.labels == 0].sum()} of {(parts.labels == 0).sum()} good ones called anomalous")

# %%
# The map says where. Of each kind this is the part with the highest score; yellow is what exceeds every
# pixel of the good pictures that were held back.
worst = {
    kind: max((s, k) for k, s in enumerate(scores) if parts.kinds[k] == kind)[1]
    for kind in dict.fromkeys(parts.kinds)
}
maps = detector.anomaly_map(parts.test)
figure, axes = plt.subplots(2, len(worst), figsize=(9, 3.4), layout="constrained")
for (kind, place), (above, below) in zip(worst.items(), axes.T, strict=True):
    above.set_title(kind)
    above.imshow(parts.test[place], cmap="gray", vmin=0, vmax=255)
    below.imshow(maps[place], cmap="inferno", vmin=0, vmax=detector.map_scale_)
    above.axis("off")
    below.axis("off")
plt.show()

"""
Adaptive loss weights
=====================

A schedule weighs the terms of a loss anew in each epoch. ``awl-auc`` of Nakata et al. switches them.
"""

import matplotlib.pyplot as plt
import numpy as np

from recon_anomaly import VAE, make_parts

# %%
# The loss of a VAE with a Gaussian decoder has three terms. Whenever the AUC on labelled validation pictures has
# not risen, the schedule goes on to the next pattern of terms; the others weigh next to nothing. The defects
# are looked at for that, and never trained on.
parts = make_parts(n_train=80, n_test_good=20, image_size=32, seed=5)
Xv = np.concatenate([parts.test[:20], parts.validation_defects])
yv = np.r_[np.ones(20, int), -np.ones(20, int)]  # +1 good, -1 anomalous
detector = VAE(
    latent_size=8,
    learning_rate=0.001,
    batch_size=8,
    epochs=24,
    schedule="awl-auc",
    schedule_params={"update_every": 2},
).fit(parts.train, validation_data=(Xv, yv))
history = detector.history_
print(f"epoch {history.kept_epoch} is kept, the one with the highest AUC")

# %%
# Above the AUC after each epoch, below the terms that it was trained on. The best epoch is kept, so that a
# pattern which fails costs time and nothing else; but on real sets the switches :doc:`gained nothing </results>`.
epochs = [one.epoch for one in history.records]
figure, (above, below) = plt.subplots(
    2, 1, figsize=(7, 4.2), height_ratios=[2.2, 1], sharex=True, layout="constrained"
)
above.plot(epochs, [one.figures["auroc"] for one in history.records], "o-", color="0.3")
above.axvline(history.kept_epoch, color="C3", linestyle=":", label="kept")
above.set(ylabel="AUC, validation")
above.legend()
weights = [[one.weights[term] for one in history.records] for term in history.terms]
below.pcolormesh(
    epochs, range(len(weights)), weights, cmap="Blues", edgecolors="w", vmin=0, vmax=1.3
)
below.set_yticks(range(len(weights)), history.terms)
below.set(xlabel="epoch")
plt.show()

"""
scikit-learn: a pipeline and a grid search
==========================================

A detector is a scikit-learn estimator: it can be the last step of a pipeline, and be searched.
"""

import matplotlib.pyplot as plt
import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from recon_anomaly import ReconstructionDetector, make_parts

# %%
# The first step smooths the grain of the surface; how much, and how many components the second one
# has, is what we look for.


def smooth(pictures, radius=0.0):
    return gaussian_filter(pictures, (0, radius, radius, 0))


pipeline = make_pipeline(FunctionTransformer(smooth), ReconstructionDetector("pca"))
radii, counts = [0.0, 0.5, 1.0, 2.0], [1, 4, 16, 64]
grid = {
    "functiontransformer__kw_args": [{"radius": radius} for radius in radii],
    "reconstructiondetector__model_params": [{"n_components": count} for count in counts],
}

# %%
# A detector is fitted on good pictures and chosen by labelled ones, so the search has one split, which says
# so. One half of the labelled parts chooses; the other measures what was chosen.
parts = make_parts(n_train=100, n_test_good=60, n_defects_per_kind=12, image_size=48, seed=4)
X = np.concatenate([parts.train, parts.test])
y = np.r_[np.ones(100, int), 1 - 2 * parts.labels]  # +1 good, -1 anomalous
choosing, testing = train_test_split(
    np.arange(100, len(y)), test_size=0.5, stratify=parts.kinds, random_state=0
)
search = GridSearchCV(
    pipeline,
    grid,
    scoring="roc_auc",
    cv=[(np.arange(100), choosing)],
    refit=False,
    error_score="raise",
)
search.fit(X, y)
best = pipeline.set_params(**search.best_params_).fit(parts.train)
print(search.best_params_)
print(
    f"AUROC {search.best_score_:.3f} where it was chosen, {search.scorer_(best, X[testing], y[testing]):.3f} on the rest"
)

# %%
figures = search.cv_results_["mean_test_score"].reshape(len(radii), len(counts))
figure, axis = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
image = axis.imshow(figures, cmap="viridis")
for (row, column), auroc in np.ndenumerate(figures):
    dark = auroc < (figures.min() + figures.max()) / 2
    axis.text(column, row, f"{auroc:.3f}", ha="center", va="center", color="w" if dark else "k")
axis.set_xticks(range(len(counts)), counts)
axis.set_yticks(range(len(radii)), radii)
axis.set(xlabel="components", ylabel="smoothing (pixels)", title="AUROC where it was chosen")
plt.show()

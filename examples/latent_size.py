"""Search the size of a VAE's latent by the best AUROC, with scikit-learn's own grid search.

    python examples/latent_size.py
    python examples/latent_size.py --data parts/ --full

Nakata et al. (2023), section 4.1.2, chose 1000 among 100, 500, 1000, 2000 and 5000 so. Small by
default, on castings that the library draws itself, and done in under a minute; ``--full`` takes the
paper's sizes and epochs. ``--data`` names a labelled folder.

Each candidate is fitted on the good pictures and scored on labelled ones: an explicit ``cv`` of that
one split. Half of the labelled pictures choose; the others test what was chosen, since the best of
several figures is an optimistic one.
"""

import argparse

import numpy as np
from sklearn.model_selection import GridSearchCV, train_test_split

from recon_anomaly import VAE, find_labelled, make_parts

SMALL = {"sizes": [5, 20, 80], "image_size": 32, "train": 100, "epochs": 20, "learning_rate": 0.003}
# None: all good pictures, and the recipe's own 100 epochs at 0.0001.
PAPER = {"sizes": [100, 500, 1000, 2000, 5000], "image_size": 256} | dict.fromkeys(
    ["train", "epochs", "learning_rate"]
)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", help="a labelled folder; by default drawn castings")
parser.add_argument("--full", action="store_true", help="as the paper; the others still count")
parser.add_argument("--sizes", type=int, nargs="+", help="of the latent")
parser.add_argument("--image-size", type=int, help="in pixels")
parser.add_argument("--train", type=int, help="how many good pictures")
parser.add_argument("--epochs", type=int)
parser.add_argument("--learning-rate", type=float)
parser.set_defaults(**(PAPER if parser.parse_known_args()[0].full else SMALL))
options = parser.parse_args()

detector = VAE(
    image_size=options.image_size, epochs=options.epochs, learning_rate=options.learning_rate
)

if options.data:
    found = find_labelled(options.data)
    good, labelled, defective = list(found.train[: options.train]), list(found.test), found.labels
    joined = good + labelled
else:
    parts = make_parts(image_size=options.image_size)
    good, labelled, defective = parts.train[: options.train], parts.test, parts.labels
    joined = np.concatenate([good, labelled])

y = np.r_[np.ones(len(good), int), 1 - 2 * defective]  # scikit-learn's +1 good, -1 anomalous
choosing, testing = train_test_split(
    np.arange(len(good), len(y)), test_size=0.5, stratify=defective, random_state=0
)
search = GridSearchCV(
    detector,
    {"latent_size": options.sizes},
    scoring="roc_auc",  # asks decision_function, whose higher values mean +1
    cv=[(np.arange(len(good)), choosing)],
    refit=False,  # else the best one would be trained on the defects, too
    error_score="raise",
)
search.fit(joined, y)

for size, auroc in zip(options.sizes, search.cv_results_["mean_test_score"], strict=True):
    print(f"latent_size {size:5}: AUROC {auroc:.3f}")

best = detector.set_params(**search.best_params_).fit(good)
rest = [joined[k] for k in testing]
held_out = search.scorer_(best, rest, y[testing])
print(f"best: {search.best_params_['latent_size']}; AUROC {held_out:.3f} on the other half")

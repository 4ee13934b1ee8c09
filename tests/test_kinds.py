import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recon_anomaly.kinds import kinds_table

KINDS = ["good"] * 20 + ["dent"] * 6 + ["crack"] * 10


def record(seed, **changes):
    """Return what the table needs of a record, with drawn scores: cracks are easier than dents."""
    shift = np.repeat([0.0, 1.0, 2.0], [20, 6, 10])
    return {
        "labels": [int(kind != "good") for kind in KINDS],
        "kinds": KINDS,
        "scores": (np.random.default_rng(seed).normal(size=36) + shift).tolist(),
    } | changes


def against(kind, record):
    """Return the AUROC of the good pictures against a kind, from what scikit-learn makes of the lists."""
    pairs = [
        (score, name == kind)
        for score, name in zip(record["scores"], record["kinds"], strict=True)
        if name in ("good", kind)
    ]
    scores, labels = zip(*pairs, strict=True)
    return roc_auc_score(labels, scores)


def test_good_pictures_stand_against_one_kind_at_a_time():
    """Cells are AUROCs without the other kinds, columns in the order of the pictures."""
    one = record(0)
    table = kinds_table("tiles", ("model", "scorer"), {("cae", "mse", "more"): [one]})
    assert table.title == "AUROC against each kind of defect: tiles"
    assert table.columns == ("model", "scorer", "dent (6)", "crack (10)")
    (row,) = table.rows
    assert row[:2] == ("cae", "mse")
    for cell, kind in zip(row[2:], ("dent", "crack"), strict=True):
        assert cell.split(" ")[0] == f"{against(kind, one):.3f}".removeprefix("0")
    assert table.notes[0].startswith("the 20 good test pictures")


def test_seeds_are_averaged_and_intervals_are_of_resampled_pictures():
    """Mean ± deviation over seeds; a plain bootstrap, pair by pair, finds nearly the same ends."""
    records = [record(0), record(1)]
    (row,) = kinds_table("", ("model",), {("cae",): records}).rows
    values = [against("dent", one) for one in records]
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    shown = f"{mean:.3f} ± {deviation:.3f}".replace("0.", ".")
    assert row[1].partition(" [")[0] == shown
    rng = np.random.default_rng(5)
    ends = []
    for one in records:
        scores, dents = np.array(one["scores"][:26]), np.arange(26) >= 20
        found = []
        for drawn in rng.integers(0, 26, (1000, 26)):
            worse, better = scores[drawn[dents[drawn]]], scores[drawn[~dents[drawn]]]
            if len(worse) and len(better):
                found.append((worse[:, None] > better).mean())
        ends.append(np.quantile(found, [0.025, 0.975]))
    low, high = map(float, row[1].partition("[")[2].rstrip("]").split(", "))
    assert [low, high] == pytest.approx(np.mean(ends, axis=0), abs=0.03)


@pytest.mark.parametrize(
    "changes",
    [
        {"kinds": ["good"] * 20 + ["dent"] * 16},
        {"labels": [1] * 36, "kinds": ["dent"] * 20 + KINDS[20:]},
        {"kinds": None},
        {"scores": None},
    ],
    ids=["one kind", "no good picture", "no kinds", "no scores"],
)
def test_where_there_is_nothing_to_compare_there_is_no_table(changes):
    """One kind is what AUROC says already; without good pictures, kinds or scores there is none."""
    assert kinds_table("", ("model",), {("cae",): [record(0, **changes)]}) is None


def test_older_records_do_not_break_the_table():
    """A record that was written without kinds is left out, and so is a row of nothing else."""
    old = record(1)
    del old["kinds"]
    rows = {("pca",): [old], ("cae",): [old, record(0)]}
    table = kinds_table("", ("model",), rows)
    assert [row[0] for row in table.rows] == ["cae"]
    assert "±" not in table.rows[0][1]

from recon_anomaly.pixelmetrics import PIXEL
from recon_anomaly.pixeltable import pixels_table


def record(**figures):
    """A record with figures of pixels."""
    intervals = {name: [0.25, 0.75] for name in PIXEL}
    return dict.fromkeys(PIXEL) | {"intervals": intervals if figures else {}} | figures


def test_figures_are_means_over_seeds():
    """So are the ends of their intervals; a row or a seed without figures, as the trivial one, is left out."""
    figures = {"pixel_auroc": 0.8, "pixel_average_precision": 0.5, "aupro": 0.6}
    first = record(**figures, pixel_pictures=7)
    second = record(**(figures | {"aupro": 0.4}), pixel_pictures=7)
    rows = {("everything", ""): [record()], ("cae", "mse", "key"): [first, {}, second]}
    table = pixels_table("parts", ("model", "scorer"), rows)
    assert table.title == "Pixels: parts"
    assert table.columns[2:] == ("pixel AUROC", "pixel average precision", "AUPRO")
    assert table.rows == (
        (
            "cae",
            "mse",
            ".800 ± .000 [.250, .750]",
            ".500 ± .000 [.250, .750]",
            ".500 ± .141 [.250, .750]",
        ),
    )
    assert table.notes[0].startswith("over the 7 test pictures")


def test_records_without_masks_have_no_table():
    """Nor have those that were written before there were figures of pixels."""
    assert pixels_table("parts", ("model", "scorer"), {("cae", "mse"): [record(), {}]}) is None

import re

import pytest

from recon_anomaly.printed import KLIMKEVICIUS, NAKATA, NAKATA_SETS
from recon_anomaly.registry import offers


def test_the_figures_are_those_of_klimkevicius():
    """Rows as the paper prints them: recall, precision, F1 and PRC-AUC of Tables 1 to 3."""
    noise, objects, real = KLIMKEVICIUS
    assert set(noise.figures.values()) == {(0.996, 1, 0.998, 1)}
    assert objects.figures["tcae"] == (0.859, 0.945, 0.9, 0.9705)
    assert real.figures["cae"] == (0.993, 0.653, 0.788, 0.837)
    for table in KLIMKEVICIUS:
        assert list(table.figures) == ["cae", "cvae", "tcae", "tcvae"]
        for recall, precision, f1, _ in table.figures.values():
            assert f1 == pytest.approx(2 * recall * precision / (recall + precision), abs=0.002)


def test_the_tables_are_those_of_nakata():
    """Six tables in the paper's order, each of its three data sets, with a figure of each schedule."""
    titles = [(table.title, table.figure) for experiment in NAKATA for table in experiment.tables]
    assert [title.partition(",")[0] for title, _ in titles] == [f"Table {k}" for k in range(6, 12)]
    assert [figure for _, figure in titles] == ["auroc", "sensitivity", "specificity"] * 2
    schedules = {offer.name for offer in offers("schedule")}
    for experiment in NAKATA:
        assert experiment.adapted in schedules
        for table in experiment.tables:
            assert list(table.printed) == list(NAKATA_SETS)


def test_the_paper_says_by_how_much_figures_differ():
    """Differences that Sections 4.2.3 and 5.2.2 print follow from the tables, which checks these."""
    found = {}
    for experiment in NAKATA:
        for table in experiment.tables:
            for data_set, pair in table.printed.items():
                conventional, adapted = (float(re.match(r"[\d.]+", cell)[0]) for cell in pair)
                place = (table.title.partition(",")[0], data_set.partition("-")[0])
                found[place] = round(adapted - conventional, 2)
    assert found["Table 6", "Bellows"] == 4.77
    assert found["Table 7", "Bellows"] == 10.39
    assert found["Table 8", "Bellows"] == -4.89
    assert [found[f"Table {k}", "Comb"] for k in (6, 7, 8)] == [3.23, 5.0, 5.27]
    assert found["Table 9", "Comb"] == 2.57
    better = {place for place, gap in found.items() if place[0] == "Table 9" and gap > 0}
    assert better == {("Table 9", "Square"), ("Table 9", "Comb")}

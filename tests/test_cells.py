import pytest

from recon_anomaly.cells import Table, markdown, mean_of, with_interval


@pytest.mark.parametrize("rows", [(), (("bolt", "8"), ("nut", "-"))])
def test_markdown_has_title_header_and_rows(rows):
    """Markdown is the bold title, an empty line, the header, its rule and a line for each row."""
    lines = markdown(Table("Sizes", ("part", "mm"), rows)).split("\n")
    assert lines[:4] == ["**Sizes**", "", "| part | mm |", "| --- | --- |"]
    assert lines[4:] == [f"| {part} | {size} |" for part, size in rows]


def test_markdown_has_notes_below():
    """A note stands below the table, with an empty line between."""
    lines = markdown(Table("Sizes", ("part",), (("bolt",),), ("Metric.",))).split("\n")
    assert lines[-3:] == ["| bolt |", "", "Metric."]


def test_deviations_are_those_of_a_sample():
    """Two values that differ by 0.2 deviate by 0.1 times the root of 2, and one has no deviation."""
    assert mean_of([0.5, 0.7]) == ".600 ± .141"
    assert mean_of([0.5]) == ".500"


@pytest.mark.parametrize(
    ("intervals", "cell"),
    [
        ([[0.4, 0.6], [0.6, 0.8]], ".600 ± .141 [.500, .700]"),
        ([[0.4, 0.6], None], ".600 ± .141"),
    ],
)
def test_an_interval_needs_all_seeds(intervals, cell):
    """Ends are means over the seeds; with a seed that has none there is no interval."""
    assert with_interval([0.5, 0.7], intervals) == cell

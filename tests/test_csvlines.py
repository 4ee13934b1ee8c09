"""Lines of CSV: no formulas, no names that divide a line, and every name back as it was."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recon_anomaly.csvlines import csv_lines

NAMES = [
    "=cmd|' /C calc'!A0.png",
    "+1.png",
    "-1.png",
    "@SUM(A1).png",
    "\t=1.png",
    "\r=1.png",
    " =1.png",
    "a\nb.png",
    "a\rb.png",
    "a;=1+1;b.png",
    'a",=1,"b.png',
    "büro 🙂.png",
    "\udcff\udcfe.png",
    "a\u2028b.png",
    " a.png ",
]


def table(rows, columns=("path", "score")):
    return "".join(csv_lines(columns, rows))


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_formula_and_comes_back(name):
    """Read by the csv module it is the path of the same file, also from bytes that are no UTF-8."""
    text = table([{"path": Path(name), "score": -0.1}])
    again = text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    header, (path, score) = csv.reader(io.StringIO(again, newline=""))
    assert header == ["path", "score"]
    assert Path(path) == Path(name)
    assert path[0] not in "=+-@\t\r\n"
    assert not path.lstrip().startswith(("=", "+", "-", "@"))
    assert float(score) == -0.1
    # Whoever divides at semicolons or tabs finds the whole name in quotation marks.
    assert not set(name) & set(';\t\r\n"') or text.splitlines(keepends=True)[1].startswith('"')


def test_other_texts_get_an_apostrophe_and_numbers_nothing():
    """As spreadsheets mark a text; what is None or missing is empty."""
    rows = [{"path": "=1", "score": -1}, {"path": None, "score": -1e300}, {"score": True}]
    assert table(rows).splitlines() == ["path,score", "'=1,-1", ",-1e+300", ",True"]


def test_a_column_that_is_not_known_is_an_error():
    """Nothing is left out silently."""
    with pytest.raises(ValueError, match="'kind' is none of the columns path, score"):
        table([{"kind": 1}])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(st.characters(codec="utf-8"), max_size=9), st.floats(allow_nan=False))
    )
)
def test_any_text_and_number_comes_back(rows):
    """The csv module reads what was written, but for the mark before a formula."""
    text = table([{"path": name, "score": score} for name, score in rows])
    found = list(csv.reader(io.StringIO(text, newline="")))[1:]
    assert [(name.removeprefix("'"), float(score)) for name, score in found] == [
        (name.removeprefix("'"), score) for name, score in rows
    ]


def test_pandas_reads_it():
    """With the option that takes bytes as they are."""
    names = [
        name for name in NAMES if "\r" not in name
    ]  # its fast parser ends lines there, quoted or not
    text = table([{"path": Path(name), "score": 0.5} for name in names])
    data = io.BytesIO(text.encode("utf-8", "surrogateescape"))
    frame = pd.read_csv(data, encoding_errors="surrogateescape", skipinitialspace=False)
    assert [Path(path) for path in frame["path"]] == list(map(Path, names))

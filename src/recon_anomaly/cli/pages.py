"""How the results of ``recon-anomaly bench`` are laid out: drawn on a terminal, else in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table as RichTable
from rich.text import Text

from recon_anomaly.report import Table, markdown

__all__ = ["page", "show"]

WIDE = 112
"""Columns of a terminal from which on an interval fits on one line."""

_TEXTS = ("data set", "model", "scorer", "schedule", "rule")
_BREAKS = {"precision": "preci-\nsion", "(sensitivity)": "(sensi-\ntivity)"} | {
    "specificity": "speci-\nficity",
    "threshold": "thresh-\nold",
    "ms/picture": "ms/\npicture",
}


def page(notes: Sequence[str], tables: Sequence[Table], ways: Sequence[str]) -> str:
    """Return one Markdown page: what to know first, the tables, how to read them."""
    return "\n\n".join([*notes, *map(markdown, tables), *ways]) + "\n"


def show(notes: Sequence[str], tables: Sequence[Table], ways: Sequence[str]) -> None:
    """Print the page, with drawn tables on a terminal."""
    console = Console()
    if not console.is_terminal:
        print(page(notes, tables, ways), end="")
        return
    for note in notes:
        console.print(Text(note))
    for table in tables:
        table = _without_one_scorer(table)
        console.print()
        console.print(Text(table.title, style="italic"))
        console.print(_drawn(table, console.width))
        for note in table.notes:
            console.print(Text(note))
    console.print()
    for way in ways:
        console.print(Text(way))


def _without_one_scorer(table: Table) -> Table:
    """Return the table with its scorer in the title, where all rows have the same."""
    if "scorer" not in table.columns:
        return table
    place = table.columns.index("scorer")
    scorers = {row[place] for row in table.rows} - {""}  # the trivial row has none
    if len(scorers) != 1:
        return table
    return replace(
        table,
        title=f"{table.title}, {scorers.pop()}",
        columns=table.columns[:place] + table.columns[place + 1 :],
        rows=tuple(row[:place] + row[place + 1 :] for row in table.rows),
    )


def _drawn(table: Table, width: int) -> RichTable:
    """Return the table with its lines broken by hand, since rich would cut words before numbers."""
    drawn = RichTable(box=SIMPLE_HEAD, padding=0, show_edge=False)
    narrow = width < WIDE
    for column in table.columns:
        words = [_BREAKS.get(word, word) if narrow else word for word in column.split(" ")]
        side: JustifyMethod = "left" if column in _TEXTS else "right"
        drawn.add_column("\n".join(words), justify=side, overflow="fold")
    for row in table.rows:
        cells = [cell.replace(" (", "\n(").replace(" [", "\n[") for cell in row]
        if narrow:
            for space, line in {", ": ",\n", " / ": "\n", " ± ": "\n± "}.items():
                cells = [cell.replace(space, line) for cell in cells]
        drawn.add_row(*map(Text, (cells[0].replace("-", "-\n"), *cells[1:])))
    return drawn

"""How well anomaly maps show where a picture is defective: figures over pixels, in a table of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .cells import Table, with_interval
from .pixelmetrics import LIMIT, PIXEL

__all__ = ["pixels_table"]

_Record = Mapping[str, Any]


def pixels_table(
    title: str, heads: Sequence[str], rows: Mapping[tuple[str, ...], Sequence[_Record]]
) -> Table | None:
    """Return the figures over the pixels of the pictures with masks; None where no record has any.

    Parameters
    ----------
    title : str
        Stands after "Pixels: ".
    heads : sequence of str
        The names of the first columns; the first as many texts of a row's key stand in them.
    rows : mapping of tuple of str to sequence of mapping
        The records of each row, one a seed, all of one test set. Rows without figures of pixels are left out.
    """
    cells = []
    counts: set[int] = set()
    for row, records in rows.items():
        known = [record for record in records if record.get(PIXEL[0]) is not None]
        if known:
            figures = (
                with_interval([r[name] for r in known], [r["intervals"].get(name) for r in known])
                for name in PIXEL
            )
            cells.append((*row[: len(heads)], *figures))
            counts |= {int(record["pixel_pictures"]) for record in known}
    if not cells:
        return None
    columns = (*heads, "pixel AUROC", "pixel average precision", "AUPRO")
    note = (
        f"over the {'/'.join(map(str, sorted(counts)))} test pictures that are good or have a mask; AUPRO is the mean "
        f"overlap of defective regions up to a false positive rate of {LIMIT:g}, divided by it"
    )
    return Table(f"Pixels: {title}", columns, tuple(cells), (note,))

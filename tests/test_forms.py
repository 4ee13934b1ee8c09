"""Forms of plain values: what passes, what is refused, and how it is named."""

from __future__ import annotations

import pytest

from recon_anomaly.errors import InputError
from recon_anomaly.forms import FINITE, PLAIN, check_form

DEEP: list = []
for _ in range(20_000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (3, int),
        (3, float),
        (float("inf"), float),
        (2**63, int),
        (None, (int, None)),
        ((1, "a"), [int, str]),
        ([], [int]),
        ({"a": 1, "b": 2.5}, {str: FINITE}),
        ({"a": 1, "other": DEEP}, {"a": int, "b?": str}),
        ({"a": [1, None, {"b": "c"}], "d": True}, PLAIN),
        (True, bool),
    ],
)
def test_what_has_its_form_passes(value, form):
    """Whole numbers are numbers, tuples are lists, entries beside the wanted ones are nobody's business."""
    check_form(value, form)


@pytest.mark.parametrize(
    ("value", "form", "message"),
    [
        (True, int, "it is True; a whole number is wanted"),
        (3.0, int, "it is 3.0; a whole number"),
        (10**30, float, "a number is wanted"),
        (float("nan"), FINITE, "it is nan; a finite number is wanted"),
        ("3", float, "it is '3'; a number is wanted"),
        ([1, 2, 3], [int, int], "it has 3 entries; 2 are wanted"),
        ([1, "a"], [int], r"it\[1\] is 'a'"),
        (3, [int], "it is 3; a list is wanted"),
        ([], {"a": int}, r"it is \[\]; a table is wanted"),
        ({}, {"a": int}, "it has no entry 'a'"),
        ({"a": None}, {"a": int}, r"it\.a is None"),
        ({"b": 3}, {"b?": str}, r"it\.b is 3; a text"),
        ({1: 2}, {str: int}, "it has an entry 1; its names are texts"),
        ({"a": [0.5]}, {"a": ([int], None)}, r"it\.a\[0\] is 0.5; a whole number"),
        (DEEP, PLAIN, "it is a list; a plain value is wanted"),
        ({"a": DEEP}, {str: str}, r"it\.a is a list; a text is wanted"),
        ("x" * 10_000, int, "^.{0,120}$"),
    ],
)
def test_what_has_another_form_is_named(value, form, message):
    """The first part that is wrong, what it is, in few words, and what is wanted; however deep it is nested."""
    with pytest.raises(InputError, match=message):
        check_form(value, form)

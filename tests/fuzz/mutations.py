"""Seeded damage: to bytes, and to values as JSON and pickles hold them."""

from __future__ import annotations

import copy
import struct

NUMBERS = (0, 1, -1, 2, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def damaged(content, rng):
    """Return ``content`` with one to four places changed, as transfer, disks or malice would."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        rng.choice(_DAMAGES)(data, rng)
    return bytes(data)


def _flip(data, rng):
    for _ in range(rng.choice((1, 1, 2, 8))):
        if data:
            data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _set_byte(data, rng):
    if data:
        data[_place(data, rng)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _set_number(data, rng):
    """Set a field of 2, 4 or 8 bytes, of either order, to a number that is at an edge."""
    kind = rng.choice("HIQ")
    field = struct.pack(
        rng.choice("<>") + kind, rng.choice(NUMBERS) % 2 ** (8 * struct.calcsize(f"<{kind}"))
    )
    place = _place(data, rng) if data else 0
    data[place : place + len(field)] = field


def _cut(data, rng):
    del data[rng.choice((_place(data, rng) if data else 0, rng.randrange(len(data) + 1))) :]


def _remove(data, rng):
    place = _place(data, rng) if data else 0
    del data[place : place + rng.choice((1, 2, 4, 16, 200))]


def _insert(data, rng):
    place = _place(data, rng) if data else 0
    data[place:place] = rng.randbytes(rng.choice((1, 2, 4, 64))) * rng.choice((1, 1, 50))


def _copy_block(data, rng):
    if data:
        start, length = rng.randrange(len(data)), rng.choice((1, 4, 16, 300))
        place = _place(data, rng)
        data[place : place + rng.choice((0, length))] = data[start : start + length]


_DAMAGES = (_flip, _flip, _set_byte, _set_number, _set_number, _cut, _remove, _insert, _copy_block)


def _place(data, rng):
    """Return a position: every second time among the first bytes, where headers are."""
    return rng.randrange(min(len(data), 128) if rng.random() < 0.5 else len(data))


def edited(value, rng):
    """Return a copy of nested dicts and lists with one to three entries changed, removed or added."""
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        owners = list(_owners(value))
        if not owners:
            return _strange(rng)
        owner = rng.choice(owners)
        keys = list(owner) if isinstance(owner, dict) else range(len(owner))
        key = rng.choice(list(keys))
        change = rng.randrange(10)
        if change == 0:
            del owner[key]
        elif change == 1 and isinstance(owner, dict):
            owner[rng.choice(("", "a", "weights", "__class__", f"{key}x"))] = owner.pop(key)
        elif change == 2 and isinstance(owner, list):
            owner[:] = owner * rng.choice((0, 2, 300))
        elif change == 3:
            owner[key] = owner[rng.choice(list(keys))]
        elif (
            change in (4, 5)
            and isinstance(owner[key], int | float)
            and not isinstance(owner[key], bool)
        ):
            owner[key] = _turned(owner[key], rng)
        else:
            owner[key] = _strange(rng)
    return value


def _owners(value):
    waiting = [value]  # no recursion, since an edit before may have made it deep
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict | list) and value:
            yield value
            waiting += value.values() if isinstance(value, dict) else value


def _turned(number, rng):
    by = rng.choice((-1, 0, 2, 1000, 2**20, 2**40))
    try:
        return rng.choice((number * by, number + by, -number, float(number), int(number)))
    except (OverflowError, ValueError):  # of NaN and infinity
        return by


def _strange(rng):
    deep = []
    for _ in range(rng.choice((5, 900, 50_000))):
        deep = [deep]
    return rng.choice(
        (
            None,
            True,
            False,
            rng.choice(NUMBERS),
            -rng.choice(NUMBERS),
            10**400,
            0.5,
            -1e308,
            float("nan"),
            float("inf"),
            "",
            "x" * rng.choice((1, 3000)),
            "builtin:pca",
            "os:system",
            "../../a.pth",
            "\ud800\x00",
            [],
            {},
            [[]],
            {"": {}},
            [rng.choice(NUMBERS) for _ in range(rng.choice((1, 3, 3000)))],
            ["a", None, {"b": []}],
            deep,
        )
    )

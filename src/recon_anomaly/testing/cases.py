"""What the checks are run on: pictures of one shape, type and number, and scores with labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from recon_anomaly.errors import InputError
from recon_anomaly.images import measure_range

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["CASES", "Case", "cases", "scores_and_labels"]

_DTYPES = ("float32", "uint8", "uint16", "float64")
_CONTENTS = ("noise", "alike", "black")


@dataclass(frozen=True)
class Case:
    """Pictures of one shape, type and number, the same ones each time.

    Attributes
    ----------
    height, width, channels : int
        Of each picture; the channels are 1 or 3.
    dtype : str
        "uint8", "uint16" (both over their full range), "float32" or "float64" (in [0, 1]).
    count : int
        How many pictures there are.
    batch_size : int
        How many of them are given to a network at once.
    content : str
        "noise"; "alike" (all pictures are one picture of noise); or "black".
    seed : int
        Of the noise.

    Raises
    ------
    InputError
        For other values.

    Examples
    --------
    >>> case = Case(4, 6, 3, dtype="uint8", count=5)
    >>> case.pictures().shape, case.images().shape
    ((5, 4, 6, 3), torch.Size([5, 3, 4, 6]))
    """

    height: int
    width: int
    channels: int
    dtype: str = "float32"
    count: int = 6
    batch_size: int = 1
    content: str = "noise"
    seed: int = 3

    def __post_init__(self) -> None:
        least = min(self.height, self.width, self.count, self.batch_size)
        if least < 1 or self.channels not in (1, 3):
            raise InputError(
                f"{self}: sides, count and batch_size of at least 1, and 1 or 3 channels are wanted"
            )
        if self.dtype not in _DTYPES or self.content not in _CONTENTS:
            raise InputError(f"{self}: one of {_DTYPES} and one of {_CONTENTS} are wanted")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return self.height, self.width, self.channels

    def pictures(self) -> np.ndarray:
        """Return them as a detector takes them: (count, height, width, channels) of the type."""
        rng = np.random.default_rng(self.seed)
        shape = (self.count, *self.shape)
        dtype = np.dtype(self.dtype)
        if dtype.kind == "u":
            noise = rng.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)
        else:
            noise = rng.random(shape).astype(dtype)
        if self.content == "noise":
            return noise
        return noise[:1].repeat(self.count, 0) if self.content == "alike" else np.zeros_like(noise)

    def images(self) -> Tensor:
        """Return them as networks take them: float32 (count, channels, height, width) in [0, 1]."""
        pictures = self.pictures()
        scaled = (pictures / measure_range(pictures).high).astype(np.float32)
        return torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy())

    def batches(self) -> Iterator[Tensor]:
        """Give the images ``batch_size`` at a time, the last batch maybe smaller."""
        yield from torch.split(self.images(), self.batch_size)


CASES = (Case(16, 16, 1), Case(13, 9, 3, "uint8", batch_size=4), Case(1, 1, 1))
"""What a check is run on that is given no case: an odd shape and a single pixel among them."""


def cases(largest: int = 24) -> SearchStrategy[Case]:
    """Return a hypothesis strategy of cases: shapes, channels, types, numbers and batch sizes.

    Parameters
    ----------
    largest : int
        Height and width in pixels at most; the least is 1.

    Raises
    ------
    InputError
        Without hypothesis, which ``pip install hypothesis`` brings.

    Examples
    --------
    Laws for every case, and the smallest one that breaks them where there is one:

    >>> from hypothesis import given, settings
    >>> @settings(max_examples=3, deadline=None, database=None)
    ... @given(cases(largest=8))
    ... def test_my_scorer(case):
    ...     check_scorer("mse", case=case)
    >>> from recon_anomaly.testing import check_scorer
    >>> test_my_scorer()
    """
    draw = _strategies()
    sides = draw.integers(1, largest)
    return draw.builds(  # type: ignore[no-any-return]  # hypothesis need not be installed
        Case,
        height=sides,
        width=sides,
        channels=draw.sampled_from([1, 3]),
        dtype=draw.sampled_from(_DTYPES),
        count=draw.integers(4, 9),
        batch_size=draw.integers(1, 9),
        content=draw.sampled_from(_CONTENTS),
        seed=draw.integers(0, 2**32 - 1),
    )


def scores_and_labels(most: int = 60) -> SearchStrategy[tuple[np.ndarray, np.ndarray]]:
    """Return a hypothesis strategy of anomaly scores and which of them are anomalous, for `check_threshold`.

    Ties, scores of both signs, single good ones and huge ones are among them; at least one is good, and one anomalous.

    Parameters
    ----------
    most : int
        How many scores at most; the least is 2.

    Raises
    ------
    InputError
        Without hypothesis, which ``pip install hypothesis`` brings.

    Examples
    --------
    >>> from hypothesis import given, settings
    >>> @settings(max_examples=3, deadline=None, database=None)
    ... @given(scores_and_labels(most=10))
    ... def test_my_rule(found):
    ...     scores, anomalous = found
    ...     assert len(scores) == len(anomalous) <= 10
    ...     assert anomalous.any() and not anomalous.all()
    >>> test_my_rule()
    """
    draw = _strategies()
    score = draw.one_of(
        # Eighths: sums and differences of them are exact, and they tie.
        draw.integers(-64, 64).map(lambda whole: whole / 8),
        draw.floats(-1e12, 1e12, allow_subnormal=False),
    )
    good = draw.lists(score, min_size=1, max_size=most - 1)

    def with_anomalous(good: list[float]) -> Any:
        anomalous = draw.lists(score, min_size=1, max_size=most - len(good))
        return anomalous.map(lambda others: _labelled(good, others))

    return good.flatmap(with_anomalous)  # type: ignore[no-any-return]  # hypothesis need not be installed


def _labelled(good: list[float], anomalous: list[float]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(good + anomalous), np.repeat([False, True], [len(good), len(anomalous)])


def _strategies() -> Any:
    try:
        from hypothesis import strategies
    except ImportError as error:
        raise InputError(
            f"drawing cases needs hypothesis, which cannot be imported ({error}); install it with: pip install hypothesis"
        ) from error
    return strategies

"""Whether a process can run the trainings that another one has planned, found out before any of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .backbones import weights_checksums
from .devices import choose_device, choose_precision
from .errors import InputError
from .grid import Row
from .protocols import ImageShape
from .randomness import seeded
from .registry import build_network, find, load

if TYPE_CHECKING:
    from .jobs import Pool

__all__ = ["check_everywhere", "check_here", "precisions_here", "used_versions"]


def used_versions(rows: Sequence[Row], scorers: Sequence[str]) -> dict[tuple[str, str], str]:
    """Return the version of the package behind each (kind, name) that the trainings use.

    Raises
    ------
    InputError
        When one was registered by hand, so that another process could not find it.
    """
    names = [("scorer", scorer) for scorer in scorers]
    for row in rows:
        names.append(("model", row.model))
        names += [("schedule", name) for name in (row.schedule, *row.parts) if name is not None]
        names += [("corruptor", row.corruptor)] if row.corruptor is not None else []
    versions = {}
    for kind, name in names:
        offer = find(kind, name)
        if not offer.distribution:
            raise InputError(
                f"{kind} {name!r} was registered in this process only, so no other one can run it; offer "
                "it by an installed package, or leave jobs and dask out"
            )
        versions[kind, name] = offer.version
    return versions


def check_everywhere(
    workers: Pool, rows: Sequence[Row], scorers: Sequence[str], shape: ImageShape, device: str
) -> list[str | None]:
    """Find out whether every process can run the trainings, and all of them alike.

    Returns
    -------
    list of str or None
        As `precisions_here`, which are the same in all processes.

    Raises
    ------
    InputError, PluginError
        As `used_versions` and `check_here` say, and where "auto" is another precision in one process than in
        another: records would depend on where they were made.
    WorkerError
        As `Pool.everywhere` says.
    """
    versions = used_versions(rows, scorers)
    found = workers.everywhere(check_here, rows, versions, shape, device)
    (first, precisions), *others = found.items()
    for other, differing in others:
        for row, one, two in zip(rows, precisions, differing, strict=True):
            if one != two:
                raise InputError(
                    f"precision 'auto' is {one} for {row.model!r} on {first} and {two} on {other}, so records "
                    "would depend on where they were made; name one: precision='float32' "
                    "(--precision float32)"
                )
    return precisions


def precisions_here(rows: Sequence[Row], shape: ImageShape, device: str) -> list[str | None]:
    """Return the precision in which this process would train each row; None for a closed form.

    A network that turns out not to train in bfloat16 is trained in float32 after all.

    Parameters
    ----------
    rows : sequence of Row
        What will be trained.
    shape : (int, int, int)
        Of a picture.
    device : str
        As in `iter_bench`.

    Raises
    ------
    InputError
        When the device is missing, or does not know the precision that a row names.
    """
    chosen = choose_device(device)
    height, width, _ = shape
    found: list[str | None] = []
    for row in rows:
        precision = None
        if row.precision is not None:
            pixels = row.batch() * height * width
            precision = str(choose_precision(row.precision, chosen, pixels)).removeprefix("torch.")
        found.append(precision)
    return found


def check_here(
    rows: Sequence[Row], versions: dict[tuple[str, str], str], shape: ImageShape, device: str
) -> list[str | None]:
    """Find out before any training whether this process can run what another one has planned.

    Parameters
    ----------
    rows : sequence of Row
        What will be trained.
    versions : dict
        From `used_versions`, where the bench was started.
    shape : (int, int, int)
        Of a picture.
    device : str
        As in `iter_bench`.

    Returns
    -------
    list of str or None
        As `precisions_here`.

    Raises
    ------
    InputError
        When the device is missing or does not know a precision, a package has another version, or the
        frozen weights differ from those that the rows name.
    PluginError
        When a name is not known here.
    """
    precisions = precisions_here(rows, shape, device)
    for (kind, name), wanted in versions.items():
        offer = find(kind, name)
        if offer.version != wanted:
            raise InputError(
                f"{kind} {name!r} is of {offer.distribution} {offer.version} where it would be trained, "
                f"and of {wanted} where the bench was started; install the same version"
            )
    for row in rows:
        if row.weights:
            with seeded(choose_device("cpu"), 0):
                network = build_network(load("model", row.model), shape, row.model_params)
            if weights_checksums(network) != row.weights:
                raise InputError(
                    f"model {row.model!r} has other frozen weights where it would be trained than "
                    "where the bench was started; let RECON_ANOMALY_WEIGHTS name the same files"
                )
    return precisions

"""How a record's network was trained, as a tuple that tells trainings apart, and in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .cells import in_words
from .decisions import EVERYTHING_DEFECTIVE

__all__ = ["circumstances", "ended_early", "said", "size_of", "training", "way_of"]

_Record = Mapping[str, Any]


def circumstances(record: _Record) -> str:
    """Return in words how large the pictures were, and how the network was trained."""
    return ", ".join([size_of(record), *said(training(record))])


def training(record: _Record) -> tuple[str, ...] | None:
    """Return what decided a training beside model and seed, or None where no gradient was followed.

    Parameters
    ----------
    record : mapping
        Of a bench; the epochs are those of its recipe, as it was used, where it has one.

    Returns
    -------
    tuple of str or None
        The schedule with its parameters, the epochs, what spoiled the pictures if something did, and what was said of
        batch size and learning rate.

    Examples
    --------
    >>> record = {"model": "cae", "schedule": "constant", "schedule_params": {}, "epochs": 50}
    >>> training(record)
    ('constant', 'at most 50 epochs')
    """
    if record["schedule"] is None or record["model"] == EVERYTHING_DEFECTIVE:
        return None
    epochs = (record.get("recipe") or record)["epochs"]
    given = [
        f"{name.replace('_', ' ')} {record[name]:g}"
        for name in ("batch_size", "learning_rate")
        if record.get(name) is not None
    ]
    schedule = in_words(record["schedule"], record["schedule_params"])
    return (schedule, f"at most {epochs} epochs", *_denoising(record), *given)


def way_of(record: _Record) -> str:
    """Return schedule and corruptor with their parameters in words.

    Examples
    --------
    >>> record = {"schedule": "constant", "schedule_params": {}}
    >>> way_of(record | {"corruptor": "gaussian", "corruptor_params": {"std": 0.2}})
    'constant, denoising gaussian (std=0.2)'
    """
    return ", ".join([in_words(record["schedule"], record["schedule_params"]), *_denoising(record)])


def _denoising(record: _Record) -> list[str]:
    if record.get("corruptor") is None:
        return []
    return [f"denoising {in_words(record['corruptor'], record['corruptor_params'])}"]


def ended_early(record: _Record) -> str:
    """Return in words which seed's training ended before its time, and why; empty where it did not.

    Examples
    --------
    >>> ended_early({"seed": 1, "diverged": "the training loss term 'kl' became nan in epoch 7"})
    "seed 1: the training loss term 'kl' became nan in epoch 7; the last good weights were kept"
    """
    if not record.get("diverged"):
        return ""
    return f"seed {record['seed']}: {record['diverged']}; the last good weights were kept"


def said(way: tuple[str, ...] | None) -> list[str]:
    """Return what `training` gives as a title says it.

    Examples
    --------
    >>> said(("constant", "at most 50 epochs", "batch size 8"))
    ['at most 50 epochs', 'constant weights', 'batch size 8']
    """
    if way is None:
        return []
    schedule, epochs, *given = way
    return [epochs, f"{schedule} weights", *given]


def size_of(record: _Record) -> str:
    """Return in words how large the pictures were.

    Examples
    --------
    >>> size_of({"image_size": [64, 48]})
    '64x48 px'
    """
    height, width = record["image_size"]
    return f"{height}x{width} px"

"""Scores of picture files from a Dask cluster: every worker has the detector, and decodes its own files."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from .detector import BaseDetector
from .devices import choose_device
from .errors import InputError, PictureError
from .jobs import Pool, pool
from .reading import as_path
from .saving import from_bytes, to_bytes

__all__ = ["ScoredPaths", "score_on_cluster"]

LARGEST = 256
"""Files of a chunk at the most, unless a batch has more."""


class ScoredPaths(NamedTuple):
    """Some files in their order, and their anomaly scores, float64 of shape (n,)."""

    paths: tuple[Path, ...]
    scores: np.ndarray


@dataclass(frozen=True)
class _Judge:
    """A detector as a file's bytes, which any machine can load; and how to use it."""

    content: bytes
    checksum: str
    device: str
    skip: bool


class _Chunk(NamedTuple):
    number: int
    paths: tuple[Path, ...]


class _Found(NamedTuple):
    number: int
    scores: np.ndarray
    skipped: tuple[tuple[Path, str], ...]
    warned: tuple[Warning, ...]


# Of this process: one, the last that was asked for.
_LOADED: dict[tuple[str, str], BaseDetector] = {}


def score_on_cluster(
    cluster: str | Pool,
    detector: BaseDetector,
    paths: Iterable[str | os.PathLike[str]],
    *,
    device: str = "auto",
    skipped: list[tuple[Path, str]] | None = None,
) -> Generator[ScoredPaths, None, None]:
    """Score files on a Dask cluster, in the order given.

    The files are cut into chunks, which `FittedDetector.iter_files` scores in the same batches as it would
    all of them: a chunk is a multiple of the batch size, and the last one has no fewer. The scores are
    those of one process with one thread, and within 1e-6 relative those of any. The detector is sent to
    each worker once, its frozen weights included.

    Parameters
    ----------
    cluster : str or Pool
        Address of a scheduler, such as ``tcp://192.168.0.2:8786``; or what `recon_anomaly.jobs.pool` has opened.
    detector : fitted detector
        Here.
    paths : iterable of paths
        Files that the workers can read under the same absolute paths.
    device : str
        Of the workers: "auto" or a torch device's name.
    skipped : list, optional
        As in `FittedDetector.iter_files`.

    Raises
    ------
    PictureError
        For a file that cannot be used there, or where no file can.
    InputError
        When there are no paths, or the cluster cannot be reached, as `recon_anomaly.jobs.pool` says.
    WorkerError
        When a worker ended again and again before its chunk was done, or the cluster stops answering.
    """
    if isinstance(paths, str | os.PathLike):
        raise InputError(f"got one path, {paths}; give a list, or list_pictures(folder)")
    files = [as_path(path) for path in paths]
    if not files:
        raise InputError("no pictures were given; give at least one path")
    with pool(dask=cluster) if isinstance(cluster, str) else nullcontext(cluster) as workers:
        assert workers is not None
        workers.everywhere(choose_device, device)
        judge = _judge(detector, device, skipped is not None)
        chunks = _chunks(files, detector.recipe_["batch_size"], workers.jobs)
        unusable: list[tuple[Path, str]] = []
        with closing(_in_order(workers, judge, chunks)) as results:
            for chunk, found in zip(chunks, results, strict=True):
                for warning in found.warned:
                    warnings.warn(warning, stacklevel=2)
                reasons = dict(found.skipped)  # by the paths that were sent
                kept = tuple(path for path in chunk.paths if path.absolute() not in reasons)
                left_out = [
                    (path, reasons[path.absolute()])
                    for path in chunk.paths
                    if path.absolute() in reasons
                ]
                unusable += left_out
                if skipped is not None:
                    skipped += left_out
                if kept:
                    yield ScoredPaths(kept, found.scores)
    if len(unusable) == len(files):
        path, reason = unusable[0]
        raise PictureError(
            f"none of the {len(files)} pictures can be used; the first, {path}: {reason}", unusable
        )


def _chunks(paths: Sequence[Path], batch_size: int, workers: int) -> list[_Chunk]:
    """Cut the files into several chunks a worker, each a multiple of a batch."""
    share = min(LARGEST, -(-len(paths) // (4 * workers)))
    size = -(-share // batch_size) * batch_size
    starts = list(range(0, len(paths), size))
    if len(starts) > 1 and len(paths) - starts[-1] < batch_size:
        starts.pop()
    ends = [*starts[1:], len(paths)]
    return [
        _Chunk(number, tuple(paths[start:end]))
        for number, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]


def _in_order(
    workers: Pool, judge: _Judge, chunks: Sequence[_Chunk]
) -> Generator[_Found, None, None]:
    waiting: dict[int, _Found] = {}
    # A worker has a working folder of its own.
    sent = (_Chunk(chunk.number, tuple(map(Path.absolute, chunk.paths))) for chunk in chunks)
    wanted = 0
    with closing(workers.unordered(_score, judge, sent)) as results:
        for found in results:
            waiting[found.number] = found
            while wanted in waiting:
                yield waiting.pop(wanted)
                wanted += 1


def _score(judge: _Judge, chunk: _Chunk) -> _Found:
    detector = _loaded(judge)
    skipped: list[tuple[Path, str]] = []
    scores = [np.empty(0)]
    with warnings.catch_warnings(record=True) as caught:
        try:
            left_out = skipped if judge.skip else None
            files = detector.iter_files(chunk.paths, skipped=left_out, with_maps=False)
            scores += [part.scores for part in files]
        except PictureError as error:
            if not judge.skip or len(error.skipped) < len(chunk.paths):
                raise
            skipped = list(error.skipped)  # other chunks may have pictures
    warned = tuple(said.message for said in caught if isinstance(said.message, Warning))
    return _Found(chunk.number, np.concatenate(scores), tuple(skipped), warned)


def _loaded(judge: _Judge) -> BaseDetector:
    key = judge.checksum, judge.device
    if key not in _LOADED:
        detector = from_bytes(judge.content, device=judge.device)
        _LOADED.clear()
        _LOADED[key] = detector
    return _LOADED[key]


def _judge(detector: BaseDetector, device: str, skip: bool) -> _Judge:
    content = to_bytes(detector, self_contained=True)
    return _Judge(content, hashlib.sha256(content).hexdigest(), device, skip)

"""Scores of pictures that are cut: maps of tiles are put together, and the whole picture's is reduced."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from .batches import Batch, Batches, as_float
from .images import PixelRange
from .protocols import Network, Scorer
from .reductions import reduce_map, reduction_of
from .scoring import check_finite, exact, maps_and_terms, reusing, score_batches
from .store import Pictures
from .tiledpictures import CutPicture, TiledPictures

__all__ = ["ScoredPicture", "TileJudge", "scores_and_peaks"]


class ScoredPicture(NamedTuple):
    """What became of one picture.

    Attributes
    ----------
    score : float
        The higher, the more abnormal.
    peak : float
        The largest value in its map, of the pixels that are looked at.
    map : ndarray of shape (h, w), float32, or None
        Where it was asked for: at the picture's own size, 0 where nothing is looked at.
    """

    score: float
    peak: float
    map: NDArray[np.float32] | None


@dataclass(frozen=True)
class TileJudge:
    """Scores pictures by their tiles.

    The scorer's map of each tile is brought to the tile's own size, and those of all tiles are blended. Of this
    one map the scorer's reduction is taken, of the pixels that are looked at alone: a mean, a sum or a maximum
    band by band, so that no more than a row of tiles is held; a scorer's own ``reduce`` gets the whole map, or with a mask
    of pixels their values in one row. Terms that no pixel owns are averaged over the tiles, each by its portion
    of the pixels; where the score is a sum, so is the term: it counts for as many tiles as the picture is large.

    Attributes
    ----------
    network, scorer
        Fitted ones.
    noise : Tensor of shape (L, latent_size), or None
        The latent draws, where the scorer asks for any.
    batch_size : int
        Tiles a batch, of one picture.
    device : torch.device
        Where the network is.
    """

    network: Network
    scorer: Scorer
    noise: Tensor | None
    batch_size: int
    device: torch.device

    def score(
        self, picture: CutPicture, pixel_range: PixelRange, *, with_map: bool = False
    ) -> ScoredPicture:
        """Return score, peak, and the map if it is wanted.

        Raises
        ------
        InputError
            When the score or the map is NaN or infinite, or the scorer breaks its contract.
        """
        grid = picture.grid
        left, top, width, height = grid.box
        name = reduction_of(self.scorer)
        by_bands = name in ("mean", "sum", "max")
        whole = np.zeros(grid.size, np.float32) if with_map or not by_bands else None
        terms: list[float] = []
        parts: list[tuple[float, int]] = []
        peaks: list[float] = []
        done = 0
        for band in grid.bands(self._maps(picture, pixel_range, terms)):
            rows = slice(done, done + len(band))
            done += len(band)
            if whole is not None:
                whole[top : top + height, left : left + width][rows] = band
            values = band if grid.mask is None else band[grid.mask[rows]][None]
            if values.size:
                peaks.append(float(values.max()))
                if by_bands:
                    parts.append((self._reduced(values), values.size))
        if whole is not None and not by_bands:
            box = whole[top : top + height, left : left + width]
            parts.append((self._reduced(box if grid.mask is None else box[grid.mask][None]), 1))
        score = _together(name, parts)
        if terms:
            size = grid.looked_at / (grid.tile[0] * grid.tile[1]) if name == "sum" else 1.0
            score += size * float(grid.portions() @ np.array(terms))
        peak = float(np.max(peaks))  # Python's max passes over NaN
        check_finite(np.array([score, peak]))
        return ScoredPicture(score, peak, whole if with_map else None)

    def _maps(
        self, picture: CutPicture, pixel_range: PixelRange, terms: list[float]
    ) -> Iterator[NDArray[np.float32]]:
        """Give the map of each tile at the tile's own size, and add its term to the list, if it has one."""
        tile = picture.grid.tile
        for batch in reusing(self._batches(picture, pixel_range)):
            with exact():
                maps, added = maps_and_terms(self.network, self.scorer, batch.images, self.noise)
                if maps.shape[1:] != tile:
                    if reduction_of(self.scorer) == "sum":
                        maps = maps * (maps[0].numel() / (tile[0] * tile[1]))
                    shrinks = maps.shape[1] > tile[0] or maps.shape[2] > tile[1]
                    maps = F.interpolate(
                        maps[:, None], tile, mode="bilinear", align_corners=False, antialias=shrinks
                    )[:, 0]
                if added is not None:
                    terms += added[batch.repeated :].double().tolist()
                found = maps[batch.repeated :].cpu().numpy()
            yield from found

    def _batches(self, picture: CutPicture, pixel_range: PixelRange) -> Iterator[Batch]:
        """Give the batches of one size that `Batches.full` would make of the tiles, were they in a store."""
        count = len(picture.grid)
        for start in range(0, count, self.batch_size):
            begin = max(0, min(start, count - self.batch_size))
            tiles = picture.tiles(range(begin, min(start + self.batch_size, count)))
            images = as_float(tiles, pixel_range, self.device)
            yield Batch(images, images, repeated=start - begin)

    def _reduced(self, values: NDArray[np.float32]) -> float:
        return float(reduce_map(self.scorer, torch.from_numpy(values)[None]))


def _together(name: str | None, parts: list[tuple[float, int]]) -> float:
    """Return the reduction of a map by those of its bands, each with its number of pixels."""
    found, counts = zip(*parts, strict=True)
    if len(found) == 1:  # of one row of tiles: the very number that a whole map gives
        return float(found[0])
    if name == "mean":
        return float(np.average(found, weights=counts))
    return float(np.max(found) if name == "max" else sum(found))


def scores_and_peaks(
    network: Network,
    scorer: Scorer,
    noise: Tensor | None,
    pictures: Pictures | TiledPictures,
    batches: Batches,
) -> Iterator[tuple[list[float], list[float]]]:
    """Give, of a store of pictures or of their tiles, the scores and the largest values in the maps, some at a time.

    Parameters
    ----------
    network, scorer, noise
        As of `TileJudge`.
    pictures : Pictures or TiledPictures
        What is scored.
    batches : Batches
        Of them, or of their tiles.
    """
    if isinstance(pictures, TiledPictures):
        judge = TileJudge(network, scorer, noise, batches.batch_size, batches.device)
        for picture in pictures:
            one = judge.score(picture, batches.pixel_range)
            yield [one.score], [one.peak]
        return
    for scores, maps in score_batches(network, scorer, batches.full(), noise):
        yield scores.tolist(), maps.max((1, 2)).tolist()

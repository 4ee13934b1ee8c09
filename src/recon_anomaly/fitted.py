"""What a fitted detector does: scores, maps, decisions, thresholds, files."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import sklearn.exceptions
import torch
from sklearn.base import BaseEstimator, OutlierMixin
from sklearn.utils.validation import check_is_fitted

from .batches import Batch, Batches
from .calibration import unseen_scores
from .conformal import p_values
from .devices import choose_device
from .distributed import ALONE
from .errors import CalibrationWarning, InputError, ReconAnomalyError, SavedFileError
from .images import PixelRange, range_for
from .inputs import read_anomalous, read_input
from .pictures import named_files
from .protocols import ImageShape
from .registry import build
from .scoring import (
    exact,
    fit_scorer,
    make_noise,
    reconstruct,
    reusing,
    score_all,
    score_batches,
    uses_of,
)
from .streams import PictureStream
from .thresholds import check_rule, find_threshold
from .tiledinputs import iter_tiled
from .tiledpictures import CutPicture, Stored, iter_cut, tiles_of
from .tiledscoring import ScoredPicture, TileJudge, scores_and_peaks
from .tiles import Tiling

if TYPE_CHECKING:
    from .export import Exported
    from .regions import Located

__all__ = ["FittedDetector", "NotFittedError", "ScoredFiles"]


class NotFittedError(ReconAnomalyError, sklearn.exceptions.NotFittedError):  # type: ignore[misc]  # scikit-learn is untyped
    """The detector was asked for something before ``fit``."""


class ScoredFiles(NamedTuple):
    """What `FittedDetector.iter_files` gives of a batch.

    Attributes
    ----------
    paths : tuple of Path
        The files.
    pixels : ndarray of shape (n, h, w, c), uint8 or uint16
        Their pixels, as they were scored; of a detector with ``tile`` or ``roi`` the whole picture's.
    scores : ndarray of shape (n,), float64
        The higher, the more abnormal.
    maps : ndarray of shape (n, h, w), float32
        The anomaly maps.
    sizes : tuple of (int, int)
        Height and width of each picture in its file, upright as its EXIF orientation says.
    """

    paths: tuple[Path, ...]
    pixels: np.ndarray
    scores: np.ndarray
    maps: np.ndarray
    sizes: tuple[tuple[int, int], ...]


class FittedDetector(OutlierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn is untyped
    """Everything that a detector does after ``fit``; `BaseDetector` adds the fitting."""

    device: str
    max_pixels: int | None
    recipe_: dict[str, Any]
    image_shape_: ImageShape
    pixel_range_: PixelRange
    calibration_scores_: np.ndarray
    map_peaks_: np.ndarray
    training_hashes_: np.ndarray
    tiling_: Tiling | None = None
    _ranks = ALONE  # the processes that fitted it together

    # Scoring -----------------------------------------------------------------------------------

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each picture is, float64 (n,). The lower, the more abnormal."""
        return -self.anomaly_score(X)

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return the scorer's own score of each picture, float64 (n,). The higher, the more abnormal.

        Files are scored as they are decoded: a folder of any size takes the memory of a few batches.
        """
        self._check_fitted()
        if self.tiling_ is not None:
            with closing(self._cut(X)) as pictures:
                # A comprehension would hold each picture while the next one is waited for.
                return np.array([scored.score for scored in map(self._score_cut, pictures)])
        with closing(self._full_batches(X)) as batches:
            return score_all(self.network_, self.scorer_, batches, self.noise_)

    def anomaly_map(self, X: Any) -> np.ndarray:
        """Return the anomaly maps, float32 (n, h, w), at the pictures' size. Higher is more abnormal.

        With ``tile`` or ``roi`` that is the original size, which must then be one: `iter_scores` gives maps of pictures that
        differ. Where nothing is looked at they are 0.
        """
        found = [maps for _, maps in self.iter_scores(X)]
        if len({maps.shape[1:] for maps in found}) > 1:
            raise InputError(
                "the pictures differ in size, and so do their maps, which one array cannot hold; iter_scores gives one after "
                "the other"
            )
        return np.concatenate(found)

    def iter_scores(self, X: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Give, batch by batch, the anomaly scores (n,) and the very maps (n, h, w) they come from.

        With ``tile`` or ``roi`` a batch is one picture. A file that cannot be used is an error when its turn comes;
        `iter_files` can leave it out.
        """
        self._check_fitted()
        if self.tiling_ is not None:
            with closing(self._cut(X)) as pictures:
                for picture in pictures:
                    scored = _as_batch(self._score_cut(picture, with_map=True))
                    del picture  # else it would live on while the next one is waited for
                    yield scored
                    del scored
            return
        with closing(self._full_batches(X)) as batches:
            yield from score_batches(self.network_, self.scorer_, batches, self.noise_)

    def iter_files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        *,
        skipped: list[tuple[Path, str]] | None = None,
        with_maps: bool = True,
    ) -> Iterator[ScoredFiles]:
        """Score picture files as they are decoded, giving a `ScoredFiles` after each batch.

        The next batch is decoded while one is scored. What is held does not grow with the number of
        files: see `recon_anomaly.streams.PictureStream`.

        Parameters
        ----------
        paths : iterable of paths
            The files.
        skipped : list, optional
            Takes up (path, reason) for each file that cannot be used, which is then left out; without a
            list it is an error when its turn comes.
        with_maps : bool
            Whether maps are wanted; else they have the shape (n, 0, 0), and of a picture in tiles none is made.

        Raises
        ------
        PictureError
            For a file that cannot be used, or where no file can.
        InputError
            When the files do not fit together, or not to what the detector was fitted on.
        """
        self._check_fitted()
        if self.tiling_ is not None:
            with closing(self._cut_files(paths, skipped)) as pictures:
                for picture in pictures:
                    assert picture.pixels is not None
                    assert picture.path is not None
                    scored = _as_batch(self._score_cut(picture, with_map=with_maps))
                    path, pixels, size = picture.path, picture.pixels[None], picture.grid.size
                    found = ScoredFiles((path,), pixels, *scored, (size,))
                    del picture, pixels, scored  # else they would live on with the next one
                    yield found
                    del found
            return
        with closing(iter(self._stream(paths, skipped))) as stream:
            for part in reusing(stream):
                batches = score_batches(self.network_, self.scorer_, [part.batch], self.noise_)
                scores, maps = next(batches)
                maps = maps if with_maps else maps[:, :0, :0]
                yield ScoredFiles(part.paths, part.pixels, scores, maps, part.sizes)

    def regions(
        self,
        X: Any,
        *,
        threshold: float | None = None,
        false_alarm: float = 0.05,
        least_area: float = 0,
        every_picture: bool = False,
    ) -> list[Located]:
        """Return where each picture is anomalous: connected regions of its anomaly map, the highest first.

        Boxes, areas and outlines are in pixels of the picture file: see `recon_anomaly.regions.Region`.

        Parameters
        ----------
        X : array, folder or list of paths
            The pictures. Of an array, or a store of pictures, regions are in its own pixels.
        threshold : float, optional
            A pixel belongs to a region where its map exceeds this. By default a share ``false_alarm`` of the
            good validation pictures of ``fit`` has such a pixel, see `recon_anomaly.locating.pixel_threshold`.
        false_alarm : float
            In [0, 1); without effect where a threshold is given.
        least_area : float
            Pixels of the picture file; smaller regions are left out.
        every_picture : bool
            Whether pictures that ``predict`` calls good are looked at, too.

        Returns
        -------
        list of Located
            One a picture, in the order of X.

        Raises
        ------
        InputError
            When pictures or parameters cannot be used.
        """
        from .locating import Limits, iter_located

        limits = Limits.of(self, threshold, false_alarm, least_area)
        return list(iter_located(self, X, limits, every_picture=every_picture))

    def decision_function(self, X: Any) -> np.ndarray:
        """Return ``score_samples(X) - offset_``, float64 (n,). Negative is anomalous."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return +1 for good and -1 for anomalous pictures, int (n,)."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def p_value(self, X: Any) -> np.ndarray:
        """Return the conformal p-value of each picture, float64 (n,). The lower, the more abnormal.

        It is (1 + #{calibration scores >= its score}) / (n + 1), where the calibration scores are those of the n
        good pictures that the detector was last calibrated on. A new good picture, exchangeable with them,
        has one of at most t with a probability of at most t. ``fit`` calibrates on its validation pictures, for
        which that is slightly optimistic where they chose the epoch that was kept or taught the scorer;
        ``calibrate`` takes others. See `recon_anomaly.conformal`, whose `discoveries` decides on a batch.
        """
        return p_values(self.anomaly_score(X), self.calibration_scores_)

    def reconstruct(self, X: Any) -> np.ndarray:
        """Return the reconstructions, float32 (n, h, w, c), in the pixel unit of ``X``.

        Raises
        ------
        InputError
            When the model reconstructs something else than pictures, such as features or tiles.
        """
        self._check_fitted()
        if hasattr(self.network_, "target"):
            raise InputError(
                f"model {self._model()[0]!r} reconstructs features, not pictures; "
                "anomaly_map shows where it fails"
            )
        if self.tiling_ is not None:
            raise InputError(
                "with tile or roi parts of pictures are reconstructed, which are not put together; anomaly_map shows where "
                "that fails"
            )
        found = []
        batches = self._batches(X)
        low, high, _ = batches.pixel_range
        with exact():
            for images in batches:
                mean = reconstruct(self.network_, images).mean
                found.append((mean * (high - low) + low).permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(found)

    # Thresholds and scorers ---------------------------------------------------------------------

    def with_scorer(
        self, scorer: Any, X: Any, *, scorer_params: Mapping[str, Any] | None = None
    ) -> Self:
        """Return a detector with the same network and another scorer.

        One training can so be scored in every way.

        Parameters
        ----------
        scorer, scorer_params
            As the parameters of the same names.
        X : array, folder or list of paths
            Good pictures that were not trained on, since a detector does not keep its validation
            pictures: the scorer is fitted on them, if it learns, and the threshold is the 95 %
            quantile of their scores, whatever ``contamination`` was.
        """
        self._check_fitted()
        built, name = build("scorer", scorer, scorer_params)
        other = copy.copy(self)
        other.set_params(scorer=scorer, scorer_params=scorer_params)
        other.names_ = self.names_ | {"scorer": name}
        pictures = read_input(other, X, fitting=False)
        other._set_scorer(built, pictures, other._batches_of(pictures))
        return other.calibrate_on_validation()

    def calibrate(self, X: Any, y: Any = None, rule: str = "quantile", **params: float) -> Self:
        """Set the threshold anew, from pictures that were not trained on.

        Parameters
        ----------
        X : array, folder or list of paths
            As for ``fit``.
        y : array of +1 (good) and -1 (anomalous), optional
            Without it all pictures count as good.
        rule : {"quantile", "conformal", "peaks-over-threshold", "youden", "best-f1", "sensitivity", "value"}
            "quantile" lets a share ``false_alarm`` (0.05) of the good pictures through as false alarms;
            "conformal" guarantees ``false_alarm`` (0.05) for new good pictures;
            "peaks-over-threshold" extrapolates the ``tail`` (0.1) of the good pictures' scores to
            ``false_alarm`` (0.01); "value" takes ``threshold``, an anomaly score; the others need labels.
        **params : float
            Parameters of the rule.

        Returns
        -------
        self
            With the good pictures' scores as ``calibration_scores_``, if there are good pictures.

        Raises
        ------
        InputError
            When pictures were trained on: the message says how many, and names the first. When labels or
            parameters cannot be used. The threshold then stays as it was.

        Warns
        -----
        CalibrationWarning
            When "conformal" has too few good pictures; it says how many are needed.
        """
        self._check_fitted()
        check_rule(rule, **params)
        scores = unseen_scores(self, X)
        anomalous = None if y is None else read_anomalous(y, len(scores))
        return self._calibrate_by(scores, anomalous, rule, params)

    def calibrate_on_validation(self, rule: str = "quantile", **params: float) -> Self:
        """Set the threshold from the scores of the validation pictures of ``fit``, which are kept.

        Warns
        -----
        CalibrationWarning
            By rule "conformal": ``fit`` has looked at these pictures where they chose the epoch that was kept or taught
            the scorer, and the guarantee is that of pictures which nothing has looked at.
        """
        self._check_fitted("validation_scores_")
        if rule == "conformal" and (len(self.history_) or hasattr(self.scorer_, "fit")):
            warnings.warn(
                "the validation pictures chose the epoch that was kept or taught the scorer, so that rule 'conformal' promises "
                "less of them than it says; calibrate on good pictures that fit was not given",
                CalibrationWarning,
                stacklevel=2,
            )
        return self._calibrate_by(-self.validation_scores_, None, rule, params)

    # Files -------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike[str], *, self_contained: bool = False) -> None:
        """Write the fitted detector to one ``.safetensors`` file, whole or not at all.

        The frozen weights of a pretrained backbone are named by their checksum, and stored where
        ``self_contained`` is asked for.
        """
        from .saving import save

        save(self, path, self_contained=self_contained)

    def export_onnx(self, path: str | os.PathLike[str]) -> Exported:
        """Write one ONNX graph that does what this detector does, for runtimes without PyTorch.

        From integer pictures (n, h, w, c) to ``score``, ``map`` and ``anomalous``, checked in onnxruntime before it is
        put in place: `recon_anomaly.export.export_onnx` has all of it. Wants the extra ``onnx``.
        """
        from .export import export_onnx

        return export_onnx(self, path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str = "auto",
        weights: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Read a detector that ``save`` wrote; nothing in the file is imported or evaluated.

        ``weights`` is the file of frozen weights that the detector names, see `recon_anomaly.load`.
        """
        from .saving import load

        detector = load(path, device=device, weights=weights)
        if not isinstance(detector, cls):
            raise SavedFileError(
                f"{path} holds a {type(detector).__name__}, not a {cls.__name__}; recon_anomaly.load "
                "takes any"
            )
        return detector

    # Parts -------------------------------------------------------------------------------------

    def _calibrate_by(
        self,
        scores: np.ndarray,
        anomalous: np.ndarray | None,
        rule: str,
        params: Mapping[str, float],
    ) -> Self:
        self.offset_ = -find_threshold(rule, scores, anomalous, **params)
        self.threshold_rule_ = {"rule": rule, **params}
        good = scores if anomalous is None else scores[~anomalous]
        if len(good):
            self.calibration_scores_ = np.sort(good)
        return self

    def _as_saved(self) -> Any:
        """Return the detector that a file holds: this one, unless it stands for another."""
        return self

    def _model(self) -> tuple[Any, dict[str, Any]]:
        """Return the model, as a name or an object, and its parameters."""
        raise NotImplementedError  # each estimator has its own model; this class is not used alone

    def _set_scorer(self, scorer: Any, pictures: Stored, validation: Batches) -> None:
        """Fit ``scorer`` on the batches of the validation pictures, and keep their scores."""
        network = self.network_
        self.scorer_ = scorer
        self.noise_ = make_noise(network, scorer, self.seed_, validation.device)
        fit_scorer(scorer, network, validation.in_order, self.noise_, self.seed_)
        self.scorer_uses_ = uses_of(scorer, network)
        scores: list[float] = []
        peaks: list[float] = []
        for found in scores_and_peaks(network, scorer, self.noise_, pictures, validation):
            scores += found[0]  # numbers, for the reason that `score_all` has
            peaks += found[1]
        self.validation_scores_ = -np.array(scores)
        self.calibration_scores_ = np.sort(scores)
        self.map_peaks_ = np.sort(peaks)
        self.map_scale_ = max(peaks)

    def _check_fitted(self, attribute: str = "offset_") -> None:
        try:
            check_is_fitted(self, attribute)
        except sklearn.exceptions.NotFittedError as error:
            raise NotFittedError(str(error)) from error

    def _full_batches(self, X: Any) -> Generator[Batch, None, None]:
        """Give the batches of one size; of files as they are decoded, of all else from a store."""
        paths = named_files(X)
        if paths is None:
            yield from self._batches(X).full()
        else:
            with closing(iter(self._stream(paths))) as stream:
                for part in stream:
                    yield part.batch

    def _stream(
        self,
        paths: Iterable[str | os.PathLike[str]],
        skipped: list[tuple[Path, str]] | None = None,
    ) -> PictureStream:
        return PictureStream(
            paths,
            self.image_shape_,
            self.pixel_range_,
            self.recipe_["batch_size"],
            self._device(),
            skipped=skipped,
            max_pixels=self.max_pixels,
        )

    def _cut(
        self, X: Any, skipped: list[tuple[Path, str]] | None = None
    ) -> Generator[CutPicture, None, None]:
        return iter_tiled(self, X, skipped)

    def _cut_files(
        self, paths: Iterable[str | os.PathLike[str]], skipped: list[tuple[Path, str]] | None
    ) -> Generator[CutPicture, None, None]:
        assert self.tiling_ is not None
        channels = self.image_shape_[2]
        return iter_cut(paths, self.tiling_, channels, skipped=skipped, max_pixels=self.max_pixels)

    def _score_cut(self, picture: CutPicture, *, with_map: bool = False) -> ScoredPicture:
        judge = TileJudge(
            self.network_, self.scorer_, self.noise_, self.recipe_["batch_size"], self._device()
        )
        return judge.score(picture, range_for(picture, self.pixel_range_), with_map=with_map)

    def _batches(self, X: Any) -> Batches:
        return self._batches_of(read_input(self, X, fitting=False))

    def _batches_of(self, pictures: Stored) -> Batches:
        pictures = tiles_of(pictures)
        pixel_range = range_for(pictures, self.pixel_range_)
        return Batches(pictures, pixel_range, self.recipe_["batch_size"], self._device())

    def _device(self) -> torch.device:
        """Return where the network is; one without tensors is wherever it is asked to be."""
        for tensor in self.network_.state_dict().values():
            return torch.device(tensor.device)
        return choose_device(self.device)


def _as_batch(found: ScoredPicture) -> tuple[np.ndarray, np.ndarray]:
    anomaly_map = np.empty((0, 0), np.float32) if found.map is None else found.map
    return np.array([found.score]), anomaly_map[None]

"""Several scores in one, weighed without labels: on synthetic anomalies made of validation pictures."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from recon_anomaly.errors import InputError
from recon_anomaly.protocols import MapAndTerms, Pairs, Reconstruction
from recon_anomaly.reductions import maps_and_scores
from recon_anomaly.registry import build

__all__ = ["FusedScorer"]

_TINY = 1e-12


class FusedScorer:
    r"""Standardises the scores of several scorers by good validation pictures, and adds them with weights.

    .. math::

        \text{score} = \sum_k w_k \operatorname{arsinh} \frac{s_k - m_k}{d_k},
        \qquad w_k \ge 0, \quad \sum_k w_k = 1

    :math:`m_k` is the median of the score :math:`s_k` of the good validation pictures and :math:`d_k` 1.4826 times
    its median absolute deviation, which is the standard deviation of a normal distribution. The inverse hyperbolic
    sine is linear for small deviations and logarithmic for large ones, so that one score cannot outvote all others
    on a gross anomaly. The weights are a ridge regression, without negative weights, of +1 (anomalous) and -1 (good)
    on the standardised scores of the good pictures and of synthetic anomalies made of them
    (`recon_anomaly.spoiling`), good and anomalous ones counted alike. Where no score tells them apart all weights
    are equal. No label and no test picture takes part.

    The map is the weighted mean of the parts' maps, each less its mean and over its standard deviation on the good
    validation pictures. The score is not a reduction of it, but stands beside it as a term, which is computed on the CPU.

    Parameters
    ----------
    scorers : sequence of str
        Registered names, each once.
    scorer_params : mapping of str to mapping, optional
        Parameters of some of them, by name.

    Raises
    ------
    InputError
        When there are no scorers, a name stands twice, or parameters are given for another one; when one draws
        latents, or is fused itself.
    """

    learns_from_spoiled = True

    def __init__(
        self,
        scorers: Sequence[str] = ("mse", "top-k", "smoothed-maximum", "standardised"),
        scorer_params: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        listed = isinstance(scorers, Iterable) and not isinstance(scorers, str)
        self.names = tuple(scorers) if listed else ()
        params = {} if scorer_params is None else scorer_params
        if (
            not self.names
            or not all(isinstance(name, str) for name in self.names)
            or len(set(self.names)) < len(self.names)
            or not isinstance(params, Mapping)
            or set(params) - set(self.names)
        ):
            raise InputError(
                f"scorers={scorers!r}, scorer_params={scorer_params!r}: the names of one or more scorers are wanted, in a "
                "list, each once, and a mapping of parameters for these alone"
            )
        self.parts = [build("scorer", name, params.get(name))[0] for name in self.names]
        for name, part in zip(self.names, self.parts, strict=True):
            if getattr(part, "draws", 0) or getattr(part, "learns_from_spoiled", False):
                raise InputError(
                    f"{name} draws latents or learns from anomalies itself, and cannot be a part of fused; take others"
                )
        count = len(self.parts)
        self.centre, self.spread = _tensor(np.zeros(count)), _tensor(np.ones(count))
        self.map_mean, self.map_deviation = _tensor(np.zeros(count)), _tensor(np.ones(count))
        self.weights = _tensor(np.full(count, 1 / count))

    def fit(self, pairs: Pairs, spoiled: Pairs) -> None:
        """Fit the parts on good pairs, then scale and weigh them; both are iterated more than once."""
        for part in self.parts:
            if hasattr(part, "fit"):
                part.fit(pairs)
        good, sums = [], np.zeros((3, len(self.parts)))
        for target, reconstruction in pairs:
            found = [maps_and_scores(part, target, reconstruction) for part in self.parts]
            good.append(np.stack([scores.numpy() for _, scores in found], 1))
            for index, (maps, _) in enumerate(found):
                values = maps.cpu().double()
                sums[:, index] += maps.numel(), float(values.sum()), float(values.square().sum())
        scores = np.concatenate(good)
        count, first, second = sums
        mean = first / count
        deviation = np.sqrt(np.maximum(second / count - mean**2, 0))
        self.map_mean, self.map_deviation = _tensor(mean), _tensor(np.maximum(deviation, _TINY))
        centre = np.median(scores, 0)
        spread = 1.4826 * np.median(np.abs(scores - centre), 0)
        spread = np.where(
            spread > 0, spread, scores.std(0)
        )  # most are alike, or there is one picture
        self.centre = _tensor(centre)
        self.spread = _tensor(np.maximum(spread, _TINY + 1e-6 * np.abs(centre)))
        bad = np.concatenate(
            [
                np.stack([maps_and_scores(part, *pair)[1].numpy() for part in self.parts], 1)
                for pair in spoiled
            ]
        )
        self._weigh(scores, bad)

    def _weigh(self, good: np.ndarray, bad: np.ndarray) -> None:
        rows = self._standardised(torch.from_numpy(np.concatenate([good, bad]))).numpy()
        signs = np.repeat([-1.0, 1.0], [len(good), len(bad)])
        shares = np.repeat([0.5 / len(good), 0.5 / len(bad)], [len(good), len(bad)])
        found = Ridge(alpha=0.01, positive=True).fit(rows, signs, sample_weight=shares).coef_
        total = float(found.sum())
        self.weights = _tensor(found / total if total > 0 else np.full(len(found), 1 / len(found)))

    def _standardised(self, scores: Tensor) -> Tensor:
        deviations = (scores - self.centre) / self.spread
        size = deviations.abs()
        # The inverse hyperbolic sine in operations that other runtimes, too, have in float64.
        return deviations.sign() * (size + (size.square() + 1).sqrt()).log()

    def __call__(self, target: Tensor, reconstruction: Reconstruction) -> MapAndTerms:
        """Return the map (n, h, w) for the eye, and the score of each picture as its term."""
        found = [maps_and_scores(part, target, reconstruction) for part in self.parts]
        parts = [
            weight * (maps - mean) / deviation
            for weight, mean, deviation, (maps, _) in zip(
                self.weights, self.map_mean, self.map_deviation, found, strict=True
            )
        ]
        scores = torch.stack([scores for _, scores in found], 1)
        return MapAndTerms(
            torch.stack(parts).sum(0), (self._standardised(scores) @ self.weights).float()
        )

    def reduce(self, maps: Tensor) -> Tensor:
        """Return zeros: the terms are the whole score."""
        return torch.zeros(maps.shape[0], dtype=torch.float64)

    def exported(self) -> FusedScorer:
        """Return one of the parts that stand for its own in an exported graph."""
        other = copy.deepcopy(self)
        other.parts = [
            part.exported() if hasattr(part, "exported") else part for part in other.parts
        ]
        return other

    def describe(self, network: Any) -> dict[str, str]:
        """Say what each score weighs."""
        weights = dict(zip(self.names, self.weights.tolist(), strict=True))
        return {"weights": ", ".join(f"{name} {weight:.2f}" for name, weight in weights.items())}

    def state_dict(self) -> dict[str, Tensor]:
        """Return what was learned, that of the parts under their numbers."""
        return {name: getattr(self, name) for name in _STATE} | self._of_parts("state_dict")

    def frozen_state_dict(self) -> dict[str, Tensor]:
        """Return the frozen weights of the parts that have some."""
        return self._of_parts("frozen_state_dict")

    def _of_parts(self, what: str) -> dict[str, Tensor]:
        return {
            f"{index}.{name}": value
            for index, part in enumerate(self.parts)
            for name, value in getattr(part, what, dict)().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take back what ``state_dict`` gave."""
        for name in _STATE:
            setattr(self, name, state[name])
        for index, part in enumerate(self.parts):
            if hasattr(part, "load_state_dict"):
                own = f"{index}."
                part.load_state_dict(
                    {
                        name.removeprefix(own): value
                        for name, value in state.items()
                        if name.startswith(own)
                    }
                )


_STATE = ("centre", "spread", "map_mean", "map_deviation", "weights")


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, np.float64))

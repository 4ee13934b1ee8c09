"""From pictures through a network and a scorer to maps and scores: the laws that hold for every model."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .allocation import large_blocks_kept
from .batches import Batch
from .blocks import pad_to_stride
from .errors import InputError
from .protocols import Network, Reconstruction, Scorer
from .randomness import seeded
from .reductions import parts_of, reduce_map, reduction_of
from .spoiling import spoiled_batches

__all__ = [
    "anomaly_maps",
    "check_finite",
    "exact",
    "fit_scorer",
    "frozen_of",
    "make_noise",
    "maps_and_terms",
    "reconstruct",
    "reduce_map",
    "rehearse",
    "reusing",
    "score_all",
    "score_batches",
    "scored_pairs",
    "target_of",
    "uses_of",
]

_T = TypeVar("_T")


@contextmanager
def exact() -> Iterator[None]:
    """Compute in float32, without autocast, TF32 or gradients.

    Some of these settings are the process's own: only those are touched, and restored, that matter
    here and that stand otherwise. Where several threads are inside, the last one restores them, so that none
    computes by what another has put back.
    """
    with (
        torch.inference_mode(),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
        _EXACT,
    ):
        yield


class _ExactSettings:
    """Torch's settings while any thread computes exactly."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._restore: list[Callable[[], None]] = []

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            for get, put, value in _exact_settings():
                if (before := get()) != value:
                    self._restore.append(partial(put, before))
                    put(value)

    def __exit__(self, *failure: object) -> None:
        with self._lock:
            self._inside -= 1
            while not self._inside and self._restore:
                self._restore.pop()()


_EXACT = _ExactSettings()


def _exact_settings() -> list[tuple[Callable[[], Any], Callable[[Any], None], Any]]:
    """Return (get, put, value) of torch's settings that make float32 exact and repeatable."""

    def flag(owner: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
        return partial(getattr, owner, name), partial(setattr, owner, name)

    backends: Any = torch.backends
    cudnn, mkldnn = backends.cudnn, backends.mkldnn
    cuda = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch has no type here
    settings: list[Any] = []
    if cuda:
        settings += [(*flag(cudnn, "benchmark"), False), (*flag(cudnn, "deterministic"), True)]
    if hasattr(cudnn, "conv"):  # since torch 2.9; the older flags raise beside these
        parts = [mkldnn.conv, mkldnn.rnn, mkldnn.matmul]
        parts += [cudnn.conv, cudnn.rnn, backends.cuda.matmul] if cuda else []
        settings += [(*flag(part, "fp32_precision"), "ieee") for part in parts]
    else:
        precision = torch.get_float32_matmul_precision, torch.set_float32_matmul_precision
        settings += [(*precision, "highest"), (*flag(cudnn, "allow_tf32"), False)]
    return settings


def frozen_of(network: Any, images: Tensor) -> Tensor:
    """Return what the frozen part of ``network`` makes of ``images``, padded to its stride."""
    frozen: Tensor = network.frozen(pad_to_stride(images, _stride(network)))
    return frozen


def target_of(network: Network, images: Tensor, kept: Tensor | None = None) -> Tensor:
    """Return what ``network`` reconstructs of ``images``: its ``target``, or the images themselves.

    ``kept`` is what its frozen part made of them, if it is known.
    """
    if hasattr(network, "target"):
        known = {} if kept is None else {"kept": kept}
        target: Tensor = network.target(pad_to_stride(images, _stride(network)), **known)
        return target
    return images


def reconstruct(network: Network, images: Tensor, kept: Tensor | None = None) -> Reconstruction:
    """Reconstruct pictures of any size: padded to the network's stride, and cropped back.

    ``kept`` is what its frozen part made of them, if it is known.
    """
    known = {} if kept is None else {"kept": kept}
    made = network(pad_to_stride(images, _stride(network)), **known)
    if not isinstance(made, Reconstruction):
        raise InputError(
            f"the network returned a {type(made).__name__}; a recon_anomaly.Reconstruction is wanted"
        )
    return _cropped(made, network, images)


def scored_pairs(
    network: Network, images: Tensor, noise: Tensor | None, kept: Tensor | None = None
) -> Iterator[tuple[Tensor, Reconstruction]]:
    """Give (target, reconstruction), once for each latent draw that the scorer asks for.

    Where the network cannot draw there is one pair, its deterministic reconstruction. ``kept`` is
    what its frozen part made of ``images``, if it is known.
    """
    if kept is None and hasattr(network, "target") and hasattr(network, "frozen"):
        kept = frozen_of(network, images)  # else target and reconstruction would each compute it
    target = target_of(network, images, kept)
    if noise is None:
        yield target, reconstruct(network, images, kept)
        return
    drawing: Any = network
    for reconstruction in drawing.draw(pad_to_stride(images, _stride(network)), noise):
        yield target, _cropped(reconstruction, network, images)


def anomaly_maps(
    network: Network,
    scorer: Scorer,
    images: Tensor,
    noise: Tensor | None = None,
    kept: Tensor | None = None,
) -> Tensor:
    """Return the anomaly maps alone of `maps_and_terms`, which has the parameters."""
    return maps_and_terms(network, scorer, images, noise, kept)[0]


def maps_and_terms(
    network: Network,
    scorer: Scorer,
    images: Tensor,
    noise: Tensor | None = None,
    kept: Tensor | None = None,
    pairs: Iterable[tuple[Tensor, Reconstruction]] | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Return the anomaly maps (n, h, w), at the size of the pictures, and the terms (n,), if any; float32.

    Both are what the scorer gives, and where it asks for draws the mean over all of them. A map of
    another size, as of features or of a small copy, is brought to the pictures' size bilinearly. Where the
    scorer's score is the sum of its map, each value is shared out among the pixels that it is spread over, so that
    the map still adds up to what the scorer gave, but for what bilinear weights and the crop of a padded picture move at
    the edges. ``pairs`` are those of `scored_pairs`, if they are known.

    Raises
    ------
    InputError
        When the scorer returns something else, or of other shapes.
    """
    sums: tuple[Tensor, ...] | None = None
    count = 0
    for target, reconstruction in pairs or scored_pairs(network, images, noise, kept):
        parts = parts_of(scorer(target, reconstruction))
        sums = (
            parts
            if sums is None
            else tuple(total + part for total, part in zip(sums, parts, strict=True))
        )
        count += 1
    assert sums is not None
    maps, *added = (part.float() / count if count > 1 else part.float() for part in sums)
    if hasattr(network, "target") and maps.shape[-2:] != images.shape[-2:]:
        size = pad_to_stride(images, _stride(network)).shape[-2:]
        if reduction_of(scorer) == "sum":
            maps = maps * (maps[0].numel() / size.numel())
        maps = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
        maps = maps[:, : images.shape[-2], : images.shape[-1]]
    if maps.shape != (images.shape[0], *images.shape[-2:]):
        raise InputError(
            f"the scorer gave a map of shape {tuple(maps.shape)} for images of shape "
            f"{tuple(images.shape)}; it must be (n, h, w)"
        )
    terms = added[0] if added else None
    if terms is not None and terms.shape != images.shape[:1]:
        raise InputError(
            f"the scorer gave terms of shape {tuple(terms.shape)} for {len(images)} images; it must be (n,)"
        )
    return maps, terms


def rehearse(network: Any, scorer: Scorer, images: Tensor, noise: Tensor | None) -> None:
    """Go from pictures to loss terms and scores once, so that a broken part shows before training.

    Raises
    ------
    InputError
        When network or scorer break their contract; the message says how.
    """
    network.eval()
    with seeded(images.device, 0), exact():
        terms = network.losses(target_of(network, images), reconstruct(network, images))
        if not isinstance(terms, Mapping) or not terms:
            raise InputError(
                f"the network's losses gave {terms!r}; named terms, {{name: scalar tensor}}, are wanted"
            )
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim:
                raise InputError(f"the loss term {name!r} is {term!r}; a scalar tensor is wanted")
        trial = copy.deepcopy(scorer)
        fit_scorer(trial, network, lambda: [images], noise)
        reduce_map(trial, *maps_and_terms(network, trial, images, noise))


def make_noise(network: Any, scorer: Any, seed: int, device: torch.device) -> Tensor | None:
    """Return (L, latent_size) standard-normal rows, where they are asked for and can be used.

    The seed alone decides them, and every picture is drawn with the same ones.
    """
    draws = getattr(scorer, "draws", 0)
    if not draws or not hasattr(network, "draw"):
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((draws, network.latent_size), generator=generator).to(device)


def score_batches(
    network: Network, scorer: Scorer, batches: Iterable[Tensor | Batch], noise: Tensor | None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Give, batch by batch, anomaly scores (n,) float64 and their maps (n, h, w) float32.

    Pictures that a batch repeats are left out.
    """
    for batch in reusing(batches):
        scores, maps = _scored(network, scorer, batch, noise, on_host=True)
        yield scores, maps.numpy()


def score_all(
    network: Network, scorer: Scorer, batches: Iterable[Tensor | Batch], noise: Tensor | None
) -> np.ndarray:
    """Return the scores of `score_batches` in one array; maps stay on the device where they can."""
    found = (_scored(network, scorer, batch, noise, on_host=False)[0] for batch in reusing(batches))
    # One array while they come: those of each batch, collected, would split the room that its maps leave.
    return np.fromiter(chain.from_iterable(found), np.float64)


def reusing(batches: Iterable[_T]) -> Iterator[_T]:
    """Give ``batches``, each in the memory that the one before has freed, see `large_blocks_kept`.

    From the second on: who scores one batch and goes has nothing to reuse.
    """
    with ExitStack() as stack:
        tidy: Callable[[], None] | None = None
        for count, batch in enumerate(batches):
            if count == 1:
                tidy = stack.enter_context(large_blocks_kept())
            yield batch
            if tidy is not None:
                tidy()


def _scored(
    network: Network, scorer: Scorer, batch: Tensor | Batch, noise: Tensor | None, *, on_host: bool
) -> tuple[np.ndarray, Tensor]:
    images, kept = _images_and_kept(batch)
    repeated = batch.repeated if isinstance(batch, Batch) else 0
    with exact():  # entered for each batch: whoever iterates must not find itself inside
        maps, terms = maps_and_terms(network, scorer, images, noise, kept)
        maps = maps[repeated:].cpu() if on_host else maps[repeated:]
        scores = reduce_map(scorer, maps, None if terms is None else terms[repeated:])
    check_finite(scores.numpy())
    return scores.numpy(), maps


def check_finite(scores: np.ndarray | float) -> None:
    """Refuse a score that is no number.

    Raises
    ------
    InputError
        When one is NaN or infinite.
    """
    if not np.isfinite(scores).all():
        raise InputError(
            "a score is NaN or infinite: the network or the scorer cannot handle these pictures; "
            "look for extreme pixel values"
        )


def uses_of(scorer: Any, network: Any) -> dict[str, str]:
    """Return what the scorer says it uses of this network, and what stands in for the rest."""
    return dict(scorer.describe(network)) if hasattr(scorer, "describe") else {}


def fit_scorer(
    scorer: Any,
    network: Network,
    batches: Callable[[], Iterable[Tensor | Batch]],
    noise: Tensor | None,
    seed: int = 0,
    without: str | None = None,
) -> None:
    """Let a scorer that can learn see the validation pictures' pairs, draws and all.

    Parameters
    ----------
    scorer, network
        The scorer, and the network that reconstructs.
    batches : callable
        Gives the validation pictures in batches, each time it is called.
    noise : Tensor of shape (L, latent_size), optional
        As of `make_noise`.
    seed : int
        Of the synthetic anomalies that a scorer is shown which ``learns_from_spoiled``.
    without : str, optional
        A kind of them that it is not shown.
    """
    if not hasattr(scorer, "fit"):
        return
    pairs = [_Pairs(network, batches, noise)]
    if getattr(scorer, "learns_from_spoiled", False):
        count = sum(len(_images_and_kept(batch)[0]) for batch in batches())
        spoiled = partial(spoiled_batches, count=count, seed=seed, without=without)
        pairs.append(_Pairs(network, lambda: spoiled(batches()), noise))
    with exact():
        scorer.fit(*pairs)


class _Pairs:
    """Batches of (target, reconstruction), made anew whenever they are iterated."""

    def __init__(
        self,
        network: Network,
        batches: Callable[[], Iterable[Tensor | Batch]],
        noise: Tensor | None,
    ) -> None:
        self._network, self._batches, self._noise = network, batches, noise

    def __iter__(self) -> Iterator[tuple[Tensor, Reconstruction]]:
        for images, kept in map(_images_and_kept, self._batches()):
            yield from scored_pairs(self._network, images, self._noise, kept)


def _images_and_kept(batch: Tensor | Batch) -> tuple[Tensor, Tensor | None]:
    return (batch.images, batch.kept) if isinstance(batch, Batch) else (batch, None)


def _stride(network: Network) -> int:
    return int(getattr(network, "stride", 1))


def _cropped(reconstruction: Reconstruction, network: Network, images: Tensor) -> Reconstruction:
    """Crop a reconstruction of padded pictures to the pictures; one of features stays whole."""
    if hasattr(network, "target"):
        return reconstruction
    height, width = images.shape[-2:]
    mean, log_variance = reconstruction.mean, reconstruction.log_variance
    return reconstruction._replace(
        mean=mean[..., :height, :width],
        log_variance=None if log_variance is None else log_variance[..., :height, :width],
    )

"""The four contracts: Model, Scorer, Corruptor, WeightSchedule. Nothing heavy is imported here.

Everything is torch tensors; images are ``(n, c, h, w)`` float32 and an image shape is ``(h, w, c)``.
A plain function satisfies Scorer, Corruptor and WeightSchedule; a class is only wanted where there
is state. Optional abilities are looked for by name, and each contract lists its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, get_args

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from .history import History

__all__ = [
    "CRITERIA",
    "Branches",
    "Corruptor",
    "Criterion",
    "ImageShape",
    "MapAndTerms",
    "Model",
    "Network",
    "Reconstruction",
    "Scorer",
    "WeightSchedule",
]

ImageShape = tuple[int, int, int]
"""Height, width and channels of one picture, in pixels."""


class Reconstruction(NamedTuple):
    """What a network makes of a batch.

    Attributes
    ----------
    mean : Tensor of shape (n, c, h, w)
        The reconstruction: of the images, or of what ``network.target`` makes of them.
    log_variance : Tensor of shape (n, c, h, w), optional
        Logarithm of the decoder's variance, for a decoder that has one.
    latent_mean, latent_log_variance : Tensor of shape (n, latent_size), optional
        Parameters of the approximate posterior of a variational model.
    code : Tensor of shape (n, ...), optional
        What the encoder makes of the images, for loss terms or scorers that look at it.
    second_code : Tensor of the same shape, optional
        What a second encoder makes of the reconstruction.
    """

    mean: Tensor
    log_variance: Tensor | None = None
    latent_mean: Tensor | None = None
    latent_log_variance: Tensor | None = None
    code: Tensor | None = None
    second_code: Tensor | None = None


class Network(Protocol):
    """**Protocol:** a ``torch.nn.Module`` that reconstructs pictures and names its loss terms.

    Optional abilities, looked for by name:

    ``stride`` : int
        Heights and widths are padded, by replication, to a multiple of it (1 if absent), and the
        reconstruction is cropped back.
    ``target(images)`` -> Tensor
        What is reconstructed, if not the images themselves (frozen features, a small copy). The
        anomaly map is brought to the size of the pictures.
    ``frozen(images)`` -> Tensor
        A first part without gradients. Its float32 output is computed once before the training and handed
        back as ``network(images, kept=...)``, and as ``network.target(images, kept=...)`` where there
        is a ``target``; nothing is kept while a corruptor trains. Both must also work without. (In a
        training in bfloat16 only what is kept is float32.)
    ``fit_batches(batches)``
        A closed-form fit in place of gradient steps, from an iterable of image batches. The shapes
        of the tensors it keeps must follow from the parameters.
    ``latent_size`` : int, and ``draw(images, noise)``
        Reconstructions from given standard-normal rows: ``noise`` is ``(L, latent_size)`` and the
        result iterates over L reconstructions, each row used for every picture.

    ``exported()`` -> Network
        What stands for it, with the same target and reconstruction, in a graph for other runtimes, where torch cannot
        export the network itself. It may raise `InputError`, and say why there is none.

    In evaluation mode the latent is its mean and nothing depends on the rest of the batch. While it trains,
    a network that draws a latent takes the noise from `recon_anomaly.latent_noise`, so that a picture gets
    the same where several processes share a batch. It may run under bfloat16 autocast; what it returns in
    half precision comes to ``losses`` in float32.
    """

    def __call__(self, images: Tensor, /) -> Reconstruction:
        """Reconstruct ``images``, (n, c, h, w) float32."""
        ...

    def losses(self, target: Tensor, reconstruction: Reconstruction, /) -> Mapping[str, Tensor]:
        """Return the named, unweighted loss terms, each a scalar.

        The terms of a variational model are sums over pixels or latents, then means over the
        batch, so that their balance depends neither on the batch size nor on a hidden mean.
        """
        ...


class Model(Protocol):
    """**Protocol:** builds a network for pictures of one shape.

    Optional ability, looked for by name:

    ``recipe`` : mapping
        What its training takes where the user says nothing: any of ``epochs``, ``batch_size``,
        ``learning_rate``, ``reduce_learning_rate`` and ``early_stopping``, as the detector's
        parameters of these names.
    """

    def __call__(self, image_shape: ImageShape, /, *args: Any, **params: Any) -> Network:
        """Return a new network; ``params`` are plain values that JSON can hold.

        (The unused ``args`` let type checkers accept builders with named parameters.)
        """
        ...


class MapAndTerms(NamedTuple):
    """What a scorer returns whose score is more than a reduction of its map.

    Attributes
    ----------
    map : Tensor of shape (n, h, w)
        The anomaly map, float32; the higher, the more abnormal.
    terms : Tensor of shape (n,)
        What is added to each picture's reduced map, float32: what no pixel owns, such as the KL divergence of
        an evidence lower bound.
    """

    map: Tensor
    terms: Tensor


class Scorer(Protocol):
    """**Protocol:** turns a target and its reconstruction into an anomaly map.

    The anomaly score is exactly a reduction of that very map, in float64, plus the picture's term where the
    scorer gives one.

    Optional abilities, looked for by name:

    ``reduction`` : {"mean", "sum", "max"}
        How the map becomes the score; "mean" if absent. Where a target is not of the picture's size the map is brought
        to it, and with "sum" each value is shared out among its pixels: a sum counts what the target has.
    ``reduce(maps)`` -> Tensor (n,)
        How it does where none of these names says it, such as a mean of the largest values; in place
        of ``reduction``. It gets (n, h, w) maps on any device, and returns float64 on the CPU.
    ``draws`` : int
        Ask for that many latent draws. The map is then the mean of the maps of all draws, and so are the
        terms; a network without ``draw`` gives its one deterministic reconstruction instead.
    ``fit(pairs)``
        Learn from an iterable of (target, reconstruction) batches of validation pictures, which are made anew
        each time it is iterated.
    ``learns_from_spoiled`` : bool
        Ask for synthetic anomalies, too: ``fit(pairs, spoiled)`` gets the batches of spoiled copies of the
        validation pictures (`recon_anomaly.spoiling`).
    ``state_dict()`` and ``load_state_dict(state)``
        What ``fit`` learned, as named tensors; saved with the detector.
    ``frozen_state_dict()``
        Frozen weights that ``state_dict`` leaves out, as named tensors; saved with a detector that is to be
        self-contained, and ``load_state_dict`` then gets both. A scorer with them has its parameter ``weights``, a file
        or where else they come from, as an attribute: who loads a detector can name another file.
    ``describe(network)`` -> dict
        Which quantities are used and what stands in for what the network does not have.

    ``exported()`` -> Scorer
        What stands for it in a graph for other runtimes, as of a Network.

    Targets may be on any device; what a scorer keeps goes there by ``.to(target.device)``. A scorer that needs
    what a network does not give (a latent, say) raises `InputError`, and says which networks do.
    """

    def __call__(self, target: Tensor, reconstruction: Reconstruction, /) -> Tensor | MapAndTerms:
        """Return the anomaly map (n, h, w), float32; the higher, the more abnormal.

        A `MapAndTerms` in its place adds a term to each picture's reduced map.
        """
        ...


class Corruptor(Protocol):
    """**Protocol:** spoils one picture, for test sets and for training denoising models."""

    def __call__(
        self, image: np.ndarray, rng: np.random.Generator, /
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the corrupted image and a mask of the changed pixels.

        Parameters
        ----------
        image : ndarray of shape (h, w, c), float32
            One picture in [0, 1]; it is not written to.
        rng : numpy.random.Generator
            The source of all that is random: the same state gives the same bytes.

        Returns
        -------
        corrupted : ndarray of shape (h, w, c), float32
            The picture spoiled, in [0, 1].
        mask : ndarray of shape (h, w), bool
            True where any channel changed.

        Raises
        ------
        InputError
            By the built-in ones, for what is no such picture.
        """
        ...


Criterion = Literal["validation-loss", "training-loss"]
"""What branches are compared by; the lowest is the best."""
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)


class Branches(NamedTuple):
    """A schedule's wish to try several continuations from where the training stands.

    Each is trained from one snapshot, with the same batches and noise, and asks the schedule for its
    weights with its name at the end of ``history.path``. The best by the criterion goes on; what the others
    did stays in ``history.lost``.

    Attributes
    ----------
    names : tuple of str
        The branches; of equals the first wins.
    until : int
        The last epoch of each.
    criterion : {"validation-loss", "training-loss"}
        What is compared, the lowest is the best: the unweighted sum of the validation terms, or the
        weighted sum of the training terms.
    rungs : tuple of (int, int)
        Successive halving: (epoch, survivors), epochs ascending and before ``until``. Without rungs
        every branch is trained to the end.
    """

    names: tuple[str, ...]
    until: int
    criterion: Criterion = "validation-loss"
    rungs: tuple[tuple[int, int], ...] = ()


class WeightSchedule(Protocol):
    """**Protocol:** weighs the loss terms, epoch by epoch; a pure function of the history.

    Optional abilities, looked for by name:

    ``planned_epochs`` : int
        How many epochs it lays out: trained where the user names no number, and no other is taken.
    ``needs`` : tuple of str
        Validation figures that it reads: ``("auroc",)`` asks for labelled validation pictures.
    ``keeps`` : {"lowest-loss", "last"} or the name of a needed figure
        Whose epoch's weights are kept; a figure's highest. "lowest-loss" if absent.
    ``reduces_learning_rate``, ``stops_early`` : bool
        Whether the plateau rule and early stopping run; True if absent.
    ``parts`` : tuple of str
        Registered names of the schedules that it is made of, if it is: their packages and versions stand
        beside its own in records and saved files.

    Loss here always means the unweighted sum of the validation terms, with the latent at its mean.
    """

    def __call__(self, history: History, /) -> Mapping[str, float] | Branches:
        """Return the weight of every term in ``history.terms`` for the next epoch, or ask for branches.

        Asked again at the same epoch, inside a branch, it returns weights.
        """
        ...


Pairs = Iterable[tuple["Tensor", Reconstruction]]
"""Batches of (target, reconstruction), as a scorer's ``fit`` receives them."""

"""The estimators: one for any model by name, and one for each model of the papers.

They are dataclasses: each field is a keyword parameter, as scikit-learn's ``get_params`` wants them,
and the common ones are written once, in `BaseDetector`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .detector import BaseDetector

__all__ = ["CAE", "CVAE", "TCAE", "TCVAE", "VAE", "ReconstructionDetector"]


@dataclass(kw_only=True, eq=False, repr=False)
class ReconstructionDetector(BaseDetector):
    """Detects anomalies as what a model of good parts cannot reconstruct.

    Parameters
    ----------
    model : str or callable
        A registered name (`recon-anomaly plugins` lists them) or a callable
        ``(image_shape, **params)`` that builds a network.
    model_params : dict, optional
        Parameters of the model.
    scorer, scorer_params : str or callable, and dict, optional
        "mse", "max1p", "top-k", "fused", … or a plugin's (`recon-anomaly plugins` lists them).
    schedule, schedule_params : str or callable, and dict, optional
        Weights of the loss terms; ``schedule_params={"weights": {"kl": 4}}`` makes a beta-VAE.
    corruptor, corruptor_params : str or callable, and dict, optional
        Spoils the training pictures, for a denoising model; the loss is taken against clean ones.
    image_size : int, (int, int), "auto" or None
        Size, or height and width, to which picture files are resized; "auto": 256. None keeps the files' own size, which must
        then be one. Arrays are used as they are. With ``tile`` it is what each tile is resized to, of files and arrays, unless
        it is "auto" or None.
    tile : int, optional
        Side of the square tiles that every picture is cut into, in pixels of the original. The network sees tiles; a picture's
        map is that of all its tiles, blended, and its score is of this one map (`recon_anomaly.tiledscoring.TileJudge` says how).
        Pictures may differ in size, and be as large as memory allows; one that is smaller than a tile is refused.
    overlap : int, optional
        Pixels that neighbouring tiles share, at least; by default a quarter of a tile, rounded down.
    roi : (int, int, int, int) or path, optional
        What is looked at, in pixels of the original: x, y, width and height of a box, or a mask file, whose pixels
        above 0 are. All else has no part in training, scores and thresholds, and is 0 in maps.
    max_pixels : int, optional
        Largest height times width of a picture file that is decoded; by default 89,478,485, as Pillow has it, so that no small
        file fills the memory.
    image_shape : (int, int, int), optional
        Height, width and channels of the pictures in (n, d) rows; by default each row is a picture
        of one line and one channel.
    channels : {"auto", 1, 3}
        Of picture files. "auto": one, unless a file has colours.
    epochs, batch_size, learning_rate : int, int, float, optional
        Adam's. By default what the schedule lays out, else the model's own recipe, else 50, 16 and 0.003.
    reduce_learning_rate, early_stopping : bool, optional
        Whether the learning rate falls to a tenth after 2 epochs without improvement of the validation
        loss, and training stops after 7. By default as the model's recipe says, else True; a schedule
        may turn both off. The best epoch's weights are kept, unless the schedule says otherwise.
    validation_fraction : float
        Share of the pictures held out for that and for the threshold, if no ``validation_data`` is
        given to ``fit``.
    contamination : "auto" or float
        "auto": the threshold is the 95 % quantile of the validation pictures' scores (with few of
        them a coarse one: give more than 20, or calibrate on others). A float in
        (0, 0.5]: the threshold that exactly this share of all pictures given to ``fit`` exceed;
        optimistic, since most of them were trained on.
    checkpoint : path, optional
        A folder; the run's state is saved there after each epoch, and the same ``fit`` goes on from it.
    memory_budget : int, optional
        Bytes of pictures kept in memory, beyond which a memory-mapped cache file is used; by default
        a quarter of what is available.
    random_state : int, RandomState or None
        Seed of everything random; the process's global generators are left as they were.
    device : str
        "auto" (CUDA, else MPS, else the CPU) or a torch device's name.
    precision : {"auto", "float32", "bfloat16"}
        In which the network trains; scores are always made in float32. "auto" is bfloat16 where it is known to
        be faster: on CUDA, and on processors with Intel's matrix extensions (AMX) for batches of at least 2**18
        pixels (16 pictures of 128 x 128). ``recipe_["precision"]`` says which it was. Weights, loss terms and the
        optimiser are float32 in either.
    verbose : int
        1 prints a line an epoch.

    Attributes
    ----------
    network_ : torch.nn.Module
        The fitted network.
    scorer_ : callable
        The scorer, with what it learned from validation pictures.
    scorer_uses_ : dict
        What the scorer uses, where it has a choice: {"variance": ..., "latent": ...} of the
        reconstruction probability.
    offset_ : float
        ``decision_function`` is ``score_samples`` less this; minus the threshold on ``anomaly_score``.
    validation_scores_ : ndarray of shape (n_validation,)
        ``score_samples`` of the validation pictures.
    calibration_scores_ : ndarray of shape (n,), float64
        ``anomaly_score`` of the good pictures that the detector was last calibrated on, ascending: by ``fit``
        those of the validation pictures. ``p_value`` ranks among them.
    training_hashes_ : ndarray of shape (n_training, 8), uint8
        A short hash of the pixels of each training picture, by which ``calibrate`` refuses them.
    recipe_ : dict
        The five training parameters above, as they were used, and the ``precision``.
    history_ : History
        The epochs: losses, weights, learning rate, seconds.
    image_shape_ : tuple of int
        Height, width and channels of what the network sees: the pictures, or their tiles.
    tiling_ : Tiling or None
        How pictures are cut, with ``tile`` or ``roi``.
    pixel_range_ : PixelRange
        The values that become 0 and 1.
    n_features_in_ : int
        Height times width times channels.
    threshold_rule_ : dict
        The rule that set ``offset_``, with its parameters.
    names_ : dict
        Full registered names of model, scorer, schedule and corruptor; None for other objects.
    noise_ : Tensor of shape (L, latent_size) or None
        The standard-normal rows of a scorer that draws, the same for every picture.
    map_peaks_ : ndarray of shape (n_validation,), float64
        The largest value in the anomaly map of each validation picture, ascending; ``regions`` has its threshold from
        them.
    map_scale_ : float
        The largest value in the anomaly maps of the validation pictures; heat maps are drawn against it.
    seed_ : int
        Drawn from ``random_state``.

    Notes
    -----
    ``score_samples``: the lower, the more abnormal, as everywhere in scikit-learn. ``anomaly_score``
    is its negative, in the scorer's own unit. Pictures are brought to [0, 1]: uint8 divided by 255,
    uint16 by 65535, floats as they are if all training pictures lie in [0, 1], else by the training
    pictures' minimum and maximum; nothing is clamped.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pattern = rng.integers(0, 200, (8, 8))
    >>> good = (pattern + rng.integers(0, 20, (50, 8, 8))).astype(np.uint8)
    >>> bad = good[:5].copy()
    >>> bad[:, 2:5, 2:5] = 255
    >>> detector = ReconstructionDetector("pca", model_params={"n_components": 8}).fit(good)
    >>> detector.predict(bad)
    array([-1, -1, -1, -1, -1])
    """

    model: Any = field(default="cae", kw_only=False)
    model_params: Mapping[str, Any] | None = None

    def _model(self) -> tuple[Any, dict[str, Any]]:
        return self.model, dict(self.model_params or {})


@dataclass(kw_only=True, eq=False, repr=False)
class CAE(BaseDetector):
    """Convolutional autoencoder of Klimkevičius, §4.1, with the paper's recipe as defaults.

    Parameters
    ----------
    kernels : sequence of int
        Convolution kernels of each layer; every layer but the last is pooled.
    **parameters
        The others are those of `ReconstructionDetector`.

    Examples
    --------
    >>> import numpy as np
    >>> good = np.random.default_rng(0).integers(90, 110, (20, 16, 16)).astype(np.uint8)
    >>> detector = CAE(kernels=(4, 8), epochs=2).fit(good)
    >>> bad = good[:2].copy()
    >>> bad[:, 4:12, 4:12] = 255
    >>> detector.predict(bad)
    array([-1, -1])
    """

    kernels: Sequence[int] = (16, 32, 64)

    def _model(self) -> tuple[Any, dict[str, Any]]:
        return "builtin:cae", {"kernels": self.kernels}


@dataclass(kw_only=True, eq=False, repr=False)
class CVAE(BaseDetector):
    """Convolutional variational autoencoder of Klimkevičius, §4.1, with the paper's recipe as defaults.

    Parameters
    ----------
    kernels : sequence of int
        Convolution kernels of each layer; every layer is pooled.
    latent_size : int
        Dimensions of the latent.
    **parameters
        The others are those of `ReconstructionDetector`.

    Examples
    --------
    >>> import numpy as np
    >>> good = np.random.default_rng(0).integers(90, 110, (20, 16, 16)).astype(np.uint8)
    >>> detector = CVAE(kernels=(4, 8), latent_size=4, epochs=2).fit(good)
    >>> bad = good[:2].copy()
    >>> bad[:, 4:12, 4:12] = 255
    >>> detector.predict(bad)
    array([-1, -1])
    >>> list(detector.history_.records[-1].validation)
    ['reconstruction', 'kl']
    """

    kernels: Sequence[int] = (16, 32, 64)
    latent_size: int = 32

    def _model(self) -> tuple[Any, dict[str, Any]]:
        return "builtin:cvae", {"kernels": self.kernels, "latent_size": self.latent_size}


@dataclass(kw_only=True, eq=False, repr=False)
class TCAE(BaseDetector):
    """Autoencoder on frozen pretrained features of Klimkevičius, §4.2, with the paper's recipe as defaults.

    Parameters
    ----------
    backbone : str
        A torchvision network: "vgg16", "resnet18", "mobilenet_v3_small", "efficientnet_b0", ….
    layer : str, optional
        Where it is cut; by default block2_pool of VGG16 ("features.9"), and stride 4 of the others above.
    weights : path, str or None
        "auto" looks for a file named after the backbone in the folder ``RECON_ANOMALY_WEIGHTS``, then asks
        torchvision's own loader, which may download, and says so. A path, or one of torchvision's
        names such as "IMAGENET1K_V1", says which. None draws random ones, with a warning.
    **parameters
        The others are those of `ReconstructionDetector`.

    Examples
    --------
    >>> import numpy as np, warnings
    >>> good = np.random.default_rng(0).integers(90, 110, (20, 16, 16)).astype(np.uint8)
    >>> with warnings.catch_warnings():  # weights=None is for trying out only, and warns
    ...     warnings.simplefilter("ignore")
    ...     detector = TCAE(weights=None, epochs=2).fit(good)
    >>> bad = good[:2].copy()
    >>> bad[:, 4:12, 4:12] = 255
    >>> detector.predict(bad)
    array([-1, -1])
    """

    backbone: str = "vgg16"
    layer: str | None = None
    weights: str | os.PathLike[str] | None = "auto"

    def _model(self) -> tuple[Any, dict[str, Any]]:
        return "builtin:tcae", {name: getattr(self, name) for name in _BACKBONE}


@dataclass(kw_only=True, eq=False, repr=False)
class TCVAE(BaseDetector):
    """Variational autoencoder on frozen pretrained features of Klimkevičius, §4.2.

    Parameters
    ----------
    backbone, layer, weights
        As those of `TCAE`.
    latent_size : int
        Dimensions of the latent.
    **parameters
        The others are those of `ReconstructionDetector`.

    Examples
    --------
    >>> import numpy as np, warnings
    >>> good = np.random.default_rng(0).integers(90, 110, (20, 16, 16)).astype(np.uint8)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")
    ...     detector = TCVAE(weights=None, latent_size=4, epochs=2).fit(good)
    >>> list(detector.history_.records[-1].validation)
    ['reconstruction', 'kl']
    """

    backbone: str = "vgg16"
    layer: str | None = None
    weights: str | os.PathLike[str] | None = "auto"
    latent_size: int = 32

    def _model(self) -> tuple[Any, dict[str, Any]]:
        params = {name: getattr(self, name) for name in _BACKBONE}
        return "builtin:tcvae", params | {"latent_size": self.latent_size}


@dataclass(kw_only=True, eq=False, repr=False)
class VAE(BaseDetector):
    """Variational autoencoder of Nakata et al. (2023), with the paper's recipe as defaults.

    A training takes 100 epochs of batches of 32 at a learning rate of 0.0001, without plateau rule and early
    stopping, unless ``epochs`` and the others of that kind say otherwise.

    ``schedule_params={"weights": {"kl": 4}}`` makes it a beta-VAE (Eqs. 11, 12). The terms are
    "reconstruction" and "kl" of a Bernoulli decoder, "scaled_error", "log_variance" and "kl" of a
    Gaussian one.

    Parameters
    ----------
    likelihood : {"gaussian", "bernoulli"}
        The distribution of a pixel that the decoder gives.
    latent_size : int
        Dimensions of the latent.
    kernels : sequence of int, optional
        Convolution kernels of each layer; every layer is pooled. By default 16, 32, then 64 in as many
        layers as bring the longer side below 16 pixels.
    **parameters
        The others are those of `ReconstructionDetector`.

    Examples
    --------
    >>> import numpy as np
    >>> good = np.random.default_rng(0).integers(90, 110, (20, 16, 16)).astype(np.uint8)
    >>> detector = VAE(latent_size=4, epochs=2).fit(good)
    >>> bad = good[:2].copy()
    >>> bad[:, 4:12, 4:12] = 255
    >>> detector.predict(bad)
    array([-1, -1])
    >>> list(detector.history_.records[-1].validation)
    ['scaled_error', 'log_variance', 'kl']
    """

    likelihood: str = "gaussian"
    latent_size: int = 1000
    kernels: Sequence[int] | None = None

    def _model(self) -> tuple[Any, dict[str, Any]]:
        params = {name: getattr(self, name) for name in ("likelihood", "latent_size", "kernels")}
        return "builtin:vae", params


_BACKBONE = ("backbone", "layer", "weights")

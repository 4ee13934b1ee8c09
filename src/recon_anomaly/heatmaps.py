"""Anomaly maps as pictures to look at."""

from __future__ import annotations

import numpy as np
from PIL import Image

__all__ = ["colours", "side_by_side"]

# Black, violet, orange, light yellow: brightness rises evenly, so it reads without colour vision too.
_STOPS = np.array(
    [[0, 0, 4], [66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]],
    dtype=np.float64,
)
_WIDTH_OF_GAP = 4


def colours(anomaly_map: np.ndarray, scale: float) -> np.ndarray:
    """Colour a map from black (0 or below) to light yellow (``scale`` or above).

    Parameters
    ----------
    anomaly_map : ndarray of shape (h, w)
        Higher is more abnormal.
    scale : float
        The value from which on the colour stays the brightest; the detector's ``map_scale_`` makes
        everything bright that is worse than the worst pixel of the good validation pictures.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8

    Examples
    --------
    >>> colours(np.array([[0.0, 1.0]]), 1.0).tolist()
    [[[0, 0, 4], [252, 255, 164]]]
    """
    share = np.clip(np.asarray(anomaly_map, np.float64) / (scale if scale > 0 else 1.0), 0, 1)
    places = np.linspace(0, 1, len(_STOPS))
    channels = [np.interp(share, places, _STOPS[:, channel]) for channel in range(3)]
    return np.rint(np.stack(channels, axis=-1)).astype(np.uint8)


def side_by_side(picture: np.ndarray, anomaly_map: np.ndarray, scale: float) -> Image.Image:
    """Return the picture and its heat map next to each other, the smaller side at least 256 px.

    Parameters
    ----------
    picture : ndarray of shape (h, w, c), float, or uint8 or uint16
        Integers by their full scale; floats are clipped to [0, 1] for display.
    anomaly_map : ndarray of shape (h, w)
        Of the same size.
    scale : float
        As in `colours`.
    """
    full = {"uint8": 255.0, "uint16": 65535.0}.get(picture.dtype.name, 1.0)
    shown = np.rint(255 * np.clip(picture / full, 0, 1)).astype(np.uint8)
    shown = shown[..., :3] if shown.shape[-1] >= 3 else np.repeat(shown[..., :1], 3, axis=-1)
    height, width = anomaly_map.shape
    gap = np.full((height, _WIDTH_OF_GAP, 3), 255, np.uint8)
    both = Image.fromarray(np.concatenate([shown, gap, colours(anomaly_map, scale)], axis=1))
    zoom = max(1, -(-256 // min(height, width)))
    return both.resize((both.width * zoom, both.height * zoom), Image.Resampling.NEAREST)

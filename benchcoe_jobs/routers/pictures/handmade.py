"""Hand-made features of pictures: colours, light and edges. They need numpy and Pillow, and no download.

The histogram of oriented gradients is that of Dalal and Triggs (2005), on few cells: a router tells kinds of pictures
apart, such as charts, photographs and formulas, and does not recognise things in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from benchcoe_jobs.arrays import Floats

if TYPE_CHECKING:
    from PIL import Image

FINGERPRINT = "handmade-1"
"""Changes with any change of the features, so that stored ones of an earlier version are not used."""

_SIDE = 64
_GRID, _CELLS = 8, 4
_ORIENTATIONS, _STRENGTHS, _LEVELS = 9, 10, 4
_BLUR = 1.0
_EPSILON = 1e-6


def encode(images: Sequence[Image.Image]) -> NDArray[np.float32]:
    """Features of n RGB pictures: (n, d). Each group of a picture's features has length one."""
    return np.asarray([_features(image) for image in images], dtype="<f4")


def _features(image: Image.Image) -> Floats:
    from PIL.Image import Resampling

    small = image.resize((_SIDE, _SIDE), Resampling.BOX if min(image.size) >= _SIDE else Resampling.BILINEAR)
    pixels = np.asarray(small, dtype=np.float64) / 255
    # Blurred: grain, and how sharp a picture is, would otherwise be most of its edges.
    light = gaussian_filter(pixels @ np.array([0.299, 0.587, 0.114]), _BLUR)
    groups = [_colours(pixels), _light(light), *_edges(light), _shape(image)]
    return np.concatenate([group / (np.linalg.norm(group) + _EPSILON) for group in groups])


def _colours(pixels: Floats) -> Floats:
    """The square roots of the shares of 4 x 4 x 4 colours."""
    level = np.minimum((pixels * _LEVELS).astype(int), _LEVELS - 1)
    code = (level[..., 0] * _LEVELS + level[..., 1]) * _LEVELS + level[..., 2]
    shares: Floats = np.bincount(code.ravel(), minlength=_LEVELS**3) / code.size
    return np.sqrt(shares)


def _light(light: Floats) -> Floats:
    """Light on a grid, from the mean of the picture."""
    step = _SIDE // _GRID
    grid: Floats = light.reshape(_GRID, step, _GRID, step).mean(axis=(1, 3)).ravel()
    grid -= grid.mean()
    return grid


def _edges(light: Floats) -> list[Floats]:
    """Edges by orientation in each cell and in the whole picture, by their place, and by their strength."""
    down, right = np.gradient(light)
    strength = np.hypot(down, right)
    orientation = (np.arctan2(down, right) % np.pi) / np.pi * _ORIENTATIONS
    bin_of = np.minimum(orientation.astype(int), _ORIENTATIONS - 1)
    by_bin = np.stack([np.where(bin_of == number, strength, 0.0) for number in range(_ORIENTATIONS)])
    step = _SIDE // _CELLS
    cells = by_bin.reshape(_ORIENTATIONS, _CELLS, step, _CELLS, step).sum(axis=(2, 4))
    place = strength.reshape(_GRID, _SIDE // _GRID, _GRID, _SIDE // _GRID).sum(axis=(1, 3))
    shares = np.histogram(strength / (strength.max() + _EPSILON), _STRENGTHS, (0, 1))[0] / strength.size
    return [np.sqrt(cells).ravel(), np.sqrt(cells.sum(axis=(1, 2))), np.sqrt(place).ravel(), np.sqrt(shares)]


def _shape(image: Image.Image) -> Floats:
    """How wide, how high and how large the picture is."""
    width, height = image.size
    return np.array([1.0, np.log(width / height), np.log(width * height) / 10])

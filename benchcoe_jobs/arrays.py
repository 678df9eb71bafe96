"""Types of numpy arrays that several packages share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
"""An array of float64; the docstring of what takes or returns it gives the shape."""

Ints: TypeAlias = NDArray[np.int64]
"""An array of int64; the docstring of what takes or returns it gives the shape."""

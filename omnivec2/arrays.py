"""The type of every NumPy array that passes between modules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
"""An array of any type and shape; comments and names give the axes."""

Batch = Mapping[str, Array]
"""The tensors of a batch by name, each (rows, ...)."""

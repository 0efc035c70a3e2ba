"""Tables: Adult (income) and Bank Marketing, both of which are blocks."""

from __future__ import annotations

from omnivec2.spec import Modality
from omnivec2.training.data.base import Loader
from omnivec2.training.data.shipped_blocks import block_loaders

TASKS: dict[str, Loader] = block_loaders(Modality.TABULAR)

"""Kinds of blocks by the name that a recipe gives them; a new kind is added to ``AnyBlock``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from omnivec2.training.data.blocks.kinds.array_blocks import ArraysBlock
from omnivec2.training.data.blocks.kinds.base import Block
from omnivec2.training.data.blocks.kinds.box_blocks import CocoBlock, VocBlock, YoloBlock
from omnivec2.training.data.blocks.kinds.dataset_blocks import DatasetsBlock
from omnivec2.training.data.blocks.kinds.folder_blocks import (
    AudioFolderBlock,
    FolderBlock,
    ImageFolderBlock,
    VideoFolderBlock,
)
from omnivec2.training.data.blocks.kinds.mask_blocks import MapsBlock, MasksBlock
from omnivec2.training.data.blocks.kinds.molecule_blocks import SdfBlock
from omnivec2.training.data.blocks.kinds.point_blocks import PointsBlock
from omnivec2.training.data.blocks.kinds.series_blocks import SeriesBlock
from omnivec2.training.data.blocks.kinds.shard_blocks import WebDatasetBlock
from omnivec2.training.data.blocks.kinds.table_blocks import CsvBlock, JsonLinesBlock, ParquetBlock

__all__ = ["AnyBlock", "Block"]

AnyBlock = Annotated[
    ImageFolderBlock
    | AudioFolderBlock
    | VideoFolderBlock
    | FolderBlock
    | CsvBlock
    | ParquetBlock
    | JsonLinesBlock
    | SdfBlock
    | WebDatasetBlock
    | DatasetsBlock
    | CocoBlock
    | YoloBlock
    | VocBlock
    | MasksBlock
    | MapsBlock
    | PointsBlock
    | SeriesBlock
    | ArraysBlock,
    Field(discriminator="kind"),
]

"""Kinds of blocks by the name that a recipe gives them; a new kind is added to ``AnyBlock``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from omnivec2.training.data.blocks.kinds.archives import WebDatasetBlock
from omnivec2.training.data.blocks.kinds.arrays import ArraysBlock
from omnivec2.training.data.blocks.kinds.base import Block
from omnivec2.training.data.blocks.kinds.boxes import CocoBlock, VocBlock, YoloBlock
from omnivec2.training.data.blocks.kinds.folders import (
    AudioFolderBlock,
    FolderBlock,
    ImageFolderBlock,
    VideoFolderBlock,
)
from omnivec2.training.data.blocks.kinds.hugging_face import DatasetsBlock
from omnivec2.training.data.blocks.kinds.masks import MapsBlock, MasksBlock
from omnivec2.training.data.blocks.kinds.molecules import SdfBlock
from omnivec2.training.data.blocks.kinds.points import PointsBlock
from omnivec2.training.data.blocks.kinds.series import SeriesBlock
from omnivec2.training.data.blocks.kinds.tables import CsvBlock, JsonLinesBlock, ParquetBlock

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

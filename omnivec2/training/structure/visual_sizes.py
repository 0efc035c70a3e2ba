"""Sizes of the tokenizers that cut frames into tubelets: image, video, audio and their kin."""

from __future__ import annotations

from omnivec2.network.tokenizers.stem import STRIDE
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.spec import Modality

Grid = tuple[int, int, int]


def visual_tokenizer_config(
    modality: Modality,
    frames: Grid,
    *,
    grid: Grid,
    blocks: int = 8,
    tubelet: Grid = (1, 1, 1),
) -> VisualTokenizerConfig:
    """Return sizes with position tables for ``grid``, or for the frames where they are larger.

    Args:
        modality: The modality, one of those that the tokenizer is made for.
        frames: The number of frames of a sample, and their height and width in pixels.
        grid: The least size of the position tables: frames, rows and columns of tokens.
        blocks: The number of blocks of the stem.
        tubelet: The frames, rows and columns of stem cells in one token.
    """
    cells = (frames[0], frames[1] // STRIDE, frames[2] // STRIDE)
    largest = tuple(
        max(least, size // step) for least, size, step in zip(grid, cells, tubelet, strict=True)
    )
    return VisualTokenizerConfig.model_validate(
        {"modality": modality, "stem_blocks": blocks, "tubelet": tubelet, "grid": largest}
    )

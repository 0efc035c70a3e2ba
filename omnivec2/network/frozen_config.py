"""The base of every configuration, and the sizes of a transformer, which most of them hold."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class FrozenConfig(BaseModel):
    """Validated data that never changes; unknown fields are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TransformerConfig(FrozenConfig):
    """Sizes of a stack of transformer layers; ``width`` must divide by ``heads``."""

    depth: int
    width: int
    heads: int
    ffn: int

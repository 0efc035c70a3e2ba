"""Parts of the shared layout: tokenizers, one trunk, heads, and the lengths they pad to.

::

    inputs ─ tokenizer_m ─► tokens, mask ─ trunk ─► features ─ head_m_t ─► outputs
                         └───────── mask, extras ──────────────┘

The embeddings of all modalities, mean features without weights, share one head part.
A head that writes text also has a ``decoder_m_t``, in either layout: one step of it, which the
caller repeats (``omnivec2.generation``).

Tensors between parts have fixed names, so that how a model is put together follows from
the specs of its tokenizer and its head.
"""

from __future__ import annotations

import itertools
from typing import Literal

from pydantic import BaseModel, ConfigDict

from omnivec2.spec import TensorSpec

TRUNK = "trunk"
EMBEDDING = "head_embedding"
PART_PREFIXES = ("tokenizer_", "head_", "decoder_")
"""The prefixes of parts' names; no modality has such a name."""
TOKENS, MASK, FEATURES = "tokens", "mask", "features"
LENGTH = "length"
"""The name of the axis of a part's tokens."""

LENGTH_BUCKETS = (20, 40, 68, 132, 196, 260, 516, 1028, 2052)
"""The token counts that sequences are padded to, so that different tasks share batches.

Each is a little more than 16, 36, 64, 128, 192 and so on, because a CLS token precedes so many
patches, and a multiple of 4, for vector units.
"""


def is_part(name: str) -> bool:
    """Whether a model is named like a part, which is not served by itself."""
    return name == TRUNK or name.startswith(PART_PREFIXES)


def bucket_of(length: int) -> int:
    """Return the smallest bucket that holds ``length`` tokens, or the last bucket.

    The formula has only sums and whole divisions, so that a symbolic length can be traced.
    """
    wide = 2 * LENGTH_BUCKETS[-1]
    size = LENGTH_BUCKETS[0]
    for bucket, larger in itertools.pairwise(LENGTH_BUCKETS):
        is_longer = (length - bucket - 1 + wide) // wide  # 1 if length > bucket, else 0
        size = size + (larger - bucket) * is_longer
    return size


class PartSpec(BaseModel):
    """The inputs and outputs of a part; shapes leave out the batch axis, -1 is dynamic."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["tokenizer", "trunk", "head", "decoder"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 32

"""The decoder of a head that writes text: its sizes, its words and its specs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omnivec2.generation import (
    COPIED,
    GENERATED,
    MEMORY,
    PAST,
    PREVIOUS,
    STATE,
    STEP,
    encode_vocabulary,
    vocabulary_of,
)
from omnivec2.network.config import DecoderConfig, HeadConfig, NetworkConfig
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.omnivec2 import module_name
from omnivec2.preprocess import Array, Sample
from omnivec2.spec import Generation, TensorSpec
from omnivec2.training.data.base import TaskData
from omnivec2.wordpiece import END_ID, FIRST_WORD_ID, PAD_ID, SIZE, START_ID, UNKNOWN_ID

DECODER_PREFIX = "decoder_"

_DEPTH, _WIDTH, _KEY_WIDTH = 2, 128, 64
_POSITIONS = 256
_LEAST_COUNT = 2
"""Least count of a word in the training summaries: one seen once is copied or not written."""
_SOURCE = "input_ids"
_SOURCE_MASK = "attention_mask"


def decoder_config(task: TaskData, preset: NetworkConfig) -> DecoderConfig:
    """Return a small decoder of the words of the training summaries.

    Args:
        task: The summarization task.
        preset: The network that the decoder belongs to, for its widths.
    """
    counts = word_counts(task.splits["train"].samples)
    counts[[PAD_ID, UNKNOWN_ID, START_ID, END_ID]] = _LEAST_COUNT
    width = min(_WIDTH, preset.head.width)
    heads = max(1, width // _KEY_WIDTH)
    return DecoderConfig(
        layers=TransformerConfig(depth=_DEPTH, width=width, heads=heads, ffn=4 * width),
        word_width=preset.trunk.f.width,
        vocabulary=encode_vocabulary(np.flatnonzero(counts >= _LEAST_COUNT), SIZE),
        positions=_POSITIONS,
        start_id=START_ID,
        end_id=END_ID,
        unknown_id=UNKNOWN_ID,
        first_word_id=FIRST_WORD_ID,
    )


def word_counts(samples: Sequence[Sample]) -> Array:
    """Count how often each id of the vocabulary comes in the summaries of some samples."""
    counts = np.zeros(SIZE, np.int64)
    for sample in samples:
        np.add.at(counts, sample["target_ids"], 1)
    return counts


def memory_spec(decoder: DecoderConfig) -> TensorSpec:
    """Return the tensor that a head hands its decoder."""
    return TensorSpec(name=MEMORY, dtype="float32", shape=(-1, decoder.memory_width))


def generation_of(route: str, head: HeadConfig) -> Generation | None:
    """Return how a head's text is written; None if it writes none.

    Args:
        route: The name of the head.
        head: The sizes of the head.
    """
    decoder = head.decoder
    if decoder is None:
        return None
    words = len(vocabulary_of(decoder.vocabulary))
    return Generation(
        decoder=f"{DECODER_PREFIX}{module_name(route)}",
        inputs=(
            TensorSpec(name=PREVIOUS, dtype="int32", shape=(-1,)),
            TensorSpec(name=STEP, dtype="int32", shape=(1,)),
            TensorSpec(name=PAST, dtype="float32", shape=(-1, -1, decoder.state_width)),
            memory_spec(decoder),
            TensorSpec(name=_SOURCE_MASK, dtype="int32", shape=(-1,)),
        ),
        outputs=(
            TensorSpec(name=GENERATED, dtype="float32", shape=(-1, words)),
            TensorSpec(name=COPIED, dtype="float32", shape=(-1, -1)),
            TensorSpec(name=STATE, dtype="float32", shape=(-1, decoder.state_width)),
        ),
        source=_SOURCE,
        vocabulary=decoder.vocabulary,
        start_id=decoder.start_id,
        end_id=decoder.end_id,
        unknown_id=decoder.unknown_id,
        first_word_id=decoder.first_word_id,
        max_new_tokens=decoder.positions,
    )

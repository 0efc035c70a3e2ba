"""Heads that write text: specs made up, and a tiny network with random weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from omnivec2.generation import encode_vocabulary
from omnivec2.network.config import PRESETS, DecoderConfig, HeadConfig, NetworkConfig
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.text import TextTokenizerConfig
from omnivec2.preprocess import preprocessor_for
from omnivec2.spec import Generation, HeadSpec, Modality, PreprocessSpec, TaskFamily, TensorSpec
from omnivec2.training.structure.decoder_structure import generation_of, memory_spec
from omnivec2.wordpiece import END_ID, FIRST_WORD_ID, SIZE, START_ID, UNKNOWN_ID

ROUTE = "text/summarization"
MAX_TOKENS = 48
WORDS = [0, UNKNOWN_ID, START_ID, END_ID, *range(1996, 2100)]


def generation(words: Sequence[int], width: int = 4, most: int = 64) -> Generation:
    """A spec for a decoder of some words."""

    def tensor(name: str, *shape: int, dtype: str = "float32") -> TensorSpec:
        return TensorSpec.model_validate({"name": name, "dtype": dtype, "shape": shape})

    return Generation(
        decoder="decoder_text_summarization",
        inputs=(
            tensor("previous_ids", -1, dtype="int32"),
            tensor("step", 1, dtype="int32"),
            tensor("past", -1, -1, width),
            tensor("memory", -1, 4),
            tensor("attention_mask", -1, dtype="int32"),
        ),
        outputs=(
            tensor("generated", -1, len(words)),
            tensor("copied", -1, -1),
            tensor("state", -1, width),
        ),
        source="input_ids",
        vocabulary=encode_vocabulary(np.array(words), SIZE),
        start_id=START_ID,
        end_id=END_ID,
        unknown_id=UNKNOWN_ID,
        first_word_id=FIRST_WORD_ID,
        max_new_tokens=most,
    )


def head_that_writes(
    words: Sequence[int], made: Generation | None = None, memory: TensorSpec | None = None
) -> HeadSpec:
    """The spec of a summarization head."""
    preprocess = PreprocessSpec(
        name=Modality.TEXT, version=1, parameters={"max_tokens": MAX_TOKENS, "pair": False}
    )
    preprocessor = preprocessor_for(preprocess)
    return HeadSpec(
        modality=Modality.TEXT,
        task="summarization",
        family=TaskFamily.SUMMARIZATION,
        description="A tiny head that writes.",
        inputs=preprocessor.inputs,
        outputs=(memory or TensorSpec(name="memory", dtype="float32", shape=(-1, 4)),),
        preprocess=preprocess,
        generation=made or generation(words),
        limits=preprocessor.limits,
        max_batch_size=8,
        network="tiny",
    )


def decoder_config() -> DecoderConfig:
    """Two layers over a hundred words."""
    return DecoderConfig(
        layers=TransformerConfig(depth=2, width=32, heads=2, ffn=64),
        word_width=PRESETS["tiny"].trunk.f.width,
        vocabulary=encode_vocabulary(np.array(WORDS), SIZE),
        positions=40,
        start_id=START_ID,
        end_id=END_ID,
        unknown_id=UNKNOWN_ID,
        first_word_id=FIRST_WORD_ID,
    )


def writing_network(
    seed: int = 0, preset: Mapping[str, Any] | None = None
) -> tuple[OmniVec2, list[HeadSpec]]:
    """A network that writes what its random weights make of a text, and embeds texts.

    Args:
        seed: The seed of its weights.
        preset: The sizes of the network; None takes those of the tiny preset.
    """
    torch.manual_seed(seed)
    writes = HeadConfig(family=TaskFamily.SUMMARIZATION, tokenizer="text", decoder=decoder_config())
    config = NetworkConfig.model_validate(
        dict(preset or PRESETS["tiny"].model_dump())
        | {
            "tokenizers": {"text": TextTokenizerConfig(positions=MAX_TOKENS)},
            "heads": {
                ROUTE: writes,
                "text/embedding": HeadConfig(family=TaskFamily.EMBEDDING, tokenizer="text"),
            },
        }
    )
    network = OmniVec2(config).eval()
    for name, parameter in network.heads.named_parameters():
        if parameter.ndim > 1:
            # The tokenizer's words that the decoder's are made of are large already.
            nn.init.normal_(parameter, std=0.03 if name.endswith("decoder.words.weight") else 0.2)
    made = generation_of(ROUTE, writes)
    assert made is not None
    assert writes.decoder is not None
    head = head_that_writes(WORDS, made, memory_spec(writes.decoder))
    width = config.trunk.g.width
    embedding = head.model_copy(
        update={
            "task": "embedding",
            "family": TaskFamily.EMBEDDING,
            "outputs": (TensorSpec(name="embedding", dtype="float32", shape=(width,)),),
            "preprocess": PreprocessSpec(
                name=Modality.TEXT, version=1, parameters={"max_tokens": 20}
            ),
            "generation": None,
        }
    )
    return network, [head, embedding]

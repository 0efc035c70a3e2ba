"""Sentences of a text in a random order, as ids of the vocabulary."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from omnivec2.wordpiece import END_ID, PAD_ID, START_ID, tokenizer

_ENDS = (".", "!", "?")
_SPECIAL = frozenset({PAD_ID, START_ID, END_ID})


def permute_sentences(ids_BN: Tensor, generator: torch.Generator) -> Tensor:
    """Return texts with the sentences of each in a random order.

    Sentences end with a full stop, an exclamation or a question mark; those of the two texts of a
    pair are not mixed, and special tokens keep their places.

    Args:
        ids_BN: The ids of the vocabulary.
        generator: A generator on the CPU, for the order.
    """
    rows = [_permuted(row, generator) for row in ids_BN.tolist()]
    return torch.tensor(rows, dtype=ids_BN.dtype, device=ids_BN.device)


def _permuted(ids: list[int], generator: torch.Generator) -> list[int]:
    result: list[int] = []
    sentences: list[list[int]] = [[]]
    for number in [*ids, PAD_ID]:  # the last one closes a text without an end
        if number not in _SPECIAL:
            sentences[-1].append(number)
            if number in _end_ids():
                sentences.append([])
            continue
        filled = [sentence for sentence in sentences if sentence]
        for index in torch.randperm(len(filled), generator=generator).tolist():
            result += filled[index]
        result.append(number)
        sentences = [[]]
    return result[:-1]


@cache
def _end_ids() -> frozenset[int]:
    found = (tokenizer().token_to_id(sign) for sign in _ENDS)
    return frozenset(number for number in found if number is not None)

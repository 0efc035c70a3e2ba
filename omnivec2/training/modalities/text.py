"""Text: words are masked as BERT has it, or predicted in a drawn order as the paper has it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import JsonValue
from scipy import sparse
from torch import Tensor

from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.text import TextTokenizer, TextTokenizerConfig
from omnivec2.preprocess import Array, Sample
from omnivec2.preprocess.text import TextParameters, TextPreprocessor
from omnivec2.spec import HeadSpec
from omnivec2.training.adaptation import adaptation_rules
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.data.base import TaskData
from omnivec2.training.data.sets.text import TASKS
from omnivec2.training.evaluation.plain_features import one_hot
from omnivec2.training.masked.decoders import Decoder, Seen
from omnivec2.training.masked.masking import choose_hidden
from omnivec2.training.masked.restoration import Inputs, Restoration
from omnivec2.training.masked.sentences import permute_sentences
from omnivec2.training.modalities.base import ModalityTraining
from omnivec2.training.pictures.input_drawings import TableRow
from omnivec2.wordpiece import MASK_ID as MASK_ID  # noqa: PLC0414 (exported from here too)
from omnivec2.wordpiece import text_of

_MASKED, _RANDOM = 0.8, 0.1
"""Shares of hidden words that become [MASK] and another word; the rest stays (8:1:1)."""
_PREDICTED = 0.05
"""The share of all words that the paper predicts (its "f")."""


def corrupted(ids: Tensor, hidden: Tensor, vocabulary: int, generator: torch.Generator) -> Tensor:
    """Replace hidden ids 8:1:1 by [MASK], by a random word, and by themselves.

    Args:
        ids: The ids, (B, N).
        hidden: Whether a word is hidden, bool (B, N).
        vocabulary: The number of ids.
        generator: A generator on the CPU.
    """
    chance = torch.rand(ids.shape, generator=generator).to(ids.device)
    words = torch.randint(MASK_ID + 1, vocabulary, ids.shape, generator=generator)
    masked = torch.full_like(ids, MASK_ID)
    other = words.to(device=ids.device, dtype=ids.dtype)
    changed = torch.where(chance < _MASKED, masked, torch.where(chance < 0.9, other, ids))
    return torch.where(hidden, changed, ids)


class TextRestoration(Restoration[TextTokenizer]):
    """Masked words stay in the sequence as [MASK], a random word or themselves."""

    leading = 0  # WordPiece's own [CLS] is a token like others, but never hidden
    drops = False

    def __init__(self, tokenizer: TextTokenizer) -> None:
        super().__init__(tokenizer)
        # The decoder ends in the words' own space; their table is the output layer.
        self.outputs = tokenizer.words.embedding_dim

    def maskable(self, inputs: Inputs) -> Tensor:
        """Return a mask of words, without special tokens and padding."""
        return (inputs["input_ids"] > MASK_ID) & (inputs["attention_mask"] > 0)

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Replace hidden words 8:1:1."""
        vocabulary = self.tokenizer.words.num_embeddings
        ids = corrupted(inputs["input_ids"], hidden_BN, vocabulary, generator)
        return {**inputs, "input_ids": ids}

    def places(self, inputs: Inputs) -> Tensor:
        """Return the tokenizer's positions."""
        length = inputs["input_ids"].shape[1]
        return self.tokenizer.positions.weight[:length][None]

    def loss(self, predicted_BNP: Tensor, inputs: Inputs, hidden_BN: Tensor) -> Tensor:
        """Return the cross-entropy over the vocabulary at hidden words."""
        logits = predicted_BNP[hidden_BN] @ self.tokenizer.words.weight.float().T
        wanted = inputs["input_ids"][hidden_BN].long()
        entropy = F.cross_entropy(logits, wanted, reduction="sum")
        return entropy / hidden_BN.sum().clamp(min=1)


class PermutedTextRestoration(TextRestoration):
    """The paper's permuted language model: hidden words are predicted in a drawn order.

    f is given the words that are not hidden. The decoder predicts each hidden word from these
    and from the hidden words that come before it in the order, in the two streams of XLNet
    (Yang et al., 2019): content stands beside queries, and a mask limits attention. A
    query holds the mask token, with a random word or its own word added, 8:1:1.
    """

    drops = True

    def hide(self, inputs: Inputs, hidden_BN: Tensor, generator: torch.Generator) -> Inputs:
        """Replace every hidden word by [MASK]; its token is left out afterwards."""
        del generator
        return {**inputs, "input_ids": inputs["input_ids"].masked_fill(hidden_BN, MASK_ID)}

    def predict(
        self,
        decoder: Decoder,
        seen: Seen,
        inputs: Inputs,
        hidden_BN: Tensor,
        counted_BN: Tensor,
        generator: torch.Generator,
    ) -> Tensor:
        """Predict every hidden word from its predecessors in the order."""
        places, words = self.places(inputs), self.tokenizer.words
        ids, unknown = inputs["input_ids"], hidden_BN[..., None]
        hint_ids = corrupted(ids, hidden_BN, words.num_embeddings, generator)
        hints = words(hint_ids) * (unknown & (hint_ids != MASK_ID)[..., None])
        content = decoder.put_back(seen) + decoder.place(places)
        content = torch.where(unknown, decoder.place(places + words(ids)).to(content), content)
        queries = decoder.blank + decoder.place(places + hints)
        x = torch.cat([content, queries.to(content)], dim=1)
        known = (inputs["attention_mask"] > 0) & ~hidden_BN
        x = decoder.blocks(x, two_stream_mask(known, hidden_BN, counted_BN, generator))
        return decoder.restore(x[:, ids.shape[1] :]).float()


def two_stream_mask(
    known_BN: Tensor, hidden_BN: Tensor, counted_BN: Tensor, generator: torch.Generator
) -> Tensor:
    """Return the attention mask of both streams: content first, then queries.

    Content attends to known tokens, itself and hidden ones before it in a drawn order; a query
    attends to the same without its own content, and to itself.

    Args:
        known_BN: Whether a word is known, bool.
        hidden_BN: Whether a word is hidden, bool.
        counted_BN: Whether a hidden word counts in the loss, bool: those come last in the order.
        generator: A generator on the CPU, for the order.

    Returns:
        bool (B, 2N, 2N), True where a row attends to a column.
    """
    batch, count = hidden_BN.shape
    device = hidden_BN.device
    noise = torch.rand(batch, count, generator=generator).to(device) + counted_BN
    before = (noise[:, None, :] < noise[:, :, None]) & hidden_BN[:, None] & hidden_BN[:, :, None]
    earlier = before | known_BN[:, None]
    itself = torch.eye(count, dtype=torch.bool, device=device).expand(batch, -1, -1)
    content = torch.cat([earlier | itself, torch.zeros_like(itself)], dim=2)
    return torch.cat([content, torch.cat([earlier, itself], dim=2)], dim=1)


class PermutedSentencesRestoration(PermutedTextRestoration):
    """The permuted language model on sentences in a random order, of which few words count.

    The paper permutes the sentences of a text, and says "f = 5 %" beside its mask of 95 %: of the
    hidden words, 5 % of all words are predicted, the last ones of the drawn order, as in XLNet's
    partial prediction. All other hidden words are what these are predicted from.
    """

    def rearranged(self, inputs: Inputs, generator: torch.Generator) -> Inputs:
        """Return the texts with the sentences of each in a random order."""
        return {**inputs, "input_ids": permute_sentences(inputs["input_ids"], generator)}

    def counted(self, hidden_BN: Tensor, generator: torch.Generator) -> Tensor:
        """Return the words that are predicted: at least one of every text with hidden words."""
        share = _PREDICTED / TRAINING.hidden_share(literal=True)
        return hidden_BN & choose_hidden(hidden_BN, share, generator)


class TextRules(adaptation_rules.TextRules):
    """The rules of texts, single ones or pairs."""

    def parameters_from_data(
        self, rows: Sequence[Row], base: HeadSpec, given: Collection[str]
    ) -> dict[str, JsonValue]:
        """Return whether texts are pairs."""
        del base, given
        return {"pair": isinstance(rows[0].value, dict)}


class TextTraining(ModalityTraining):
    """Training on texts: ``input_ids``, ``token_type_ids`` and ``attention_mask`` (tokens,)."""

    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes for the longest text of the task."""
        parameters = TextParameters.model_validate(task.preprocess.parameters)
        return TextTokenizerConfig(positions=parameters.max_tokens)

    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return bags of token ids: all of them; for pairs, shared ones, others and their share."""
        rows: list[tuple[Array, Array, float]] = []
        for sample in samples:
            ids, kinds = sample["input_ids"], sample["token_type_ids"]
            first, second = np.unique(ids[kinds == 0]), np.unique(ids[kinds == 1])
            if len(second) == 0:
                rows.append((first, second, 0.0))
                continue
            shared = np.intersect1d(first, second)
            rows.append((np.setxor1d(first, second), shared, len(shared) / len(np.unique(ids))))
        bags = [one_hot([row[0] for row in rows]), one_hot([row[1] for row in rows])]
        share = sparse.csr_matrix(np.array([[row[2]] for row in rows], dtype=np.float32))
        return sparse.hstack([*bags, share]).tocsr()


def _cells(sample: Sample, task: TaskData) -> dict[str, str]:
    """Return the words that are left of a text, or of the two of a pair."""
    del task
    ids, segments = sample["input_ids"], sample["token_type_ids"]
    kept = sample["attention_mask"] > 0
    parts = [ids[kept & (segments == segment)] for segment in (0, 1)]
    names = ("text", "second text")
    return {name: text_of(part) for name, part in zip(names, parts, strict=True) if len(part)}


TRAINING = TextTraining(
    preprocessor=TextPreprocessor,
    data_sets=TASKS,
    mask_ratio=0.15,
    literal_mask_ratio=0.95,
    restoration=TextRestoration,
    literal_restoration=PermutedTextRestoration,
    literal_forms={"text": PermutedSentencesRestoration},
    display=TableRow(_cells),
    adaptation=TextRules(),
)

"""Summarization: a small decoder that writes a text from the tokens of the source.

::

    tokens ─► memory = keys and values of every decoder layer, keys for copying
    last word, step, past, memory ─► P(its own words), P(copies), state      (one step)

A pointer-generator (See et al., 2017): the decoder mixes a distribution over its own words
with one over the words of the source, so that names and numbers need not be learned. Keys
and values are shared by all heads of a layer (Shazeer, 2019), which makes the memory and the
state passed from step to step a third of the size. Its words are rows of the text tokenizer's
table, projected to its width: a thousand texts are too few to learn words from, and a table of
its own would be the largest of its weights.

Shape suffixes: B batch, K beams or T words of a text, N source tokens, P places for past
words, D width, V words of the decoder.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from omnivec2.generation import COPIED, GENERATED, MEMORY, STATE, vocabulary_of
from omnivec2.network.config import DecoderConfig, HeadConfig
from omnivec2.network.frozen_config import TransformerConfig
from omnivec2.network.layers import Tokens, init_bert, sincos
from omnivec2.network.tokenizers.text import IDS, TARGET_IDS, TextTokenizer
from omnivec2.parts import bucket_of

Outputs = dict[str, Tensor]

LOG_PROBS, UNIFORM = "log_probs", "uniform"
"""Training outputs, float32 (B, T): the log probability of each target word (0 after the last),
and its mean over all own words, for label smoothing (likewise)."""

_SMALLEST = 1e-9


class Summarization(nn.Module):
    """``memory`` (B, bucket, width): everything the decoder needs of the source.

    Padded with zeros to a length bucket, as tokens between parts are, so that different
    requests share the decoder's batches. With target ids among the tokens' extras the
    outputs are those of teacher forcing instead.
    """

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        if config.decoder is None:
            raise ValueError("a summarization head needs the sizes of its decoder")
        self.decoder = Decoder(config.decoder, width)

    def forward(self, tokens: Tokens) -> Outputs:
        """Compute keys and values of the tokens, or the likelihood of the target ids."""
        memory_BND = self.decoder.memory(tokens.x_BND)
        real = torch.ones_like(memory_BND[:, :, 0]) if tokens.mask_BN is None else tokens.mask_BN
        if TARGET_IDS in tokens.extras:
            ids, targets = tokens.extras[IDS], tokens.extras[TARGET_IDS]
            return self.decoder.score_targets(targets.long(), memory_BND, real > 0, ids)
        missing = bucket_of(memory_BND.shape[1]) - memory_BND.shape[1]
        memory_BND = memory_BND * real[..., None].to(memory_BND.dtype)
        return {MEMORY: F.pad(memory_BND, (0, 0, 0, missing))}


class Decoder(nn.Module):
    """Causal transformer layers; one projection of the tokenizer's words embeds and predicts.

    ``share_words`` must be called before the first use.
    """

    rows: Tensor
    ids: Tensor
    _tokenizer: TextTokenizer

    def __init__(self, config: DecoderConfig, width: int) -> None:
        super().__init__()
        self.config = config
        layers = config.layers
        self.key_width = config.key_width
        words = torch.from_numpy(vocabulary_of(config.vocabulary).copy())
        self.words = nn.Linear(config.word_width, layers.width)
        self.bias = nn.Parameter(torch.zeros(len(words)))
        self.positions = nn.Parameter(sincos(config.positions, layers.width) / 3)
        self.layers = nn.ModuleList(DecoderLayer(layers) for _ in range(layers.depth))
        self.final_norm = nn.LayerNorm(layers.width, eps=1e-6)
        self.memory_norm = nn.LayerNorm(width, eps=1e-6)
        self.keys_values = nn.Linear(width, 2 * layers.depth * self.key_width)
        self.copy_key = nn.Linear(width, self.key_width)
        # A word is often copied because the previous one was.
        self.copy_key_after = nn.Linear(width, self.key_width)
        self.copy_query = nn.Linear(layers.width, self.key_width)
        self.gate = nn.Linear(2 * layers.width, 1)
        init_bert(self)
        # WordPiece id -> row among the words; ids without a row are unknown.
        highest = max(int(words[-1]), config.unknown_id, config.end_id)
        rows = torch.full((highest + 1,), int(torch.searchsorted(words, config.unknown_id)))
        rows[words] = torch.arange(len(words))
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("ids", words, persistent=False)
        self.unknown = int(rows[config.unknown_id])

    def share_words(self, tokenizer: TextTokenizer) -> None:
        """Use the words of a tokenizer of the same network."""
        # Not registered as a submodule: its weights are stored once, under its own name.
        object.__setattr__(self, "_tokenizer", tokenizer)

    def own_words(self) -> Tensor:
        """Project the own words, (V, D): a constant, which engines compute once."""
        words: Tensor = self.words(F.embedding(self.ids, self._tokenizer.words.weight))
        return words

    def memory(self, x_BND: Tensor) -> Tensor:
        """Map source tokens to (B, N, memory width): keys and values per layer, copy keys."""
        x_BND = self.memory_norm(x_BND)
        before = F.pad(x_BND[:, :-1], (0, 0, 1, 0))
        copy = self.copy_key(x_BND) + self.copy_key_after(before)
        return torch.cat([self.keys_values(x_BND), copy], dim=-1)

    def step(
        self, previous_BK: Tensor, step_B1: Tensor, past_BKPD: Tensor, memory: Tensor, mask: Tensor
    ) -> Outputs:
        """Predict the next word of every beam.

        Args:
            previous_BK: The rows of the last words.
            step_B1: The number of steps before this one.
            past_BKPD: The states of those steps, in as many of the places.
            memory: The memory of the source, (B, N, memory width).
            mask: A mask (B, N), positive where a source token is real.
        """
        batch, beams, places, _ = past_BKPD.shape
        position = self.positions[step_B1[:, 0].long()]
        words = self.own_words()
        embedded = self._embed(previous_BK.long(), words)
        x = embedded + position[:, None]
        seen = torch.arange(places) < step_B1
        seen = F.pad(seen, (0, 1), value=True)[:, None].expand(-1, beams, -1)
        seen = seen.reshape(batch * beams, 1, places + 1)
        states = []
        for index, layer in enumerate(self._blocks):
            past = past_BKPD.reshape(batch * beams, places, -1)
            past_k, past_v = self._keys_values_of_layer(past, index)
            y = layer.self_norm(x).reshape(batch * beams, 1, -1)
            k, v = layer.key(y), layer.value(y)
            states += [k, v]
            keys, values = torch.cat([past_k, k], dim=1), torch.cat([past_v, v], dim=1)
            own = layer.attend_to_past(y, keys, values, seen)
            x = x + own.reshape(batch, beams, -1)
            source = self._keys_values_of_layer(memory, index)
            x = layer.attend_to_source(x, *source, (mask > 0)[:, None])
        generated, copied, gate, _ = self._mixture(x, embedded, words, memory, mask > 0)
        state = torch.cat(states, dim=-1).reshape(batch, beams, -1)
        return {GENERATED: generated * gate, COPIED: copied * (1 - gate), STATE: state}

    def score_targets(
        self, target_BT: Tensor, memory_BND: Tensor, mask_BN: Tensor, source_BN: Tensor
    ) -> Outputs:
        """Compute how likely each target word is, given those before it (teacher forcing).

        Args:
            target_BT: The WordPiece ids of the text, then the end's id, then zeros.
            memory_BND: The memory of the source.
            mask_BN: A mask that is True where a source token is real.
            source_BN: The WordPiece ids of the source.
        """
        length = min(target_BT.shape[1], self.config.positions)
        target_BT = target_BT[:, :length]
        rows_BT = self._rows_of(target_BT)
        start = torch.full_like(rows_BT[:, :1], int(self.rows[self.config.start_id]))
        words = self.own_words()
        embedded = self._embed(torch.cat([start, rows_BT[:, :-1]], dim=1), words)
        x = embedded + self.positions[:length]
        causal = torch.ones(length, length, dtype=torch.bool).tril()[None]
        for index, layer in enumerate(self._blocks):
            y = layer.self_norm(x)
            x = x + layer.attend_to_past(y, layer.key(y), layer.value(y), causal)
            source = self._keys_values_of_layer(memory_BND, index)
            x = layer.attend_to_source(x, *source, mask_BN[:, None])
        generated, copied, gate, log_words = self._mixture(x, embedded, words, memory_BND, mask_BN)
        can_copy = mask_BN & (source_BN >= self.config.first_word_id)
        same = (source_BN[:, None] == target_BT[..., None]) & can_copy[:, None]
        # A word that is neither among its own nor in the source is written as unknown.
        written = (rows_BT != self.unknown) | ~same.any(dim=2)
        own = generated.gather(2, rows_BT[..., None])[..., 0] * written
        probability = own * gate[..., 0] + (copied * same).sum(dim=2) * (1 - gate[..., 0])
        real = (target_BT > 0).float()
        return {
            LOG_PROBS: torch.log(probability + _SMALLEST) * real,
            UNIFORM: log_words.mean(dim=2) * real,
        }

    @property
    def _blocks(self) -> list[DecoderLayer]:
        return cast("list[DecoderLayer]", list(self.layers))

    def _rows_of(self, ids: Tensor) -> Tensor:
        known = ids < len(self.rows)
        return torch.where(known, self.rows[ids.clamp(max=len(self.rows) - 1)], self.unknown)

    def _embed(self, rows: Tensor, words: Tensor) -> Tensor:
        return F.embedding(rows, words) * self.config.layers.width**0.5

    def _keys_values_of_layer(self, keys_values: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Return the keys and values of one layer, out of memory or past states."""
        width = self.key_width
        first = 2 * index * width
        return (
            keys_values[..., first : first + width],
            keys_values[..., first + width : first + 2 * width],
        )

    def _mixture(
        self, x: Tensor, embedded: Tensor, words: Tensor, memory: Tensor, mask_BN: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return P(own words), P(source tokens), the weight of the first (B, T, 1), and its log."""
        x = self.final_norm(x)
        log_words = F.log_softmax(F.linear(x, words, self.bias).float(), dim=-1)
        keys = memory[..., -self.key_width :]
        scores = (self.copy_query(x) @ keys.transpose(1, 2)).float() / self.key_width**0.5
        copied = torch.softmax(scores.masked_fill(~mask_BN[:, None], -torch.inf), dim=-1)
        gate = torch.sigmoid(self.gate(torch.cat([x, embedded], dim=-1)).float())
        return log_words.exp(), copied, gate, log_words


class DecoderLayer(nn.Module):
    """Self-attention to past words, cross-attention to the source, feed-forward net (pre-norm)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        width = config.width
        key_width = width // config.heads
        self.self_norm = nn.LayerNorm(width, eps=1e-6)
        self.query, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.key, self.value = nn.Linear(width, key_width), nn.Linear(width, key_width)
        self.cross_norm = nn.LayerNorm(width, eps=1e-6)
        self.cross_query, self.cross_output = nn.Linear(width, width), nn.Linear(width, width)
        self.ffn_norm = nn.LayerNorm(width, eps=1e-6)
        self.up, self.down = nn.Linear(width, config.ffn), nn.Linear(config.ffn, width)

    def attend_to_past(self, y: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attend from (B, T, D) to keys and values (B, S, d); mask (B or 1, T or 1, S)."""
        return self.output(attend(self.query(y), keys, values, mask, self.heads))

    def attend_to_source(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Attend to the source, then apply the feed-forward net."""
        query = self.cross_query(self.cross_norm(x))
        x = x + self.cross_output(attend(query, keys, values, mask, self.heads))
        return x + self.down(F.gelu(self.up(self.ffn_norm(x))))


def attend(query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Compute attention whose heads share keys and values.

    Args:
        query: The queries, (B, T, heads x d).
        keys: The keys, (B, S, d).
        values: The values, (B, S, d).
        mask: A boolean mask (B or 1, T or 1, S), True where a query may attend.
        heads: The number of heads.
    """
    batch, length, width = query.shape
    flat = query.reshape(batch, length * heads, width // heads)
    scores = flat @ keys.transpose(1, 2) / (width // heads) ** 0.5
    scores = scores.reshape(batch, length, heads, -1).masked_fill(~mask[:, :, None], -torch.inf)
    weights = torch.softmax(scores.float(), dim=-1).to(values.dtype)
    mixed = weights.reshape(batch, length * heads, -1) @ values
    return mixed.reshape(batch, length, width)

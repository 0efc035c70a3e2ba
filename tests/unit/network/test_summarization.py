from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from omnivec2.network.layers import Tokens
from omnivec2.network.summarization import Decoder, Summarization
from omnivec2.parts import bucket_of
from omnivec2.training.losses import LossScale
from omnivec2.training.losses.word_losses import summarization_loss
from tests.support.networks.writing import ROUTE, writing_network

NETWORK, _ = writing_network()
HEAD = NETWORK.heads["text_summarization"].eval()
REAL = torch.tensor([9, 6])


def output_layer() -> Summarization:
    layer = HEAD.get_submodule("output")
    assert isinstance(layer, Summarization)
    return layer


def decoder() -> Decoder:
    return output_layer().decoder


def source(length: int = 9) -> tuple[Tensor, Tensor, Tensor]:
    """Return features (2, N, 32), ids (2, N) and a mask of the real ones."""
    torch.manual_seed(1)
    features, ids = torch.randn(2, 9, 32), torch.randint(1996, 2200, (2, 9))
    features = torch.cat([features, torch.randn(2, length - 9, 32)], dim=1)
    ids = torch.cat([ids, torch.zeros(2, length - 9, dtype=ids.dtype)], dim=1)
    return features, ids, torch.arange(length) < REAL[:, None]


def targets(ids: Tensor) -> Tensor:
    """Return texts of an own word, a copied one, an unknown one and the end; one is shorter."""
    return torch.tensor(
        [[2000, int(ids[0, 3]), 5000, 2001, 102], [int(ids[1, 2]), 2003, 102, 0, 0]]
    )


def taught(length: int = 9) -> dict[str, Tensor]:
    features, ids, mask = source(length)
    extras = {"input_ids": ids, "target_ids": targets(source()[1])}
    with torch.inference_mode():
        outputs: dict[str, Tensor] = HEAD(Tokens(features, mask, extras))
    return outputs


def likelihood(step: dict[str, Tensor], row: int, ids: Tensor, word: int) -> float:
    """Return the likelihood of one word after a step: written plus copied, or unknown."""
    rows = decoder().rows
    copies = (ids[row] == word) & (torch.arange(len(ids[row])) < REAL[row])
    copied = float(step["copied"][row, 0, : len(copies)][copies].sum())
    own = word < len(rows) and (int(rows[word]) != decoder().unknown)
    if own or not bool(copies.any()):
        place = int(rows[word]) if own else decoder().unknown
        copied += float(step["generated"][row, 0, place])
    return copied


def test_steps_with_a_cache_equal_one_pass_over_the_whole_text() -> None:
    features, ids, mask = source()
    wanted, whole = targets(ids), taught()["log_probs"]
    with torch.inference_mode():
        memory = HEAD(Tokens(features, mask))["memory"]
        padded = torch.zeros(2, memory.shape[1])
        padded[:, :9] = mask
        past = torch.zeros(2, 1, 7, decoder().config.state_width)
        previous = torch.full((2, 1), int(decoder().rows[decoder().config.start_id]))
        for place in range(5):
            step = decoder().step(previous, torch.full((2, 1), place), past, memory, padded)
            total = step["generated"].sum(dim=2) + step["copied"].sum(dim=2)
            torch.testing.assert_close(total, torch.ones(2, 1))
            for row in range(2):
                word = int(wanted[row, place])
                if word:
                    found = np.log(likelihood(step, row, ids, word))
                    assert abs(found - float(whole[row, place])) < 1e-5
            past[:, :, place] = step["state"]
            previous = decoder()._rows_of(wanted[:, place : place + 1])


def test_beams_of_one_row_do_not_see_each_other() -> None:
    features, _, mask = source()
    with torch.inference_mode():
        memory = HEAD(Tokens(features, mask))["memory"]
        padded = torch.zeros(2, memory.shape[1])
        padded[:, :9] = mask
        previous = torch.tensor([[5, 9, 20], [7, 30, 6]])
        past = torch.randn(2, 3, 4, decoder().config.state_width)
        together = decoder().step(previous, torch.full((2, 1), 3), past, memory, padded)
        for beam in range(3):
            one = slice(beam, beam + 1)
            alone = decoder().step(
                previous[:, one], torch.full((2, 1), 3), past[:, one], memory, padded
            )
            for name, value in alone.items():
                torch.testing.assert_close(together[name][:, one], value, atol=1e-5, rtol=1e-4)


def test_a_step_ignores_the_places_after_it() -> None:
    features, _, mask = source()
    with torch.inference_mode():
        memory = HEAD(Tokens(features, mask))["memory"]
        padded = torch.zeros(2, memory.shape[1])
        padded[:, :9] = mask
        past = torch.randn(2, 1, 8, decoder().config.state_width)
        arguments = torch.full((2, 1), 4), torch.full((2, 1), 3)
        first = decoder().step(*arguments, past, memory, padded)
        past[:, :, 3:] = 99.0
        second = decoder().step(*arguments, past, memory, padded)
        longer = decoder().step(*arguments, torch.cat([past, past], dim=2), memory, padded)
    for name, value in first.items():
        torch.testing.assert_close(second[name], value)
        torch.testing.assert_close(longer[name], value)


def test_padding_of_the_source_changes_nothing() -> None:
    for name, value in taught().items():
        torch.testing.assert_close(taught(14)[name], value, atol=1e-5, rtol=1e-4)


def test_each_stream_of_a_pair_is_trained_with_its_own_ids() -> None:
    ids = torch.randint(1996, 2200, (2, 9)).int()
    inputs = {
        "input_ids": ids,
        "token_type_ids": torch.zeros_like(ids),
        "attention_mask": torch.ones_like(ids),
        "target_ids": targets(ids).int(),
    }
    with torch.inference_mode():
        alone = NETWORK(ROUTE, inputs)
        pair = NETWORK.forward_pair((ROUTE, ROUTE), (inputs, inputs), (torch.zeros(2),) * 2)
    for outputs in pair:
        assert torch.equal(outputs["log_probs"], alone["log_probs"])


def test_memory_is_padded_to_a_bucket_with_zeros() -> None:
    features, _, mask = source()
    with torch.inference_mode():
        memory = HEAD(Tokens(features, mask))["memory"]
    assert memory.shape == (2, bucket_of(9), decoder().config.memory_width)
    assert (memory[0, 9:] == 0).all()
    assert (memory[1, 6:] == 0).all()
    assert (memory[1, :6] != 0).any(dim=1).all()


def test_the_network_learns_to_write_and_to_copy() -> None:
    network, _ = writing_network(seed=3)
    network.train()
    torch.manual_seed(0)
    ids = torch.randint(20_000, 30_000, (8, 12))
    ids[:, 0], ids[:, 11] = 101, 102
    # "copy the third word, then say 2000": the words copied are none of the decoder's own.
    wanted = torch.stack([ids[:, 3], torch.full((8,), 2000), torch.full((8,), 102)], dim=1)
    inputs = {
        "input_ids": ids.int(),
        "token_type_ids": torch.zeros_like(ids).int(),
        "attention_mask": torch.ones_like(ids).int(),
        "target_ids": wanted.int(),
    }
    optimiser = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = summarization_loss(network(ROUTE, inputs), [], LossScale())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.25 * losses[0]
    with torch.inference_mode():
        chances = network(ROUTE, inputs)["log_probs"].exp()
    assert float(chances[:, 0].mean()) > 0.5

"""Hidden tokens never reach the encoder, and every modality learns to restore them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.spec import Modality
from omnivec2.training.masked.masking import choose_hidden
from omnivec2.training.masked.objective import MaskedObjective
from omnivec2.training.modalities import modality_training
from omnivec2.training.modalities.text import MASK_ID, corrupted, two_stream_mask
from tests.support.hidden import (
    ROUTES,
    arrays,
    pretraining_network,
    with_other_hidden_content,
)

MODALITIES = list(Modality)


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _encodings(network: OmniVec2, modality: Modality, inputs: object, hidden: Tensor) -> Tensor:
    # The literal kinds drop hidden words too; BERT's 8:1:1 shows some, which is tested below.
    kind = modality_training(modality).build_restoration(
        network.tokenizers[modality.value], literal=True
    )
    with torch.no_grad():
        seen = kind.see(inputs, hidden, _generator())
        return network.trunk.f.transformer(seen.tokens.x_BND, seen.tokens.mask_BN)


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_is_hidden_never_reaches_the_encoder(modality):
    network = pretraining_network().eval()
    inputs, other = arrays(modality, 3), arrays(modality, 3, seed=1)
    kind = modality_training(modality).build_restoration(network.tokenizers[modality.value])
    maskable = kind.maskable(inputs)
    share = modality_training(modality).hidden_share()
    hidden = choose_hidden(maskable, share, _generator(), kind.span)
    assert hidden.any()
    changed = with_other_hidden_content(modality, inputs, other, hidden)
    assert any(not torch.equal(changed[name], inputs[name]) for name in inputs)
    before = _encodings(network, modality, inputs, hidden)
    assert torch.equal(before, _encodings(network, modality, changed, hidden))
    elsewhere = with_other_hidden_content(modality, inputs, other, maskable & ~hidden)
    assert not torch.allclose(before, _encodings(network, modality, elsewhere, hidden))


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_encoder_is_given_only_the_tokens_that_are_not_hidden(modality):
    network = pretraining_network()
    inputs = arrays(modality, 3)
    tokenizer = network.tokenizers[modality.value]
    kind = modality_training(modality).build_restoration(tokenizer, literal=True)
    hidden = choose_hidden(kind.maskable(inputs), 0.5, _generator(), kind.span)
    seen = kind.see(inputs, hidden, _generator())
    whole = tokenizer(inputs).x_BND.shape[1]
    count = seen.tokens.x_BND.shape[1]
    kept = torch.full((3,), count) if seen.tokens.mask_BN is None else seen.tokens.mask_BN.sum(1)
    assert torch.equal(kept + hidden.sum(dim=1), torch.full((3,), whole))


@pytest.mark.parametrize("modality", MODALITIES)
def test_restoring_gets_better_within_a_few_steps(modality):
    _, first, last = _few_steps(modality, literal=False)
    assert last < 0.95 * first


def test_words_in_a_drawn_order_are_guessed_better_within_a_few_steps():
    _, first, last = _few_steps(Modality.TEXT, literal=True)
    assert last < 0.8 * first


def _few_steps(modality: Modality, *, literal: bool) -> tuple[MaskedObjective, float, float]:
    """Loss of one batch before and after 20 steps on it."""
    network = pretraining_network().train()
    torch.manual_seed(1)
    objective = MaskedObjective(network, "f", literal=literal, tokenizers=[modality.value])
    inputs = arrays(modality, 4)
    parameters = [*network.parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=3e-3)
    losses = []
    for _ in range(20):
        loss = objective.single(ROUTES[modality], inputs, _generator())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return objective, losses[0], losses[-1]


@pytest.mark.parametrize("modality", MODALITIES)
def test_two_modalities_are_restored_through_cross_attention_and_g(modality):
    network = pretraining_network().train()
    other = Modality.IMU if modality is not Modality.IMU else Modality.TABULAR
    objective = MaskedObjective(network, "g", tokenizers=[modality.value, other.value])
    losses = objective.pair(
        (ROUTES[modality], ROUTES[other]),
        (arrays(modality, 3), arrays(other, 2)),
        (torch.ones(3), torch.ones(2)),
        _generator(),
    )
    torch.stack(losses).sum().backward()
    reached = [network.trunk.g, network.trunk.f.fc, network.fusion.before_g, objective.decoders]
    for part in reached:
        assert sum(float(p.grad.abs().sum()) for p in part.parameters() if p.grad is not None) > 0
    assert all(p.grad is None for p in network.heads.parameters())


def test_padding_changes_no_loss():
    network = pretraining_network().eval()
    objective = MaskedObjective(network, "f", tokenizers=["graph"]).eval()
    inputs = arrays(Modality.GRAPH, 2)
    padding = {"nodes": 2, "node_ids": 2, "node_mask": 2, "edges": 3, "edge_features": 3}
    longer = {
        name: torch.cat([x, torch.zeros_like(x[:, : padding.get(name, 3)])], dim=1)
        for name, x in inputs.items()
    }
    kind = objective.restorations["graph"]
    hidden = choose_hidden(kind.maskable(inputs), 0.3, _generator())
    blank = torch.zeros(2, 2, dtype=torch.bool)
    hidden_longer = torch.cat(
        [hidden[:, :6], blank, hidden[:, 6:], torch.zeros(2, 3, dtype=torch.bool)], dim=1
    )

    def loss(inputs: dict[str, Tensor], hidden: Tensor) -> Tensor:
        seen = kind.see(inputs, hidden, _generator())
        x = network.trunk.f.transformer(seen.tokens.x_BND, seen.tokens.mask_BN)
        seen = seen.with_tokens(seen.tokens.with_x(x))
        decoder = objective.decoders["graph"]
        return kind.loss(kind.predict(decoder, seen, inputs, hidden, _generator()), inputs, hidden)

    with torch.no_grad():
        assert torch.allclose(loss(inputs, hidden), loss(longer, hidden_longer), atol=1e-5)


def test_hidden_words_become_mask_another_word_or_themselves_eight_to_one_to_one():
    ids = torch.full((100, 100), 150)
    hidden = torch.zeros_like(ids, dtype=torch.bool)
    hidden[:, :50] = True
    changed = corrupted(ids, hidden, 30_522, _generator())
    assert torch.equal(changed[:, 50:], ids[:, 50:])
    some = changed[:, :50]
    assert (some == MASK_ID).float().mean() == pytest.approx(0.8, abs=0.02)
    assert (some == 150).float().mean() == pytest.approx(0.1, abs=0.02)
    assert (some >= MASK_ID).all()


def test_special_tokens_and_padding_are_never_hidden():
    network = pretraining_network()
    kind = modality_training(Modality.TEXT).build_restoration(network.tokenizers["text"])
    inputs = arrays(Modality.TEXT, 2)
    inputs["attention_mask"][1, 6:] = 0
    maskable = kind.maskable(inputs)
    assert maskable[0].tolist() == [False, *[True] * 10, False]
    assert maskable[1].tolist() == [False, *[True] * 5, *[False] * 6]


def test_in_a_drawn_order_no_query_sees_its_own_word_or_a_later_one():
    known = torch.tensor([[True, False, False, False]])
    hidden = ~known
    sees = two_stream_mask(known, hidden, _generator())[0]
    content, queries = sees[4:, :4], sees[4:, 4:]
    assert torch.equal(queries, torch.eye(4, dtype=torch.bool))
    assert content[:, 0].all()
    among = content[1:, 1:]
    assert not among.diagonal().any()
    assert sorted(among.sum(dim=1).tolist()) == [0, 1, 2]
    assert not sees[:4, 4:].any()

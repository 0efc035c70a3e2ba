"""Hidden tokens never reach the encoder, and every modality learns to restore them."""

from __future__ import annotations

from collections.abc import Collection

import pytest
import torch
from torch import Tensor

from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.tokenizers.points import GROUP_GAIN
from omnivec2.spec import Modality
from omnivec2.training.masked.masking import choose_hidden
from omnivec2.training.masked.objective import MaskedObjective
from omnivec2.training.masked.sentences import permute_sentences
from omnivec2.training.modalities import modality_training
from omnivec2.training.modalities.text import MASK_ID, corrupted, two_stream_mask
from omnivec2.wordpiece import tokenizer
from tests.support.training.hidden import (
    ROUTES,
    VOCABULARY,
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


@pytest.mark.uncounted
@pytest.mark.parametrize("modality", MODALITIES)
def test_restoring_gets_better_within_a_few_steps(modality):
    _, first, last = _few_steps(modality, literal=False)
    assert last < 0.95 * first


def test_words_in_a_drawn_order_are_guessed_better_within_a_few_steps():
    _, first, last = _few_steps(Modality.TEXT, literal=True)
    assert last < 0.8 * first


def _few_steps(
    modality: Modality, *, literal: bool, forms: Collection[str] = ()
) -> tuple[MaskedObjective, float, float]:
    """Loss of one batch before and after 20 steps on it."""
    network = pretraining_network().train()
    torch.manual_seed(1)
    objective = MaskedObjective(
        network, "f", literal=literal, literal_forms=forms, tokenizers=[modality.value]
    )
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
        predicted = kind.predict(decoder, seen, inputs, hidden, hidden, _generator())
        return kind.loss(predicted, inputs, hidden)

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
    sees = two_stream_mask(known, hidden, hidden, _generator())[0]
    content, queries = sees[4:, :4], sees[4:, 4:]
    assert torch.equal(queries, torch.eye(4, dtype=torch.bool))
    assert content[:, 0].all()
    among = content[1:, 1:]
    assert not among.diagonal().any()
    assert sorted(among.sum(dim=1).tolist()) == [0, 1, 2]
    assert not sees[:4, 4:].any()


def test_words_that_count_come_last_in_the_drawn_order():
    hidden = torch.ones(1, 8, dtype=torch.bool)
    counted = torch.zeros_like(hidden)
    counted[0, [2, 5]] = True
    sees = two_stream_mask(~hidden, hidden, counted, _generator())[0, 8:, :8]
    # A counted word is predicted from all that do not count, and from one counted word at most.
    assert sorted(sees[counted[0]].sum(dim=1).tolist()) == [6, 7]
    assert not sees[~counted[0]][:, counted[0]].any()


def test_literally_one_word_in_twenty_is_predicted_on_sentences_in_another_order():
    network = pretraining_network()
    training = modality_training(Modality.TEXT)
    kind = training.build_restoration(network.tokenizers["text"], forms=["text"])
    ids = torch.randint(104, VOCABULARY, (1, 102))
    ids[0, 0], ids[0, -1] = 101, 102
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    hidden = choose_hidden(kind.maskable(inputs), 0.95, _generator())
    counted = kind.counted(hidden, _generator())
    assert (int(hidden.sum()), int(counted.sum())) == (95, 5)
    assert not (counted & ~hidden).any()
    _, first, last = _few_steps(Modality.TEXT, literal=True, forms=["text"])
    assert last < 0.9 * first


def test_sentences_are_permuted_within_their_text():
    stop, ask = (tokenizer().encode(sign, add_special_tokens=False).ids[0] for sign in ".?")
    first, second = [2000, 2001, stop, 2002, ask, 2003], [3000, stop, 3001, stop]
    ids = torch.tensor([[101, *first, 102, *second, 102, 0, 0]])
    orders = set()
    for seed in range(12):
        (row,) = permute_sentences(ids, _generator(seed)).tolist()
        assert (row[0], row[7], row[12:]) == (101, 102, [102, 0, 0])
        text = ",".join(map(str, row))
        assert f"2000,2001,{stop}" in text
        assert f"2002,{ask}" in text
        assert sorted(row[1:7]) == sorted(first)
        assert sorted(row[8:12]) == sorted(second)
        orders.add(tuple(row))
    assert len(orders) > 4


def test_literally_a_point_is_compared_with_the_one_at_its_place():
    network = pretraining_network()
    training = modality_training(Modality.POINTCLOUD)
    plain = training.build_restoration(network.tokenizers["pointcloud"])
    ordered = training.build_restoration(network.tokenizers["pointcloud"], forms=["points"])
    inputs = arrays(Modality.POINTCLOUD, 2)
    hidden = torch.ones(2, 8, dtype=torch.bool)
    exact = torch.zeros(2, 8, 32, 3)
    exact[:, :, :16] = inputs["groups"] * GROUP_GAIN
    exact[:, :, 16:] = exact[:, :, :16]
    assert ordered.loss(exact.flatten(2), inputs, hidden) == pytest.approx(0, abs=1e-9)
    turned = exact.flip(dims=[2]).flatten(2)
    assert plain.loss(turned, inputs, hidden) == pytest.approx(0, abs=1e-6)
    assert ordered.loss(turned, inputs, hidden) > 1
    _, first, last = _few_steps(Modality.POINTCLOUD, literal=False, forms=["points"])
    assert last < 0.95 * first

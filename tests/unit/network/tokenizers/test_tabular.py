"""Tables: the effect of the pieces of a column's range on its tokens."""

from __future__ import annotations

import pytest
import torch

from omnivec2.network.tokenizers.tabular import Piecewise, TabularTokenizer, TabularTokenizerConfig

CONFIG = TabularTokenizerConfig(numbers=2, cardinalities=(3,), pieces=4)


def inputs() -> dict[str, torch.Tensor]:
    return {
        "numbers": torch.tensor([[0.5, -1.0], [3.0, 0.0]]),
        "missing": torch.tensor([[0, 0], [0, 1]], dtype=torch.uint8),
        "categories": torch.tensor([[1], [2]], dtype=torch.int32),
    }


def test_pieces_change_nothing_before_they_are_trained() -> None:
    plain = TabularTokenizer(CONFIG.model_copy(update={"pieces": 0}), 8)
    pieced = TabularTokenizer(CONFIG, 8)
    outcome = pieced.load_state_dict(plain.state_dict(), strict=False)
    assert set(outcome.missing_keys) == {"piecewise.edges", "piecewise.weight"}
    assert torch.equal(pieced(inputs()).x_BND, plain(inputs()).x_BND)


def test_a_table_without_numbers_has_no_pieces() -> None:
    tokenizer = TabularTokenizer(TabularTokenizerConfig(numbers=0, cardinalities=(3,), pieces=4), 8)
    assert tokenizer.piecewise is None


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (-5.0, 0.0),  # below all pieces
        (0.0, 0.0),
        (0.5, 0.5),  # along the first
        (2.0, 11.0),  # the first whole, half of the second
        (2.999, 20.99),  # before the step
        (3.01, 131.0),  # over it: a piece without length is a step
        (99.0, 1121.0),
    ],
)
def test_a_number_takes_the_whole_of_the_pieces_below_it_and_a_share_of_its_own(
    value: float, wanted: float
) -> None:
    pieces = Piecewise(numbers=1, pieces=4, width=1)
    pieces.edges.copy_(torch.tensor([[0.0, 1.0, 3.0, 3.0, 4.0]]))
    with torch.no_grad():
        pieces.weight.copy_(torch.tensor([[[1.0], [20.0], [100.0], [1000.0]]]))
        found = pieces(torch.tensor([[[value]]])).item()
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6)


def test_columns_have_pieces_of_their_own() -> None:
    pieces = Piecewise(numbers=2, pieces=1, width=1)
    pieces.edges.copy_(torch.tensor([[0.0, 1.0], [10.0, 20.0]]))
    with torch.no_grad():
        pieces.weight.copy_(torch.tensor([[[1.0]], [[2.0]]]))
        found = pieces(torch.tensor([[[0.5], [15.0]]]))
    assert found.flatten().tolist() == [0.5, 1.0]


def test_a_row_itself_is_numbers_in_deviations_flags_of_missing_ones_and_of_categories() -> None:
    tokenizer = TabularTokenizer(CONFIG, 8)
    tokenizer.mean.copy_(torch.tensor([1.0, 0.0]))
    tokenizer.std.copy_(torch.tensor([2.0, 1.0]))
    raw = tokenizer.raw(inputs())
    assert raw.shape == (2, CONFIG.own_widths["raw"])
    assert raw.tolist() == [
        [-0.25, -1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        [1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0],
    ]

from __future__ import annotations

import numpy as np

from service.runtimes.embedded.batching.token_padding import (
    count_tokens,
    restore_tokens,
    token_tensors,
    trim_tokens,
)

TRUNK = {"tokens": ("batch", "length", 384), "mask": ("batch", "length")}
MASK = np.array([[True, False, True, False], [True, False, False, False]])


def test_masks_tell_real_tokens_from_padding() -> None:
    assert count_tokens({"tokens": np.ones((2, 4, 4)), "mask": MASK}) == (3, 5)
    assert count_tokens({"node_mask": MASK, "edge_mask": ~MASK}) == (8, 8)
    assert count_tokens({"pixels": np.ones((2, 3))}) == (0, 0)


def test_tensors_as_long_as_the_mask_can_be_trimmed() -> None:
    features = {"features": ("batch", "length", 192), "scale": ("batch", 1)}
    assert token_tensors(TRUNK, features) == {"tokens", "mask", "features"}
    assert token_tensors(TRUNK, {"embedding": ("batch", 192)}) == {"tokens", "mask"}


def test_nothing_is_trimmed_where_the_length_is_fixed_unknown_or_elsewhere_too() -> None:
    features = {"features": ("batch", "length", 192)}
    assert not token_tensors({"tokens": ("batch", "length", 384)}, features)
    assert not token_tensors({"tokens": ("batch", 40, 384), "mask": ("batch", 40)}, {})
    assert not token_tensors(TRUNK, {"features": ("batch", None, 192)})
    assert not token_tensors(TRUNK, {"attention": ("batch", "heads", "length")})


def test_only_what_is_padding_in_every_row_is_cut_off_and_comes_back_as_zeros() -> None:
    tokens = np.arange(16.0).reshape(2, 4, 2)
    batch = {"tokens": tokens, "mask": MASK, "scale": np.ones((2, 1))}
    names = {"tokens", "mask", "features"}
    trimmed = trim_tokens(batch, names)
    assert {name: array.shape for name, array in trimmed.items()} == {
        "tokens": (2, 3, 2),
        "mask": (2, 3),
        "scale": (2, 1),
    }
    outputs = {"features": trimmed["tokens"] + 1, "scale": batch["scale"]}
    restored = restore_tokens(outputs, names, 4)
    np.testing.assert_array_equal(restored["features"][:, :3], tokens[:, :3] + 1)
    assert not restored["features"][:, 3].any()
    assert restored["scale"] is batch["scale"]


def test_a_batch_without_such_padding_is_left_as_it_is() -> None:
    batch = {"tokens": np.ones((1, 2, 3)), "mask": np.array([[False, True]])}
    assert trim_tokens(batch, {"tokens", "mask"}) is batch


def test_a_batch_of_padding_only_keeps_a_token() -> None:
    batch = {"tokens": np.ones((1, 2, 3)), "mask": np.zeros((1, 2), bool)}
    assert trim_tokens(batch, {"tokens", "mask"})["tokens"].shape == (1, 1, 3)

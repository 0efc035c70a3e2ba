from __future__ import annotations

import numpy as np

from omnivec2.spec import Modality
from omnivec2.training.evaluation.plain_features import pooled
from omnivec2.training.modalities import modality_training


def test_pooling_takes_means_of_equal_blocks():
    array = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert pooled(array, 2, 2).tolist() == [[2.5, 4.5], [10.5, 12.5]]
    assert pooled(np.repeat(array[..., None], 3, axis=2), 1, 1).tolist() == [[[7.5] * 3]]


def test_pictures_are_pooled_to_under_five_thousand_numbers():
    sample = {"pixels": np.zeros((96, 96, 3), dtype=np.uint8)}
    assert modality_training(Modality.IMAGE).plain_features([sample]).shape == (1, 3072)


def _text(first, second=()):
    ids = np.array([101, *first, 102, *second], dtype=np.int32)
    kinds = np.array([0] * (len(first) + 2) + [1] * len(second), dtype=np.int32)
    return {"input_ids": ids, "token_type_ids": kinds, "attention_mask": np.ones_like(ids)}


def test_a_text_is_the_set_of_its_tokens():
    row = modality_training(Modality.TEXT).plain_features([_text([7, 7, 9])]).toarray()[0]
    assert np.flatnonzero(row).tolist() == [7, 9, 101, 102]
    assert set(row) == {0.0, 1.0}


def test_a_pair_is_what_its_texts_share_and_what_they_do_not():
    row = modality_training(Modality.TEXT).plain_features([_text([7, 8], [8, 9])]).toarray()[0]
    size = 30_522
    assert np.flatnonzero(row[:size]).tolist() == [7, 9, 101, 102]
    assert np.flatnonzero(row[size : 2 * size]).tolist() == [8]
    assert row[-1] == np.float32(1 / 5)


def test_a_row_of_a_table_is_its_numbers_and_one_column_per_category():
    sample = {
        "numbers": np.array([3.0], np.float32),
        "missing": np.array([1], np.uint8),
        "categories": np.array([2, 0], np.int32),
    }
    row = modality_training(Modality.TABULAR).plain_features([sample])[0]
    assert row[:2].tolist() == [3.0, 1.0]
    assert np.flatnonzero(row[2:]).tolist() == [2, 128]


def test_a_graph_is_how_often_each_kind_of_atom_and_bond_occurs():
    sample = {
        "nodes": np.array([[5, 0], [5, 1]], np.int32),
        "edge_features": np.array([[1], [3]], np.int32),
        "edge_mask": np.array([1, 0], np.uint8),
    }
    row = modality_training(Modality.GRAPH).plain_features([sample])[0]
    assert row[5] == 2
    assert row[128:130].tolist() == [1, 1]
    assert row[256:260].tolist() == [0, 1, 0, 0]
    assert row[-2:].tolist() == [2, 1]


def test_points_are_counted_where_they_lie():
    sample = {
        "groups": np.zeros((1, 1, 3), np.float32),
        "centres": np.array([[-1.0, -1.0, 0.999]], np.float32),
    }
    row = modality_training(Modality.POINTCLOUD).plain_features([sample])[0]
    assert np.flatnonzero(row).tolist() == [11]

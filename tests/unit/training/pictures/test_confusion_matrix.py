from __future__ import annotations

import numpy as np
from PIL import Image

from omnivec2.training.pictures.confusion_matrix import (
    MOST_CLASSES,
    OTHERS,
    confusion,
    draw_confusion,
    readable,
)


def test_rows_are_the_truth_and_columns_the_answers() -> None:
    counts = confusion(np.array([1, 1, 0]), np.array([0, 1, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_few_classes_are_all_shown() -> None:
    counts, labels = readable(np.eye(3, dtype=int), ("a", "b", "c"))
    assert labels == ["a", "b", "c"]
    assert counts.tolist() == np.eye(3).tolist()


def test_of_many_classes_those_with_errors_are_shown_and_no_sample_is_lost() -> None:
    counts = 5 * np.eye(100, dtype=int)
    counts[70, 40] = 9
    pooled, labels = readable(counts, [str(label) for label in range(100)])
    assert len(labels) == len(pooled) == MOST_CLASSES
    assert labels[-1] == OTHERS
    row, column = labels.index("70"), labels.index("40")
    assert pooled[row, column] == 9
    assert pooled[row, row] == 5
    assert pooled.sum() == counts.sum()
    assert pooled[-1, -1] == 5 * (100 - len(labels) + 1)


def test_the_picture_is_dark_where_answers_are(tmp_path) -> None:
    counts = np.array([[8, 0], [0, 2]])  # rows of any size are normalised equally
    draw_confusion(path := tmp_path / "own" / "c.png", counts, ("$5 or less", "a | b"))
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    blue = (pixels == [8, 48, 107]).all(axis=2)  # the end of the scale: all of a row
    columns = np.flatnonzero(blue.any(axis=0))
    rows = np.flatnonzero(blue.any(axis=1))
    middle = (columns[0] + columns[-1]) // 2, (rows[0] + rows[-1]) // 2
    quarters = (
        blue[: middle[1], : middle[0]],
        blue[: middle[1], middle[0] + 2 :],
        blue[middle[1] + 2 :, : middle[0]],
        blue[middle[1] + 2 :, middle[0] + 2 :],
    )
    assert [bool(quarter.any()) for quarter in quarters] == [True, False, False, True]

from __future__ import annotations

import io

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.science.npy import read_npy


def saved(array, **options) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


def header(text: str) -> bytes:
    body = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(body).to_bytes(2, "little") + body


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_comes_back_as_it_was_saved(order):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4, order=order)
    assert np.array_equal(read_npy(saved(array), 1000), array)


def test_pickled_objects_are_refused_without_unpickling():
    with pytest.raises(UndecodableError, match="pickled"):
        read_npy(saved(np.array([{"a": 1}], dtype=object), allow_pickle=True), 1000)


def test_a_declared_size_over_the_limit_is_refused_before_the_data_is_looked_at():
    data = header("{'descr': '<f8', 'fortran_order': False, 'shape': (100000, 100000), }")
    with pytest.raises(TooLargeError):
        read_npy(data, 2**20)


def test_truncated_data_is_refused():
    with pytest.raises(UndecodableError, match="truncated"):
        read_npy(saved(np.zeros(10))[:-1], 1000)


@pytest.mark.parametrize("dtype", [complex, bool, "U3", [("x", "f4")], "M8[s]"])
def test_arrays_of_anything_but_real_numbers_are_refused(dtype):
    with pytest.raises(InvalidInputError):
        read_npy(saved(np.zeros(3, dtype=dtype)), 1000)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00\x00\x00",
        header("{"),
        header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
        header("{'descr': 'nonsense', 'fortran_order': False, 'shape': (1,), }"),
        header("{'descr': '<f8', 'shape': (1,), }"),
        header("(((((((((("),
        header("__import__('os')"),
    ],
)
def test_damaged_headers_are_refused(data):
    with pytest.raises(UndecodableError):
        read_npy(data, 1000)

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import scipy.io

from omnivec2.errors import InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.science.matlab_file import MatlabFile

LIMIT = 2**20


def mat(*, compressed: bool = False, **variables) -> bytes:
    stream = io.BytesIO()
    scipy.io.savemat(stream, variables, do_compression=compressed)
    return stream.getvalue()


def element(kind: int, data: bytes, order: str = "<") -> bytes:
    return struct.pack(f"{order}II", kind, len(data)) + data + bytes(-len(data) % 8)


def matrix(values: bytes, *, order: str = "<", flags: int = 6, size: int = 3, name=b"x") -> bytes:
    """A MATLAB 5 file, written by hand, of one row of values."""
    mark = b"\0\x01IM" if order == "<" else b"\x01\0MI"
    head = element(6, struct.pack(f"{order}II", flags, 0), order)
    head += element(5, struct.pack(f"{order}2i", 1, size), order) + element(1, name, order)
    return b"MATLAB 5.0 MAT-file".ljust(124) + mark + element(14, head + values, order)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_arrays_of_every_numeric_class_are_read_as_by_scipy(dtype, compressed):
    values = np.arange(24).reshape(2, 3, 4).astype(dtype)
    data = mat(first=np.ones(3), cube=values, compressed=compressed)
    file = MatlabFile(data, LIMIT)
    assert [v.name for v in file.variables] == ["first", "cube"]
    cube = file.variables[1]
    assert (cube.shape, cube.kind) == (
        (2, 3, 4), scipy.io.whosmat(io.BytesIO(data))[1][2],
    )  # fmt: skip
    read = file.read(cube)
    assert read.dtype == dtype
    np.testing.assert_array_equal(read, values)


def test_other_kinds_of_variables_are_listed_and_not_read():
    data = mat(
        text="abc", struct={"a": 1}, truth=np.array([True]), cells=np.array([1, "x"], object),
        complex=np.ones(2) * 1j, sparse=scipy.sparse.eye_array(3).tocsc(),
    )  # fmt: skip
    file = MatlabFile(data, LIMIT)
    kinds = {v.name: v.kind for v in file.variables}
    assert kinds == {name: kind for name, _, kind in scipy.io.whosmat(io.BytesIO(data))}
    assert [v.name for v in file.variables if v.is_numeric] == ["complex"]
    for variable in file.variables:
        with pytest.raises(InvalidInputError, match=f"real numbers in variable {variable.name}"):
            file.read(variable)


@pytest.mark.parametrize("order", ["<", ">"])
def test_values_may_be_stored_in_a_smaller_type_than_their_class(order):
    data = matrix(element(3, struct.pack(f"{order}3h", 1, -2, 300), order), order=order)
    file = MatlabFile(data, LIMIT)
    assert file.variables[0].kind == "double"
    assert file.read(file.variables[0]).tolist() == [[1, -2, 300]]


def test_up_to_four_bytes_may_stand_in_the_place_of_the_size():
    data = matrix(struct.pack("<HH4s", 2, 3, b"\x07\x08\x09\0"))
    file = MatlabFile(data, LIMIT)
    assert file.read(file.variables[0]).tolist() == [[7, 8, 9]]


@pytest.mark.parametrize(
    "values",
    [b"", element(3, bytes(4)), element(99, bytes(6)), struct.pack("<II", 3, 2**31)],
    ids=["none", "too few", "unknown type", "longer than the file"],
)
def test_values_that_are_not_as_declared_are_refused(values):
    file = MatlabFile(matrix(values), LIMIT)
    with pytest.raises(UndecodableError):
        file.read(file.variables[0])


@pytest.mark.parametrize(
    "data",
    [
        matrix(element(9, bytes(24)), flags=200),
        matrix(element(9, bytes(24)), size=-3),
        matrix(element(9, bytes(24)))[:160],
        mat(x=np.ones(3))[:128] + element(15, b"no zlib"),
        mat(x=np.ones(3))[:128] + element(15, zlib.compress(b"abc")),
        mat(x=np.ones(3))[:128] + element(14, element(6, b"") * 3),
    ],
    ids=["class", "size", "cut", "compression", "empty", "flags"],
)
def test_damaged_files_are_refused(data):
    with pytest.raises(UndecodableError):
        MatlabFile(data, LIMIT)


def test_a_file_may_not_unpack_to_more_than_the_limit():
    data = mat(a=np.zeros(4000), b=np.zeros(4000), compressed=True)
    assert len(MatlabFile(data, 70_000).variables) == 2
    with pytest.raises(TooLargeError, match="more than 60,000 bytes"):
        MatlabFile(data, 60_000)

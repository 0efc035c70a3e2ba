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


def one_matrix(*parts: bytes) -> bytes:
    """A file of one matrix element of any parts."""
    return b"MATLAB 5.0 MAT-file".ljust(124) + b"\0\x01IM" + element(14, b"".join(parts))


FLAGS = struct.pack("<II", 6, 0)
SIZES = struct.pack("<2i", 1, 3)
VALUES = element(9, bytes(24))


@pytest.mark.parametrize("wrong", [0, 1, 3, 7, 9, 14, 15, 16, 99, 255])
def test_an_element_of_a_wrong_type_is_refused_before_it_is_read(wrong):
    for tags in {(wrong, 5, 1), (6, wrong, 1), (6, 5, wrong)} - {(6, 5, 1)}:
        head = [element(tag, data) for tag, data in zip(tags, (FLAGS, SIZES, b"x"), strict=True)]
        with pytest.raises(UndecodableError, match="damaged"):
            MatlabFile(one_matrix(*head, VALUES), LIMIT)


@pytest.mark.parametrize("tag", [*range(20), 255, 2**16 - 1])
@pytest.mark.parametrize("flags", [6, 8, 10, 15])
def test_values_of_any_type_tag_are_read_as_such_or_refused(tag, flags):
    file = MatlabFile(matrix(element(tag, bytes(24)), flags=flags), LIMIT)
    if tag in ((9, 12, 13) if flags == 6 else (12, 13)):  # those of eight bytes each
        assert file.read(file.variables[0]).shape == (1, 3)
    else:
        with pytest.raises(UndecodableError):
            file.read(file.variables[0])


def test_integers_are_not_stored_as_floats():
    file = MatlabFile(matrix(element(7, bytes(12)), flags=10), LIMIT)
    with pytest.raises(UndecodableError, match="unknown type"):
        file.read(file.variables[0])


@pytest.mark.parametrize("depth", [1, 100, 20_000])
def test_cells_inside_cells_are_listed_and_never_followed(depth):
    inner = element(6, FLAGS) + element(5, SIZES) + element(1, b"x") + VALUES
    flags, sizes = struct.pack("<II", 1, 0), struct.pack("<2i", 1, 1)
    head = element(6, flags) + element(5, sizes) + element(1, b"c")
    lengths = [len(inner) + (8 + len(head)) * level for level in reversed(range(depth))]
    nested = b"".join(head + struct.pack("<II", 14, length) for length in lengths)
    file = MatlabFile(one_matrix(nested, inner), LIMIT)
    assert [(v.kind, v.is_numeric) for v in file.variables] == [("cell", False)]
    with pytest.raises(InvalidInputError, match="real numbers in variable c"):
        file.read(file.variables[0])


def test_two_variables_of_one_name_are_refused():
    again = matrix(VALUES)[128:]
    with pytest.raises(InvalidInputError, match="several variables named x"):
        MatlabFile(matrix(VALUES) + again, LIMIT)


def test_functions_and_objects_are_listed():
    for number, parts in ((16, ()), (17, (element(1, b"table"), element(1, b"MCOS")))):
        flags = element(6, struct.pack("<II", number, 0))
        data = one_matrix(flags, *parts) + matrix(VALUES)[128:]
        kinds = [(v.name, v.kind) for v in MatlabFile(data, LIMIT).variables]
        assert kinds[0] == (("", "function") if number == 16 else ("table", "opaque"))
        assert kinds[1] == ("x", "double")


def test_a_thousand_variables_are_too_many():
    one = matrix(VALUES, name=b"")[128:]
    with pytest.raises(TooLargeError, match="more than 1,000 variables"):
        MatlabFile(matrix(VALUES) + one * 1000, LIMIT)


@pytest.mark.parametrize("mark", [b"II", b"\0\0", b"MM"])
def test_the_mark_of_the_byte_order_must_be_right(mark):
    data = matrix(VALUES)
    with pytest.raises(UndecodableError, match="byte order"):
        MatlabFile(data[:126] + mark + data[128:], LIMIT)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_single_wrong_byte_is_refused_or_read_and_never_more(compressed):
    data = mat(cube=np.arange(24.0).reshape(2, 3, 4), text="ab", compressed=compressed)
    for place in range(124, min(len(data), 400)):
        for value in (0, 8, 14, 255):
            damaged = data[:place] + bytes([value]) + data[place + 1 :]
            try:
                file = MatlabFile(damaged, LIMIT)
                for variable in file.variables:
                    file.read(variable)
            except (UndecodableError, InvalidInputError, TooLargeError):
                continue

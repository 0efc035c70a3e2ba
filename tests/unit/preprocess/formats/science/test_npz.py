from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from omnivec2.errors import InputError, TooLargeError, UndecodableError
from omnivec2.preprocess.formats.science.npz import is_npz, read_npz

LIMIT = 2**16


def npz(*, packed: bool = False, **arrays: object) -> bytes:
    stream = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(stream, **arrays)
    return stream.getvalue()


@pytest.mark.parametrize("packed", [False, True])
def test_the_chosen_array_is_read_and_those_that_describe_it(packed: bool) -> None:
    cube, waves = np.arange(6).reshape(2, 3), np.array([0.4, 0.5])
    data = npz(packed=packed, cube=cube, waves=waves, names=np.array(["a"]))
    assert is_npz(data)
    seen = {}

    def choose(arrays):
        seen.update({name: (a.shape, a.is_numeric) for name, a in arrays.items()})
        return "cube"

    found, others = read_npz(data, LIMIT, choose, lambda array: array.name == "waves")
    assert seen == {"cube": ((2, 3), True), "waves": ((2,), True), "names": ((1,), False)}
    np.testing.assert_array_equal(found, cube)
    np.testing.assert_array_equal(others["waves"], waves)


def test_objects_are_never_unpickled() -> None:
    data = npz(cube=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UndecodableError, match="pickled"):
        read_npz(data, LIMIT, lambda _: "cube")


def test_declared_sizes_are_compared_before_an_array_is_unpacked() -> None:
    data = npz(packed=True, cube=np.zeros(2**20))
    with pytest.raises(TooLargeError):
        read_npz(data, LIMIT, lambda _: "cube")


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"text"])
def test_members_that_are_no_arrays_are_refused(content: bytes) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("cube.npy", content)
    with pytest.raises(UndecodableError):
        read_npz(stream.getvalue(), LIMIT, lambda _: "cube")


def test_damage_of_any_kind_is_an_input_error_or_an_array() -> None:
    rng = np.random.default_rng(5)
    data = npz(cube=np.arange(200.0))
    for _ in range(60):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[rng.integers(len(data))] = rng.integers(256)
        try:
            read_npz(bytes(damaged), LIMIT, lambda arrays: next(iter(arrays)))
        except (InputError, StopIteration):
            continue


def test_other_archives_are_no_npz() -> None:
    assert not is_npz(b"")
    assert not is_npz(b"PK\3\4" + bytes(26) + b"a.hdr")

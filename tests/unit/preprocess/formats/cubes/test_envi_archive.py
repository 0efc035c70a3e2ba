from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess.formats.cubes.cube import Cube
from omnivec2.preprocess.formats.cubes.cube_readers import read_zip
from omnivec2.preprocess.notes import collect_notes
from omnivec2.spec import Limits

CUBE = np.arange(24, dtype="<i2").reshape(2, 3, 4)
OTHER = CUBE[..., :2].copy()


def header(cube: np.ndarray) -> bytes:
    lines, samples, bands = cube.shape
    return (
        f"ENVI\nlines = {lines}\nsamples = {samples}\nbands = {bands}\ndata type = 2\n"
        "interleave = bip\nbyte order = 0\n"
    ).encode()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in files.items():
            file.writestr(name, content)
    return stream.getvalue()


def read(data: bytes) -> Cube:
    return read_zip(data, Limits(), 4).bands_last(4)


SCENE = {"scene.hdr": header(CUBE), "scene.dat": CUBE.tobytes()}


@pytest.mark.parametrize(
    "beside",
    [
        {"scene.png": b"\x89PNG"}, {"._scene.hdr": b"\0\5\x16\7"}, {"__MACOSX/._scene.dat": b"\0"},
        {"scene.dat.aux.xml": b"<a/>"}, {"scene.jpg": b"", "readme.txt": b"hello"},
        {".DS_Store": b"x", "Thumbs.db": b"x", "desktop.ini": b"x"}, {"scene.enp": b"pyramid"},
        {"scene.log": b"x" * 48, "scene.prj": b"PROJCS"}, {"empty/": b""},
    ],
)  # fmt: skip
def test_what_lies_beside_a_cube_does_no_harm(beside: dict[str, bytes]) -> None:
    for files in ({**SCENE, **beside}, {**beside, **SCENE}):
        with collect_notes() as notes:
            np.testing.assert_array_equal(read(zipped(files)).values, CUBE)
        assert not len(notes)


@pytest.mark.parametrize("name", ["scene.dat", "scene", "scene.IMG", "scene.raw", "scene.bip"])
def test_the_data_may_have_any_ending(name: str) -> None:
    data = zipped({"a/b/scene.hdr": header(CUBE), f"a/b/{name}": CUBE.tobytes()})
    np.testing.assert_array_equal(read(data).values, CUBE)


def test_of_several_files_of_the_name_that_of_the_declared_size_is_read() -> None:
    data = zipped({**SCENE, "scene.img": b"index"})
    np.testing.assert_array_equal(read(data).values, CUBE)


def test_data_of_another_name_but_the_declared_size_is_read_with_a_note() -> None:
    data = zipped({"scene.hdr": header(CUBE), "pixels.dat": CUBE.tobytes(), "x.dat": b"x"})
    with collect_notes() as notes:
        np.testing.assert_array_equal(read(data).values, CUBE)
    assert "pixels.dat was read as the data of scene.hdr" in next(iter(notes)).text
    with pytest.raises(InvalidInputError, match="one data file named like"):
        read(zipped({"scene.hdr": header(CUBE), "pixels.dat": b"short"}))


@pytest.mark.parametrize("prefix", ["DARKREF_", "WHITEREF_", "dark_reference_", "white-"])
def test_references_of_a_camera_are_left_out_with_a_note(prefix: str) -> None:
    reference = {f"{prefix}scene.hdr": header(CUBE), f"{prefix}scene.raw": bytes(48)}
    with collect_notes() as notes:
        np.testing.assert_array_equal(read(zipped({**reference, **SCENE})).values, CUBE)
    assert prefix in next(iter(notes)).text


def test_of_several_cubes_the_one_with_the_right_bands_is_read_with_a_note() -> None:
    other = {"mask.hdr": header(OTHER), "mask.dat": OTHER.tobytes()}
    with collect_notes() as notes:
        np.testing.assert_array_equal(read(zipped({**other, **SCENE})).values, CUBE)
    assert "mask.hdr" in next(iter(notes)).text
    again = {"again.hdr": header(CUBE), "again.dat": CUBE.tobytes()}
    with pytest.raises(InvalidInputError, match="one cube of 4 bands, the headers are scene"):
        read(zipped({**SCENE, **again}))


def test_metadata_of_the_header_comes_with_the_cube() -> None:
    text = header(CUBE) + (
        b"data ignore value = -1\nbbl = {1,1,0,1}\nwavelength = {.4,.5,.6,.7}\n"
        b"reflectance scale factor = 10000\ndata gain values = {1,1,1,1}\n"
    )
    cube = read(zipped({"s.hdr": text, "s.dat": CUBE.tobytes()}))
    assert (cube.no_data, cube.reflectance_factor) == (-1, 10_000)
    assert cube.bad_bands is not None
    assert cube.wavelengths_nm is not None
    assert cube.bad_bands.tolist() == [False, False, True, False]
    assert cube.wavelengths_nm.round().tolist() == [400, 500, 600, 700]
    assert cube.ignored == ("data gain values",)


def test_data_longer_than_declared_is_noted() -> None:
    with collect_notes() as notes:
        cube = read(zipped({"s.hdr": header(CUBE), "s.dat": CUBE.tobytes() + b"abc"}))
    np.testing.assert_array_equal(cube.values, CUBE)
    assert [note.code for note in notes] == ["ignored"]


def test_a_spectral_library_gives_its_spectra() -> None:
    text = header(np.zeros((6, 4, 1))) + b"file type = ENVI Spectral Library\n"
    cube = read(zipped({"s.hdr": text, "s.sli": CUBE.tobytes()}))
    np.testing.assert_array_equal(cube.values, CUBE.reshape(6, 4))

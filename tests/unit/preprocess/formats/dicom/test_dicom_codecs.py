from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import uid

from omnivec2.preprocess.formats.dicom.dicom_codecs import SYNTAXES, decode_frame, is_available

GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)
COLOUR = np.zeros((8, 8, 3), np.uint8)


def runner(pixels: np.ndarray, syntax: str) -> Any:
    """As much of pydicom's decoder as a plugin sees."""
    options: dict[str, object] = {}
    return SimpleNamespace(
        transfer_syntax=syntax,
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        samples_per_pixel=3 if pixels.ndim == 3 else 1,
        bits_allocated=8,
        set_option=options.__setitem__,
        options=options,
    )


def test_the_plugin_is_available_for_its_syntaxes_only():
    assert all(is_available(syntax) for syntax in SYNTAXES)
    assert not is_available(uid.JPEG2000)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEGLossless])
def test_a_lossless_frame_is_decoded_as_it_was(syntax):
    encode = imagecodecs.jpegls_encode if "LS" in uid.UID(syntax).name else imagecodecs.ljpeg_encode
    made = runner(GREY, syntax)
    assert decode_frame(encode(GREY), made) == GREY.tobytes()
    assert made.options == {"planar_configuration": 0, "bits_allocated": 8}


def test_colours_of_a_lossy_jpeg_are_rgb_once_decoded():
    made = runner(COLOUR, uid.JPEGExtended12Bit)
    decode_frame(imagecodecs.jpeg8_encode(COLOUR), made)
    assert made.options["photometric_interpretation"] == "RGB"


def test_a_frame_of_another_size_than_declared_is_refused():
    with pytest.raises(ValueError, match="holds 12 samples, expected 192"):
        decode_frame(imagecodecs.jpegls_encode(GREY), runner(COLOUR, uid.JPEGLSLossless))

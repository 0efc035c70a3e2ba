"""A pydicom plugin that decodes JPEG, JPEG-LS and run-length coding with imagecodecs.

pydicom's own plugins do not decode 12-bit JPEG, need GDCM for lossless JPEG and JPEG-LS,
and decode run-length coding in Python without a bound. The plugin has the form that pydicom
documents ("Decoding plugins"). Importing this module registers it.
"""

from __future__ import annotations

from collections.abc import Callable

import imagecodecs
import numpy as np
from pydicom import uid
from pydicom.pixels.common import PhotometricInterpretation
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder

from omnivec2.preprocess.base import Array

PLUGIN = "imagecodecs"


def is_available(syntax: str) -> bool:
    """Whether the plugin decodes a transfer syntax; called by pydicom."""
    return syntax in SYNTAXES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytearray:
    """Decode one frame; called by pydicom with the data set's description of the frame.

    Raises:
        ValueError: the frame does not have the size that the data set declares.
        RuntimeError: imagecodecs cannot read the codestream.
    """
    pixels = SYNTAXES[runner.transfer_syntax](source, runner)
    expected = runner.rows * runner.columns * runner.samples_per_pixel
    if pixels.size != expected:
        raise ValueError(f"the frame holds {pixels.size:,} samples, expected {expected:,}")
    runner.set_option("bits_allocated", 8 * pixels.dtype.itemsize)
    return bytearray(np.ascontiguousarray(pixels).tobytes())


def _jpeg(source: bytes, runner: DecodeRunner) -> Array:
    runner.set_option("planar_configuration", 0)
    return imagecodecs.jpeg8_decode(source)


def _lossy_jpeg(source: bytes, runner: DecodeRunner) -> Array:
    if runner.samples_per_pixel > 1:  # libjpeg turns YCbCr into RGB
        runner.set_option("photometric_interpretation", PhotometricInterpretation.RGB)
    return _jpeg(source, runner)


def _jpeg_ls(source: bytes, runner: DecodeRunner) -> Array:
    runner.set_option("planar_configuration", 0)
    return imagecodecs.jpegls_decode(source)


def _run_length(source: bytes, runner: DecodeRunner) -> Array:
    kind = np.dtype(f"<u{runner.bits_allocated // 8}")
    samples = runner.rows * runner.columns * runner.samples_per_pixel
    runner.set_option("planar_configuration", 1)
    decoded = imagecodecs.dicomrle_decode(source, kind, out=samples * kind.itemsize)
    return np.frombuffer(decoded, dtype=kind)


SYNTAXES: dict[str, Callable[[bytes, DecodeRunner], Array]] = {
    uid.JPEGExtended12Bit: _lossy_jpeg,
    uid.JPEGLossless: _jpeg,
    uid.JPEGLosslessSV1: _jpeg,
    uid.JPEGLSLossless: _jpeg_ls,
    uid.JPEGLSNearLossless: _jpeg_ls,
    uid.RLELossless: _run_length,
}
"""The transfer syntaxes decoded here; pydicom's own plugins decode the others."""

DECODER_DEPENDENCIES = dict.fromkeys(SYNTAXES, ("imagecodecs",))

for _syntax in SYNTAXES:
    if PLUGIN not in get_decoder(_syntax).available_plugins:
        get_decoder(_syntax).add_plugin(PLUGIN, (__name__, decode_frame.__name__))

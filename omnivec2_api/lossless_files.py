"""Arrays and pictures in memory as files of a lossless format, which every head reads like others.

So an array goes the same way as a file: through the same decoding, checks and notes, whether it is
answered in this process or over HTTP.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from omnivec2.errors import InvalidInputError
from omnivec2.spec import Modality

if TYPE_CHECKING:
    from PIL.Image import Image

Array = npt.NDArray[Any]
NPY, PNG, TIFF, WAV, MATROSKA = (
    *("application/x-npy", "image/png", "image/tiff", "audio/wav"),
    "video/x-matroska",
)
PARQUET = "application/vnd.apache.parquet"
VIDEO_FRAMES_PER_SECOND = 25
"""The rate that an array of frames is taken for. Frames are chosen evenly over the whole clip, so
that it does not change the answer."""

_PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA", "I;16"})


def picture_file(picture: Image) -> tuple[bytes, str]:
    """Return a PIL picture as a file, with its EXIF orientation: (bytes, content type)."""
    stream = io.BytesIO()
    if picture.mode == "F":
        picture.save(stream, format="TIFF")
        return stream.getvalue(), TIFF
    image = picture if picture.mode in _PNG_MODES else picture.convert("RGB")
    image.save(stream, format="PNG", compress_level=1, exif=picture.getexif())
    return stream.getvalue(), PNG


def array_file(modality: str, array: Array) -> tuple[bytes, str] | None:
    """Return an array as a file of a modality, or None if it takes lists of numbers instead.

    Args:
        modality: The modality.
        array: The array. A picture is uint8 (height, width[, 3 or 4]), an X-ray also uint16, a
            thermal picture any number (height, width); a video is uint8 (frames, height, width,
            3). Depth, points and cubes are as their NPY files.

    Raises:
        InvalidInputError: The array is none of these.
    """
    write = _WRITERS.get(modality)
    return write(array) if write else None


def sound_file(samples: Array, sampling_rate: int) -> tuple[bytes, str]:
    """Return samples as a WAV file: (bytes, content type).

    Args:
        samples: The samples, (samples,) or (samples, channels): int16, or floats within -1 to 1.
        sampling_rate: The samples per second.
    """
    import soundfile

    subtype = "PCM_16" if samples.dtype == np.int16 else "FLOAT"
    values = samples if samples.dtype == np.int16 else samples.astype(np.float32)
    stream = io.BytesIO()
    soundfile.write(stream, values, int(sampling_rate), format="WAV", subtype=subtype)
    return stream.getvalue(), WAV


def table_file(table: Any) -> tuple[bytes, str]:
    """Return a data frame as a Parquet file: (bytes, content type).

    Args:
        table: An object with Arrow's PyCapsule interface, as pandas, polars and pyarrow have it.
    """
    import pyarrow
    import pyarrow.parquet

    stream = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(table), stream)
    return stream.getvalue(), PARQUET


def _npy(array: Array) -> tuple[bytes, str]:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(array), allow_pickle=False)
    return stream.getvalue(), NPY


def _picture(array: Array) -> tuple[bytes, str]:
    from PIL import Image

    is_colour = array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype == np.uint8
    is_grey = array.ndim == 2 and array.dtype in (np.uint8, np.uint16)
    if not (is_colour or is_grey):
        raise InvalidInputError(
            "expected a picture as uint8 (height, width, 3), uint8 or uint16 (height, width), got "
            f"{array.dtype} {array.shape}",
            field="inputs",
        )
    return picture_file(Image.fromarray(np.ascontiguousarray(array)))


def _thermal_picture(array: Array) -> tuple[bytes, str]:
    from PIL import Image

    if array.ndim == 2 and array.dtype.kind in "fiu" and array.dtype not in (np.uint8, np.uint16):
        return picture_file(Image.fromarray(np.ascontiguousarray(array, np.float32)))
    return _picture(array)


def _video(array: Array) -> tuple[bytes, str]:
    """Return frames as a Matroska file in FFV1, which loses nothing."""
    import av

    if array.ndim != 4 or array.shape[3] != 3 or array.dtype != np.uint8 or not len(array):
        raise InvalidInputError(
            f"expected frames as uint8 (frames, height, width, 3), got {array.dtype} {array.shape}",
            field="inputs",
        )
    stream = io.BytesIO()
    with av.open(stream, "w", format="matroska") as container:
        track = container.add_stream("ffv1", rate=VIDEO_FRAMES_PER_SECOND)
        track.height, track.width = array.shape[1:3]
        track.pix_fmt = "bgr0"
        for pixels in array:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return stream.getvalue(), MATROSKA


_WRITERS: Mapping[str, Callable[[Array], tuple[bytes, str]]] = {
    Modality.IMAGE: _picture,
    Modality.XRAY: _picture,
    Modality.INFRARED: _thermal_picture,
    Modality.VIDEO: _video,
    Modality.DEPTH: _npy,
    Modality.POINTCLOUD: _npy,
    Modality.HYPERSPECTRAL: _npy,
}

"""Inputs that no service should swallow: a corpus of broken, lying and hostile requests.

Each builder makes one request lazily, so that bombs exist only while they are thrown.
"""

from __future__ import annotations

import base64
import io
import json
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.documents import ROOT

DATA = ROOT / "tests" / "data"

IMAGE = "image/classification"
DETECTION = "image/detection"
VIDEO = "video/action"
AUDIO = "audio/events"
TEXT = "text/sentiment"
PAIR = "text/paraphrase"
DEPTH = "depth/action"
POINTS = "pointcloud/classification"
SERIES = "timeseries/forecast"
TABLE = "tabular/income"
GRAPH = "graph/solubility"
XRAY = "xray/pneumonia"
INFRARED = "infrared/objects"
IMU = "imu/activity"
CUBE = "hyperspectral/landcover"

GOOD: Mapping[str, str] = {
    IMAGE: "image/blood_smear.jpg",
    DETECTION: "image/blood_smear.png",
    VIDEO: "video/fight.mp4",
    AUDIO: "audio/dog_bark.ogg",
    TEXT: "text/review.txt",
    PAIR: "text/pair.txt",
    DEPTH: "depth/ball_sequence.npy",
    POINTS: "pointcloud/table_binary.ply",
    SERIES: "timeseries/hourly.csv",
    TABLE: "tabular/adult.csv",
    GRAPH: "graph/caffeine.smi",
    XRAY: "xray/chest_normal.dcm",
    INFRARED: "infrared/person_16bit.tiff",
    IMU: "imu/walk.csv",
    CUBE: "hyperspectral/field.npy",
}
"""Route -> a file that it answers."""


@dataclass(frozen=True)
class Bad:
    """One request that must be refused.

    Attributes:
        name: A description of what is wrong with it.
        route: The head that it is sent to.
        body: The function that makes the body.
        headers: The headers beside those that the body needs.
        status: The status that it must get; None is any of 4xx.
    """

    name: str
    route: str
    body: Callable[[], bytes]
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int | None = None

    @property
    def id(self) -> str:
        """For the test's name."""
        return f"{self.route.partition('/')[0]}-{self.name.replace(' ', '_')}"


def file(name: str) -> bytes:
    """A good sample."""
    return (DATA / Path(name)).read_bytes()


def cut(name: str, keep: float | int = 0.5) -> Callable[[], bytes]:
    """The beginning of a good sample: a fraction or a number of its bytes."""

    def build() -> bytes:
        data = file(name)
        return data[: keep if isinstance(keep, int) else int(len(data) * keep)]

    return build


def raw(data: bytes | str) -> Callable[[], bytes]:
    """Just these bytes."""
    return lambda: data.encode() if isinstance(data, str) else data


def typed(content_type: str) -> Mapping[str, str]:
    """A Content-Type header."""
    return {"Content-Type": content_type}


JSON = typed("application/json")


def body(**content: Any) -> Callable[[], bytes]:
    """A JSON body."""
    return lambda: json.dumps(content).encode()


def png(width: int, height: int, bits: int = 8, kind: int = 0, pixels: bytes = b"") -> bytes:
    """A PNG that claims a size; ``pixels`` are its scan lines, if any."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = zlib.crc32(name + data)
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(pixels, 9))
        + chunk(b"IEND", b"")
    )


def black_png(side: int) -> bytes:
    """A whole PNG of a black square: tiny in the file, side x side bytes in memory."""
    return png(side, side, pixels=bytes((side + 1) * side))


def gif(width: int, height: int) -> bytes:
    """A GIF that claims a size."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b";"


def tiff(width: int, height: int, bits: int = 16) -> bytes:
    """A TIFF that claims a size and has eight bytes of pixels."""
    entries = [(256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, 1)]
    entries += [(273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, width * height * bits // 8)]
    fields = b"".join(struct.pack("<HHII", t, k, 1, v & 0xFFFFFFFF) for t, k, v in entries)
    directory = struct.pack("<H", len(entries)) + fields + bytes(4)
    return b"II*\x00" + struct.pack("<I", 16) + bytes(8) + directory


def huge_jpeg() -> bytes:
    """A JPEG whose frame claims 65,500 x 65,500."""
    data = bytearray(file("image/blood_smear.jpg"))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", 65500, 65500)
    return bytes(data)


def wav(seconds: float, rate: int, real: bytes = bytes(100)) -> bytes:
    """A WAV that claims a duration and has ``real`` samples."""
    size = min(int(seconds * rate) * 2, 0xFFFFFF00)
    form = struct.pack("<HHIIHH", 1, 1, rate, (rate * 2) & 0xFFFFFFFF, 2, 16)
    head = struct.pack("<I", min(size + 36, 0xFFFFFFFF)) + b"WAVEfmt " + struct.pack("<I", 16)
    return b"RIFF" + head + form + b"data" + struct.pack("<I", size) + real


def npy(array: np.ndarray) -> Callable[[], bytes]:
    """An array as NPY."""

    def build() -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, array)
        return buffer.getvalue()

    return build


def lying_npy(shape: tuple[int, ...], kind: str = "<u2", data: bytes = bytes(64)) -> bytes:
    """An NPY that claims a shape."""
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def pickled_npy() -> bytes:
    """An NPY of Python objects: loading it would run what is pickled in it."""
    return lying_npy((1,), "|O", pickle.dumps([{"a": 1}]))


def zipped(files: Mapping[str, bytes]) -> Callable[[], bytes]:
    """A ZIP of files."""

    def build() -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    return build


def zip_bomb() -> bytes:
    """An ENVI cube that unpacks to 160 MiB of zeros."""
    header = "ENVI\nsamples = 640\nlines = 642\nbands = 204\ndata type = 2\ninterleave = bsq\n"
    return zipped({"a.hdr": header.encode(), "a.img": bytes(160 * 2**20)})()


def mat_bomb() -> bytes:
    """A MATLAB file whose compressed element unpacks to 160 MiB."""
    from scipy.io import savemat

    buffer = io.BytesIO()
    savemat(buffer, {"cube": np.zeros((800, 1024, 204), np.uint8)}, do_compression=True)
    return buffer.getvalue()


def parquet_bomb() -> bytes:
    """Ten million equal rows: kilobytes in the file."""
    import pyarrow as pa
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(pa.table({"age": np.zeros(10_000_000, np.int8)}), buffer)
    return buffer.getvalue()


def dicom(edit: Callable[[Any], None]) -> Callable[[], bytes]:
    """A good DICOM file after an edit."""

    def build() -> bytes:
        import pydicom

        dataset = pydicom.dcmread(DATA / "xray" / "chest_normal.dcm")
        edit(dataset)
        buffer = io.BytesIO()
        dataset.save_as(buffer)
        return buffer.getvalue()

    return build


def without_pixels(dataset: Any) -> None:
    """A header and no picture."""
    del dataset.PixelData


def claiming_pixels(dataset: Any) -> None:
    """A header that claims four billion pixels."""
    dataset.Rows = dataset.Columns = 65535


def claiming_frames(dataset: Any) -> None:
    """A header that claims 100,000 frames."""
    dataset.NumberOfFrames = "100000"


def of_no_bits(dataset: Any) -> None:
    """A header of a width no pixel has."""
    dataset.BitsAllocated = 7


def columns(text: str, name: str) -> Callable[[], bytes]:
    """A good CSV with every value of one column replaced."""

    def build() -> bytes:
        source = {"imu": "imu/walk.csv", "series": "timeseries/hourly.csv"}[name]
        head, *rows = file(source).decode().strip().splitlines()
        return "\n".join([head, *(f"{row.rpartition(',')[0]},{text}" for row in rows)]).encode()

    return build


def edited(name: str, old: bytes, new: bytes) -> Callable[[], bytes]:
    """A good sample with some bytes replaced."""
    return lambda: file(name).replace(old, new)


def coded(data: bytes) -> str:
    """Base64."""
    return base64.b64encode(data).decode()


def form(*parts: bytes) -> bytes:
    """A multipart body of ready-made parts, boundary ``x``."""
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + b"--x--\r\n"


FORM = typed("multipart/form-data; boundary=x")
CSV = typed("text/csv")


def ply(count: int) -> bytes:
    """A PLY that claims points and has none."""
    axes = "".join(f"property float {axis}\n" for axis in "xyz")
    return f"ply\nformat ascii 1.0\nelement vertex {count}\n{axes}end_header\n".encode()

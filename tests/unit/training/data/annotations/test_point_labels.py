from __future__ import annotations

import io
from pathlib import Path

import laspy
import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from omnivec2.training.data.annotations.point_labels import (
    find_side_file,
    read_point_labels,
    read_side_labels,
)

POINTS = np.arange(12, dtype=np.float32).reshape(4, 3)
LABELS = [2, 0, 1, 1]


def ply(name: str = "label", kind: str = "uchar") -> bytes:
    rows = "".join(f"{x} {y} {z} {c}\n" for (x, y, z), c in zip(POINTS, LABELS, strict=True))
    return (
        "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\n"
        f"property float z\nproperty {kind} {name}\nend_header\n{rows}"
    ).encode()


def binary_ply() -> bytes:
    row = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("class", "u1")])
    rows = np.array([(*p, c) for p, c in zip(POINTS, LABELS, strict=True)], row)
    header = ply("class").partition(b"end_header\n")[0].replace(b"ascii", b"binary_little_endian")
    return header + b"end_header\n" + rows.tobytes()


def pcd() -> bytes:
    rows = "".join(f"{x} {y} {z} {c}\n" for (x, y, z), c in zip(POINTS, LABELS, strict=True))
    return (
        "VERSION .7\nFIELDS x y z label\nSIZE 4 4 4 4\nTYPE F F F U\nCOUNT 1 1 1 1\nWIDTH 4\n"
        f"HEIGHT 1\nPOINTS 4\nDATA ascii\n{rows}"
    ).encode()


def las() -> bytes:
    cloud = laspy.create(point_format=3, file_version="1.2")
    cloud.x, cloud.y, cloud.z = POINTS.T
    cloud.classification = np.array(LABELS, np.uint8)
    stream = io.BytesIO()
    cloud.write(stream)
    return stream.getvalue()


def text(header: str = "x,y,z,label\n", names: tuple[str, ...] = ("0", "1", "2")) -> bytes:
    rows = [
        f"{x},{y},{z},{names[c]}\n" for (x, y, z), c in zip(POINTS, LABELS, strict=True)
    ]  # fmt: skip
    return (header + "".join(rows)).encode()


def npy(*, fields: bool = False) -> bytes:
    array = np.column_stack([POINTS, LABELS])
    stream = io.BytesIO()
    if fields:
        row = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("label", "f4")])
        np.save(stream, np.array([tuple(line) for line in array], row))
    else:
        np.save(stream, array)
    return stream.getvalue()


def npz() -> bytes:
    stream = io.BytesIO()
    np.savez(stream, points=POINTS, labels=LABELS)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.ply", ply()),
        ("a.PLY", ply("scalar_Label", "float")),
        ("b.ply", binary_ply()),
        ("a.pcd", pcd()),
        ("a.las", las()),
        ("a.csv", text()),
        ("a.txt", text("")),
        ("a.npy", npy()),
        ("b.npy", npy(fields=True)),
        ("a.npz", npz()),
    ],
)
def test_labels_are_found_in_every_form_of_clouds(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    labels = read_point_labels(tmp_path / name)
    assert labels.dtype == np.int64
    assert labels.tolist() == LABELS


def test_labels_may_be_words(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(text(names=("car", "tree", "road")))
    assert read_point_labels(tmp_path / "a.csv").tolist() == ["road", "car", "tree", "tree"]


@pytest.mark.parametrize(
    ("name", "content", "column", "message"),
    [
        ("a.ply", ply("shade"), None, "no column of labels; name it in `label`, one of x, y, z"),
        ("a.ply", ply(), "klass", "no column 'klass'; there are x, y, z, label"),
        ("a.csv", text("x,y,z,shade\n"), None, "no column of labels"),
        ("a.csv", text().replace(b",1\n", b",1.5\n"), None, r"point 3: 1\.5 is no label"),
        ("a.csv", text() + b"1,2,3\n", None, "as point 5"),
        ("a.las", las()[:300], None, "damaged"),
    ],
)
def test_missing_and_wrong_labels_are_named(
    tmp_path: Path, name: str, content: bytes, column: str | None, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ArtifactError, match=rf"{name}: .*{message}"):
        read_point_labels(tmp_path / name, column)


def test_labels_in_files_of_their_own_are_found_and_read(tmp_path: Path) -> None:
    cloud, folder = tmp_path / "velodyne" / "00" / "1.ply", tmp_path / "labels"
    (folder / "00").mkdir(parents=True)
    assert find_side_file(cloud, folder, tmp_path / "velodyne") is None
    (folder / "00" / "1.label").write_bytes(np.array([2 | 7 << 16, 0, 1, 1], "<u4").tobytes())
    side = find_side_file(cloud, folder, tmp_path / "velodyne")
    assert side is not None
    assert read_side_labels(side).tolist() == LABELS
    (folder / "a.seg").write_text("2\n0\n1\n1\n")
    assert read_side_labels(folder / "a.seg").tolist() == LABELS

from __future__ import annotations

import base64
import io
import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest

from omnivec2.errors import InputError, InvalidInputError, TooLargeError, UndecodableError
from omnivec2.preprocess.pointcloud import PointCloudParameters, PointCloudPreprocessor
from omnivec2.spec import Limits

DATA = Path(__file__).parents[2] / "data" / "pointcloud"
FILES = sorted(path for path in DATA.iterdir() if path.suffix != ".md")
TABLE = np.load(DATA / "table.npy")


@pytest.fixture
def preprocess() -> PointCloudPreprocessor:
    return PointCloudPreprocessor(PointCloudParameters())


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_format_gives_the_same_cloud(preprocess, path):
    points = preprocess.decode(path.read_bytes())
    assert points.dtype == np.float32
    assert np.allclose(points, TABLE - TABLE.mean(axis=0), atol=2e-3)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_detected_content_types_are_accepted_ones(preprocess, path):
    assert preprocess.sniff(path.read_bytes()) in preprocess.media_types


def test_tensors_have_the_declared_names_types_and_shapes(preprocess):
    sample = preprocess.prepare(TABLE).samples[0]
    assert list(sample) == [spec.name for spec in preprocess.inputs]
    for spec in preprocess.inputs:
        assert sample[spec.name].shape == spec.shape
        assert sample[spec.name].dtype == spec.dtype


def test_place_and_size_of_a_cloud_do_not_matter(preprocess):
    near = preprocess.prepare(TABLE).samples[0]
    far = preprocess.prepare(TABLE * 4 + 16).samples[0]
    assert np.allclose(near["centres"], far["centres"], atol=1e-4)


def test_centres_lie_in_the_unit_sphere_and_spread_over_the_cloud(preprocess):
    centres = preprocess.prepare(TABLE).samples[0]["centres"]
    assert np.linalg.norm(centres, axis=1).max() == pytest.approx(1.0, abs=1e-5)
    gaps = np.linalg.norm(centres[:, None] - centres[None], axis=2) + 9 * np.eye(64)
    assert gaps.min() > 0.05


def test_preparing_twice_gives_the_same_arrays(preprocess):
    points = np.random.default_rng(0).normal(size=(3000, 3)).astype(np.float32)
    first, second = (preprocess.prepare(points.copy()).samples[0] for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_groups_are_relative_to_their_centre_which_comes_first(preprocess):
    groups = preprocess.prepare(TABLE).samples[0]["groups"]
    assert np.allclose(groups[:, 0], 0.0, atol=1e-6)
    lengths = np.linalg.norm(groups, axis=2)
    assert (np.diff(lengths, axis=1) > -1e-6).all()


def test_every_point_is_assigned_to_its_nearest_centre(preprocess):
    prepared = preprocess.prepare(TABLE)
    assignment = prepared.context["assignment"]
    assert assignment.shape == (len(TABLE),)
    assert set(assignment.tolist()) == set(range(64))


@pytest.mark.parametrize("count", [1, 2, 33, 63, 1023, 1024, 1025])
def test_clouds_of_few_points_are_repeated(preprocess, count):
    points = np.random.default_rng(1).normal(size=(count, 3)).astype(np.float32)
    sample = preprocess.prepare(points).samples[0]
    assert sample["groups"].shape == (64, 32, 3)
    assert all(np.isfinite(array).all() for array in sample.values())


def test_many_points_in_one_place_are_not_divided_by_zero(preprocess):
    sample = preprocess.prepare(np.full((2000, 3), 5.0, dtype=np.float32)).samples[0]
    assert not any(array.any() for array in sample.values())


def test_map_coordinates_keep_their_millimetres(preprocess):
    text = b"431000.001 4582000.002 1\n431000.003 4582000.004 1\n"
    points = preprocess.decode(text)
    assert np.allclose(points[1] - points[0], [0.002, 0.002, 0.0], atol=1e-6)


@pytest.mark.parametrize(
    "text",
    [
        b"x y z\n0 0 0\n1 1 1\n",
        b"2\n0 0 0 128 1 2 3\n1 1 1 128 1 2 3\n",
        b"# comment\n0,0,0\n1,1,1\n",
        b"\xef\xbb\xbf0;0;0\r\n\r\n1;1;1",
    ],
)
def test_text_may_have_a_heading_comments_and_any_common_separator(preprocess, text):
    points = preprocess.decode(text, "text/plain")
    assert np.allclose(points, [[-0.5] * 3, [0.5] * 3])


def test_missing_returns_of_a_pcd_file_are_left_out_of_the_groups(preprocess):
    text = (DATA / "table_ascii.pcd").read_text().splitlines()
    text[-1] = "nan nan nan"
    points = preprocess.decode("\n".join(text).encode() + b"\n")
    prepared = preprocess.prepare(points)
    assert np.isfinite(prepared.samples[0]["groups"]).all()
    assert prepared.context["assignment"][-1] == -1
    assert prepared.context["assignment"][:-1].min() >= 0


def test_json_may_be_points_an_object_and_a_base64_file(preprocess):
    expected = preprocess.decode(DATA.joinpath("table.npy").read_bytes())
    text = base64.b64encode(DATA.joinpath("table_binary.ply").read_bytes()).decode()
    for value in (TABLE.tolist(), {"points": TABLE.tolist()}, text):
        assert np.allclose(preprocess.decode_json(value), expected, atol=1e-6)


def test_a_list_of_points_is_one_input_and_a_list_of_clouds_is_many(preprocess):
    cloud = [[0, 0, 0], [1, 1, 1]]
    assert preprocess.split(cloud) is None
    assert preprocess.split([cloud, cloud]) == [cloud, cloud]
    assert preprocess.split(["AAAA", "BBBB"]) == ["AAAA", "BBBB"]
    assert preprocess.split("AAAA") is None


@pytest.mark.parametrize(
    "value",
    [
        [], [[1, 2]], [[1, 2, 3], [1, 2]], [["1", "2", "3"]], [[1, 2, None]], [[[1, 2]]],
        [1, 2, 3], {"xyz": []}, {"points": []}, 3, None, True, [[True, False, True]], [[1e999] * 3],
    ],
)  # fmt: skip
def test_json_that_is_no_cloud_is_refused(preprocess, value):
    with pytest.raises(InvalidInputError):
        preprocess.decode_json(value)


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", b"ply\n", b"LASF" + bytes(100), b"\x93NUMPY", b"PK\x03\x04",
        b"0 0\n1 1\n", b"a b c\n", b"1 2 x\n", b"\xff\xfe0 0 0",
        b"ply\nformat ascii 1.0\nelement vertex 2\nproperty float x\nend_header\n1\n2\n",
        npy(np.zeros((0, 3))), npy(np.zeros((4, 2))), npy(np.zeros(3)),
        npy(np.array([[np.nan, 0, 0]])), npy(np.array([[1e300, 0, 0]])), b"nan nan nan\n",
    ],
)  # fmt: skip
def test_bytes_that_are_no_cloud_are_refused(preprocess, data):
    with pytest.raises(InputError):
        preprocess.decode(data)


BINARY = [path for path in FILES if path.suffix != ".xyz"]  # text may end at any line


@pytest.mark.parametrize("path", BINARY, ids=lambda path: path.name)
def test_truncated_files_are_refused(preprocess, path):
    data = path.read_bytes()
    media_type = preprocess.sniff(data)
    for kept in (len(data) // 2, 60, 5):
        with pytest.raises(InputError):
            preprocess.decode(data[:kept], media_type)


def test_a_file_under_the_wrong_type_is_refused(preprocess):
    for media_type in ("model/ply", "application/x-pcd", "application/vnd.las"):
        with pytest.raises(UndecodableError):
            preprocess.decode(DATA.joinpath("table.npy").read_bytes(), media_type)


def bombs() -> dict[str, bytes]:
    las = bytearray((DATA / "table.las").read_bytes())
    las[107:111] = struct.pack("<I", 2**32 - 1)
    laz = bytearray((DATA / "table.laz").read_bytes())
    laz[107:111] = struct.pack("<I", 2**32 - 1)
    return {
        "ply": (DATA / "table_binary.ply")
        .read_bytes()
        .replace(b"vertex 360", b"vertex 4000000000"),
        "pcd": (DATA / "table_binary.pcd")
        .read_bytes()
        .replace(b"POINTS 360", b"POINTS 4000000000"),
        "las": bytes(las),
        "laz": bytes(laz),
        "xyz": b"0 0 0\n" * 1_000_002,
        "npy": npy(np.zeros((1, 3))).replace(b"(1, 3), }", b"(10000000000, 3), }"),
    }


@pytest.mark.parametrize("kind", ["ply", "pcd", "las", "laz", "xyz", "npy"])
def test_declared_counts_over_the_limit_are_refused_at_once(preprocess, kind):
    with pytest.raises((TooLargeError, UndecodableError)):
        preprocess.decode(bombs()[kind])


def test_a_laz_file_that_asks_for_gigabytes_ends_its_worker_only(preprocess):
    data = bytearray((DATA / "table.laz").read_bytes())
    (offset,) = struct.unpack_from("<I", data, 96)
    (table,) = struct.unpack_from("<q", data, offset)
    data[table + 4 : table + 8] = b"\xff\xff\xff\xff"
    with pytest.raises(UndecodableError, match="LAZ"):
        preprocess.decode(bytes(data))


def test_the_limit_on_points_is_the_head_specs():
    small = PointCloudPreprocessor(PointCloudParameters(), Limits(points=359))
    for path in FILES:
        with pytest.raises(TooLargeError):
            small.decode(path.read_bytes())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_damage_of_any_kind_is_an_input_error_or_a_cloud(preprocess, path):
    rng = random.Random(path.name)
    data, media_type = path.read_bytes(), preprocess.sniff(path.read_bytes())
    for _ in range(3 if path.suffix == ".laz" else 60):
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 4, 32))):
            damaged[rng.randrange(min(len(data), rng.choice((400, len(data)))))] = rng.randrange(
                256
            )
        try:
            preprocess.prepare(preprocess.decode(bytes(damaged), media_type))
        except InputError:
            continue


def test_json_bytes_are_read_as_a_file_too(preprocess):
    body = json.dumps({"inputs": TABLE.tolist()}).encode()
    assert len(preprocess.decode(body, "application/json")) == len(TABLE)


def test_groups_cannot_outnumber_points():
    with pytest.raises(ValueError, match="groups"):
        PointCloudParameters(points=32, groups=64)


def test_a_cloud_without_a_finite_point_is_refused(preprocess):
    with pytest.raises(InvalidInputError, match="no point with finite"):
        preprocess.prepare(np.full((3, 3), np.nan, np.float32))
    with pytest.raises(InvalidInputError, match="no point with finite"):
        preprocess.decode(PCD_OF_NAN)


PCD_OF_NAN = (
    b"VERSION .7\nFIELDS x y z\nSIZE 4 4 4\nTYPE F F F\nCOUNT 1 1 1\nWIDTH 1\nHEIGHT 1\n"
    b"VIEWPOINT 0 0 0 1 0 0 0\nPOINTS 1\nDATA ascii\nnan nan nan\n"
)

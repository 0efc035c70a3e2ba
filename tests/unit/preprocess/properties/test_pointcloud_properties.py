"""A cloud has the same arrays in whatever file it comes; another cloud has others."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from omnivec2.preprocess.notes import collect_notes
from omnivec2.preprocess.pointcloud import PointCloudParameters, PointCloudPreprocessor
from omnivec2.preprocess.source_options import state

SEEDS = range(30)
SMALL = PointCloudParameters(points=128, groups=16, neighbours=8)
NAMES = (
    "x y z", "X Y Z", "pos_x pos_y pos_z", "X[m] Y[m] Z[m]", "x_mm y_mm z_mm",
    "Points:0 Points:1 Points:2",
    "Easting Northing Elevation", "coordX coordY coordZ", "position.x position.y position.z",
    "X-Koordinate Y-Koordinate Z-Koordinate",
)  # fmt: skip
EXTRA = ("r", "g", "b", "intensity", "nx", "label", "timestamp", "id", "Scan angle", "")


@pytest.fixture(scope="module")
def preprocess() -> PointCloudPreprocessor:
    return PointCloudPreprocessor(SMALL)


def cloud(seed: int) -> np.ndarray:
    """Draw points with three decimals, which every format keeps."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(150, 3)) * rng.uniform(0.5, 4, 3) + rng.uniform(-20, 20, 3)
    return points.round(3)


def arrays(preprocess, value, media_type=None):
    native = (
        preprocess.decode(value, media_type)
        if isinstance(value, bytes)
        else preprocess.decode_json(value)
    )
    return preprocess.prepare(native).samples[0]


def same(first, second, tolerance=2e-4) -> bool:
    return all(np.allclose(first[name], second[name], atol=tolerance) for name in first)


def text_of(columns, header=None, separator=",", comma=False, ending="\n") -> bytes:
    def cell(value) -> str:
        text = value if isinstance(value, str) else f"{value:.3f}"
        return text.replace(".", ",") if comma else text

    lines = [] if header is None else [header]
    lines += [separator.join(map(cell, row)) for row in zip(*columns, strict=True)]
    return ending.join([*lines, ""]).encode()


def npy(array) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_and_names_of_columns_do_not_matter(preprocess, seed):
    rng = np.random.default_rng(seed)
    points = cloud(seed)
    separator = ",;\t "[seed % 4]
    names = NAMES[seed % len(NAMES)].split()
    columns = dict(zip(names, points.T, strict=True))
    for extra in rng.choice(EXTRA[: 9 if separator != " " else 8], 3, replace=False):
        columns[str(extra)] = rng.integers(0, 255, len(points)).astype(float)
    order = rng.permutation(list(columns)).tolist()
    header = separator.join(order)
    comma = separator != "," and seed % 3 == 0
    data = text_of([columns[name] for name in order], header, separator, comma, "\r\n")
    expected = arrays(preprocess, npy(points))
    assert same(arrays(preprocess, data, "text/csv"), expected)
    assert same(arrays(preprocess, data), expected)
    assert same(arrays(preprocess, b"\xef\xbb\xbf" + data), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_rows_may_be_numbered_timed_or_counted(preprocess, seed):
    points = cloud(seed)
    expected = arrays(preprocess, npy(points))
    numbers = np.arange(len(points)) + seed % 2
    times = 1.7e9 * 10.0 ** (3 * (seed % 4)) + numbers
    grey = np.full(len(points), 128.0)
    forms = [
        text_of(points.T, separator=" "),
        text_of(points.T, separator="\t", comma=True),
        text_of(points.T, separator="  ", comma=True),
        text_of(points.T, f"{len(points)}", " "),
        text_of([*points.T, grey, grey], f"{len(points)}\n", " "),
        text_of([map(str, numbers), *points.T], separator=","),
        text_of([map(str, numbers), times, *points.T], separator=" "),
        text_of([["C"] * len(points), *points.T], f"{len(points)}\nmolecule", " "),
        text_of([map(str, numbers), *points.T], ",x,y,z"),
        text_of([[f'"{n}"' for n in numbers], *points.T], '"x" "y" "z"', " "),
        text_of(points.T, "0,1,2"),
        text_of(points.T[::-1], "# z y x", " "),
        text_of([*points.T, grey], "//X Y Z Scalar_field", " "),
    ]
    for form in forms:
        assert same(arrays(preprocess, form), expected), form[:80]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_container_does_not_matter(preprocess, seed):
    points = cloud(seed)
    expected = arrays(preprocess, npy(points))
    wide = np.concatenate([points, np.ones((len(points), 2))], axis=1)
    kinds = [("intensity", "u1"), ("z", ">f8"), ("y", "<f4"), ("x", "f8")]
    records = np.zeros(len(points), kinds)
    records["x"], records["y"], records["z"] = points.T
    values: list[object] = [
        npy(points.astype(">f4")), npy(points[None]), npy(points.T), npy(np.asfortranarray(points)),
        npy(wide), npy(wide.T), npy(records), points.tolist(), points.T.tolist(), wide.tolist(),
        {"points": points.tolist()}, [{"z": z, "y": y, "x": x} for x, y, z in points.tolist()],
        {"Z": points[:, 2].tolist(), "X": points[:, 0].tolist(), "Y": points[:, 1].tolist()},
        {axis: {str(i): v for i, v in enumerate(points[:, k])} for k, axis in enumerate("xyz")},
        {"columns": ["z", "x", "y"], "data": points[:, [2, 0, 1]].tolist()},
    ]  # fmt: skip
    values += [ply_of(points, form) for form in ("ascii", "little", "big")]
    values += [pcd_of(points, form) for form in ("ascii", "binary")]
    mesh = b"".join(b"%.3f %.3f %.3f\n" % tuple(row) for row in points)
    values.append(b"OFF%d 1 0\n" % len(points) + mesh + b"3 0 1 2\n")
    values.append(
        b"# mesh\n" + b"".join(b"v " + line + b"\n" for line in mesh.splitlines()) + b"f 1 2 3\n"
    )
    for index, value in enumerate(values):
        assert same(arrays(preprocess, value), expected), index


def ply_of(points, form: str) -> bytes:
    kind = {"ascii": "ascii", "little": "binary_little_endian", "big": "binary_big_endian"}[form]
    order = ">" if form == "big" else "<"
    head = (
        f"ply\ncomment any\nformat {kind} 1.0\nelement face 1\nproperty list uchar int v\n"
        f"element vertex {len(points)}\nproperty uchar red\nproperty double Z\nproperty float Y\n"
        "property double X\nend_header\n"
    ).encode()
    if form == "ascii":
        return head + b"3 0 1 2\n" + text_of([np.ones(len(points)), *points.T[::-1]], None, " ")
    rows = np.zeros(
        len(points), [("c", "u1"), ("z", order + "f8"), ("y", order + "f4"), ("x", order + "f8")]
    )
    rows["x"], rows["y"], rows["z"] = points.T
    return head + struct.pack(f"{order}B3i", 3, 0, 1, 2) + rows.tobytes()


def pcd_of(points, form: str) -> bytes:
    head = (
        "# saved by a program\r\n# .PCD v.7\r\nVERSION 0.7\r\nFIELDS _ z rgb y x\r\n"
        "SIZE 1 8 4 4 8\r\n"
        f"TYPE U F F F F\r\nCOUNT 3 1 1 1 1\r\nWIDTH {len(points)}\r\nHEIGHT 1\r\nDATA {form}\r\n"
    ).encode()
    x, y, z = points.T
    if form == "ascii":
        grey = np.ones(len(points))
        return head + text_of([grey, grey, grey, z, grey, y, x], None, "\t")
    kinds = [("_", "u1", (3,)), ("z", "<f8"), ("rgb", "<f4"), ("y", "<f4"), ("x", "<f8")]
    rows = np.zeros(len(points), kinds)
    rows["x"], rows["y"], rows["z"] = x, y, z
    return head + rows.tobytes()


@pytest.mark.parametrize("seed", SEEDS)
def test_points_without_coordinates_are_as_if_they_were_not_there(preprocess, seed):
    rng = np.random.default_rng(seed)
    points = cloud(seed)
    expected = arrays(preprocess, npy(points))
    where = rng.integers(1, len(points), 4)
    missing = [np.nan, np.inf, 3.4028235e38, 0.0][seed % 4]
    holes = np.insert(points, where, missing, axis=0)
    word = ["nan", "", "-nan(ind)", "NULL"][seed % 4]
    text = text_of(np.where(holes == missing, np.nan, holes).T, "x;y;z", ";")
    if seed % 4 == 3:
        text = text_of(holes.T, "x;y;z", ";")
    nulls = [[None] * 3 if not np.isfinite(row).all() else row for row in holes.tolist()]
    for value in (npy(holes), ply_of(holes, "big"), pcd_of(holes, "binary"), nulls,
                  text.replace(b"nan", word.encode())):  # fmt: skip
        with collect_notes() as notes:
            assert same(arrays(preprocess, value), expected)
        assert any(note.code == "dropped" and note.count == 4 for note in notes)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_place_and_unit_do_not_matter_and_mixed_units_are_brought_together(preprocess, seed):
    points = cloud(seed)
    expected = arrays(preprocess, npy(points))
    assert same(arrays(preprocess, npy(points * 1000 + [5e5, 5.6e6, 300])), expected)
    mixed = points * [1, 100, 1000]
    with collect_notes() as notes:
        found = arrays(preprocess, text_of(mixed.T, "X [m],Y (cm),Z_mm"))
    assert same(found, expected)
    assert [note.code for note in notes] == ["converted"]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cloud_of_another_up_axis_is_turned_if_that_is_stated(preprocess, seed):
    points = cloud(seed)
    expected = arrays(preprocess, npy(points))
    x, y, z = points.T
    turned = {
        "y": (x, z, -y), "-y": (x, -z, y), "x": (z, y, -x), "-x": (-z, y, x), "-z": (x, -y, -z),
    }  # fmt: skip
    for axis, columns in turned.items():
        other = np.stack(columns, axis=1)
        assert not same(arrays(preprocess, npy(other)), expected)
        with state(preprocess.source_options_type(up_axis=axis)):
            assert same(arrays(preprocess, npy(other)), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_columns_without_names_can_be_stated(preprocess, seed):
    rng = np.random.default_rng(seed)
    points = cloud(seed)
    names = rng.permutation(["x", "y", "z", "red", "id"]).tolist()
    columns = {"x": points[:, 0], "y": points[:, 1], "z": points[:, 2]}
    other = np.zeros(len(points))
    table = np.stack([columns.get(name, other) for name in names], axis=1)
    expected = arrays(preprocess, npy(points))
    with state(preprocess.source_options_type(columns=" ".join(names))):
        for value in (npy(table), text_of(table.T), table.tolist()):
            assert same(arrays(preprocess, value), expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_other_points_have_other_arrays(preprocess, seed):
    points = cloud(seed)
    expected = arrays(preprocess, npy(points))
    stretched = points * [1, 1, 1.5]
    swapped = points[:, [1, 0, 2]]
    fewer = points[points[:, 2] > np.median(points[:, 2])]
    for other in (stretched, swapped, fewer):
        assert not same(arrays(preprocess, npy(other)), expected, 1e-3)

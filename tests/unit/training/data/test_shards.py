"""Data sets in tar files: any sample, read when it is asked for, whatever their size."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from omnivec2.errors import ArtifactError
from omnivec2.training.data import load_task
from omnivec2.training.data.shards import read_shards


def _jpeg(shade: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((40, 60, 3), shade, dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _sharded(root: Path) -> None:
    for part, shards in (("train", 2), ("val", 1)):
        for shard in range(shards):
            members = {}
            for number in range(100):
                name = ("dog", "cat")[number % 2]
                members[f"{shard}/{number:04}.cls"] = f"{name}\n".encode()
                members[f"{shard}/{number:04}.jpg"] = _jpeg(200 if name == "cat" else 20)
            write_tar(root / "imagenet1k" / part / f"{shard:06}.tar", members)


def test_shards_make_the_same_task_as_folders(tmp_path: Path) -> None:
    _sharded(tmp_path)
    task = load_task("image/imagenet", tmp_path)
    assert task.labels == ("cat", "dog")
    assert {part: len(split) for part, split in task.splits.items()} == {
        "train": 198,
        "val": 2,
        "test": 100,
    }
    test = task.splits["test"]
    for index in (0, 1, 99):
        shade = test.samples[index]["pixels"].mean()
        assert (shade > 100) == (task.labels[test.targets[index]] == "cat")


def test_samples_are_read_one_at_a_time_from_where_they_lie(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"x.1.txt": b"first", "y.txt": b"second", "y.json": b"{}"})
    write_tar(tmp_path / "b.tar", {"x.txt": b"third"})
    shards = read_shards(tmp_path, labelled=False)
    assert [shards.read(index) for index in (2, 0, 1)] == [b"third", b"first", b"second"]
    assert shards.classes == ()
    (tmp_path / "b.tar").write_bytes(b"short")
    with pytest.raises(ArtifactError, match=r"b\.tar at byte 512: the file ends within it"):
        shards.read(2)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"a.jpg": b"1"}, r"0\.tar: a has no class: expected a\.cls"),
        ({"a.cls": b"1", "b.jpg": b"2", "b.cls": b"2"}, "a has a class and no data"),
        ({"a.jpg": b"1", "a.cls": b"x" * 5000}, r"a\.cls is no class: it has 5,000 bytes"),
    ],
)
def test_a_sample_of_which_a_part_is_missing_is_named(
    tmp_path: Path, members: dict[str, bytes], complaint: str
) -> None:
    write_tar(tmp_path / "0.tar", members)
    with pytest.raises(ArtifactError, match=complaint):
        read_shards(tmp_path, labelled=True)


def test_a_compressed_shard_is_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", {"a.jpg": b"1"})
    packed = gzip.compress((tmp_path / "0.tar").read_bytes())
    (tmp_path / "0.tar").write_bytes(packed)
    with pytest.raises(ArtifactError, match="expected an uncompressed tar file"):
        read_shards(tmp_path, labelled=False)


def test_a_class_that_was_not_trained_is_named(tmp_path: Path) -> None:
    _sharded(tmp_path)
    val = tmp_path / "imagenet1k" / "val" / "000000.tar"
    write_tar(val, {"a.jpg": _jpeg(1), "a.cls": b"bird"})
    with pytest.raises(ArtifactError, match="class 'bird' is not in the training part"):
        load_task("image/imagenet", tmp_path)


def test_a_damaged_sample_is_named(tmp_path: Path) -> None:
    _sharded(tmp_path)
    val = tmp_path / "imagenet1k" / "val" / "000000.tar"
    write_tar(val, {"a.jpg": b"no picture", "a.cls": b"cat"})
    task = load_task("image/imagenet", tmp_path)
    with pytest.raises(ArtifactError, match=r"000000\.tar at byte 512: "):
        task.splits["test"].samples[0]

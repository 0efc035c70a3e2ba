"""Point clouds: in folders of their classes, or with a label per point: ``points``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field

from omnivec2.errors import ArtifactError
from omnivec2.preprocess import Array
from omnivec2.training.data.annotations.point_labels import (
    POINT_SUFFIXES,
    find_side_file,
    read_point_labels,
    read_side_labels,
)
from omnivec2.training.data.blocks.examples import Example, Origin, Problem, ProblemKind, Value
from omnivec2.training.data.blocks.files import BlockFiles
from omnivec2.training.data.blocks.kinds.base import Block
from omnivec2.training.data.blocks.part_names import part_of_name
from omnivec2.training.data.blocks.targets import AnyTarget
from omnivec2.training.data.blocks.targets.point_targets import PointsTarget


class PointsBlock(Block):
    """Clouds with a label for every point.

    ::

        <path>/a.ply                   labels are a property, field, column or dimension
        <path>/train/a.ply             parts, in any usual spelling
        <labels>/train/a.label         or files of their own, with the names of the clouds
    """

    kind: Literal["points"] = "points"
    target: AnyTarget = Field(default=PointsTarget(), description="points")
    label: str | int | None = Field(
        default=None,
        description="property, field, dimension, array or column of the labels, or the column's "
        "number from 0; found by its name unless given",
    )
    labels: str | None = Field(
        default=None, description="folder below --data of files with a label per point"
    )

    def read(self, files: BlockFiles) -> Iterator[Example | Problem]:
        """Yield the clouds with the labels of their points."""
        side = files.find(self.labels)[0] if self.labels is not None else None
        count = 0
        for part, path in self.paths(files):
            root = path if path.is_dir() else path.parent
            clouds = sorted(path.rglob("*")) if path.is_dir() else [path]
            for cloud in clouds:
                if cloud.suffix.lower() in POINT_SUFFIXES and cloud.is_file():
                    count += 1
                    yield self._example(files, cloud, root, part, side)
        if not count:
            raise ArtifactError(
                f"{', '.join(map(str, self.path))}: no clouds; expected files such as "
                f"{', '.join(sorted(POINT_SUFFIXES))}"
            )

    def _example(
        self, files: BlockFiles, cloud: Path, root: Path, part: str | None, side: Path | None
    ) -> Example | Problem:
        origin = Origin(files.name(cloud))
        try:
            labels = self._labels(cloud, root, side)
            reader = _READERS.get(cloud.suffix.lower())
            value: Value = cloud if reader is None else reader(cloud)
        except ArtifactError as error:
            reason = str(error).removeprefix(f"{cloud}: ")
            return Problem(ProblemKind.BAD_TARGET, origin, reason)
        name = cloud.relative_to(root)
        own = part or (part_of_name(name.parts[0]) if len(name.parts) > 1 else None)
        return Example(value, labels, origin, own, self.columns_of_name(str(name)))

    def _labels(self, cloud: Path, root: Path, side: Path | None) -> Array:
        if side is None:
            return read_point_labels(cloud, self.label)
        file = find_side_file(cloud, side, root)
        if file is None:
            raise ArtifactError(f"no file of labels of its name in {side}")
        return read_side_labels(file)


def _points_of_scan(cloud: Path) -> Array:
    """Return the points of a scan of KITTI: x, y, z and reflectance of each, as float32."""
    data = cloud.read_bytes()
    if not data or len(data) % 16:
        raise ArtifactError(
            f"{cloud}: {len(data):,} bytes; expected KITTI's scans, four float32 numbers per point"
        )
    return np.frombuffer(data, "<f4").reshape(-1, 4)[:, :3]


_READERS = {".bin": _points_of_scan}
"""The readers of clouds that requests cannot hold, by suffix."""

"""Data sets of the paper that cannot be shipped or fetched: read from folders of files.

::

    <data>/<folder>/train/<class>/<file>      with labels
    <data>/<folder>/val/<class>/<file>        what is measured on
    <data>/<folder>/train/<file>              without labels: for masked stages
    <data>/<folder>/train/<shard>.tar         instead of files (WebDataset's form)

Files, and samples of shards, are read on access, so a set may be larger than
memory. A recipe that names a set which is not there fails with the name, the source and this
form.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from omnivec2.errors import ArtifactError, InputError
from omnivec2.preprocess import Preprocessor, Sample
from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import (
    Augment,
    DataDirectories,
    LazySequence,
    Loader,
    Split,
    TaskData,
    build,
    hold_out,
    preprocess_spec,
)
from omnivec2.training.data.shards import Shards, read_shards

_HELD_OUT = 0.01
"""Share of the training part that is ``val``; the official validation part is ``test``."""
_PICTURE = {"height": 224, "width": 224, "resize": "crop"}
_CLIP = {"frames": 16, "height": 224, "width": 224, "resize": "crop"}


@dataclass(frozen=True)
class FileSet:
    """A data set in folders.

    Attributes:
        folder: The folder in the data directory.
        name: The name of the data set.
        source: The place to get it from.
        licence: The licence as stated there.
        parameters: The parameters of the modality's pre-processor.
        labelled: Whether files lie in folders of their classes.
        augment: The random variation of training samples.
    """

    folder: str
    name: str
    source: str
    licence: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labelled: bool = True
    augment: Augment | None = None

    def form(self) -> str:
        """Return the layout that its files must have."""
        inner = "<class>/<file>" if self.labelled else "<file>"
        return f"{self.folder}/train/{inner} and {self.folder}/val/{inner}, or .tar shards"


SETS: dict[str, FileSet] = {
    "image/imagenet": FileSet(
        "imagenet1k", "ImageNet-1K", "image-net.org", "non-commercial research",
        _PICTURE, augment=augmentation.picture,
    ),
    "image/places": FileSet(
        "places365", "Places-365", "places2.csail.mit.edu", "non-commercial research",
        _PICTURE, augment=augmentation.picture,
    ),
    "image/inaturalist": FileSet(
        "inaturalist2018", "iNaturalist 2018", "github.com/visipedia/inat_comp",
        "non-commercial research", _PICTURE, augment=augmentation.picture,
    ),
    "video/something": FileSet(
        "ssv2", "Something-Something v2", "developer.qualcomm.com/software/ai-datasets",
        "research use", _CLIP,
    ),
    "video/kinetics": FileSet(
        "kinetics400", "Kinetics-400", "github.com/cvdfoundation/kinetics-dataset",
        "CC BY 4.0 (annotations)", _CLIP,
    ),
    "audio/audioset": FileSet(
        "audioset", "AudioSet", "research.google.com/audioset", "CC BY 4.0 (annotations)",
        labelled=False, augment=augmentation.audio,
    ),
    "audio/esc50": FileSet(
        "esc50", "ESC-50", "github.com/karolpiczak/ESC-50", "CC BY-NC 3.0",
        augment=augmentation.audio,
    ),
    "text/wikipedia": FileSet(
        "wikipedia", "English Wikipedia, one text file per article", "dumps.wikimedia.org",
        "CC BY-SA 4.0", labelled=False,
    ),
    "depth/sunrgbd": FileSet(
        "sunrgbd", "SUN RGB-D, 16-bit PNG in millimetres", "rgbd.cs.princeton.edu",
        "research use",
    ),
    "pointcloud/modelnet": FileSet(
        "modelnet40", "ModelNet40, points of the meshes as PLY or NPY",
        "modelnet.cs.princeton.edu", "academic research", augment=augmentation.pointcloud,
    ),
}  # fmt: skip
"""Route -> data set; the routes of the recipe ``paper``."""


def load_set(route: str, at: DataDirectories) -> TaskData:
    """Load one of :data:`SETS`.

    Args:
        route: The route of the data set.
        at: The directories of data and of prepared arrays.

    Raises:
        ArtifactError: Its files are not there; the message names the set, its source and the
            layout that it must have.
    """
    spec = SETS[route]
    modality = Modality(route.partition("/")[0])
    parts = {part: at.root / spec.folder / part for part in ("train", "val")}
    if missing := [path for path in parts.values() if not path.is_dir()]:
        raise ArtifactError(
            f"{route}: {missing[0]} is not there. {spec.name} cannot be shipped; get it from "
            f"{spec.source} and put it there as {spec.form()}"
        )
    preprocess = preprocess_spec(modality, **spec.parameters)
    preprocessor = build(preprocess)
    if any(parts["train"].glob("*.tar")):
        shards = {name: read_shards(path, labelled=spec.labelled) for name, path in parts.items()}
        labels = tuple(sorted(set(shards["train"].classes)))
        found = {name: _shard_split(preprocessor, one, labels) for name, one in shards.items()}
    else:
        labels = _classes(parts["train"]) if spec.labelled else ()
        found = {name: _split(preprocessor, path, labels) for name, path in parts.items()}
    everything = found["train"]
    kept, held = hold_out(everything.targets, _HELD_OUT, seed=0)
    return TaskData(
        route=route,
        family=TaskFamily.CLASSIFICATION if spec.labelled else TaskFamily.EMBEDDING,
        preprocess=preprocess,
        splits={
            "train": everything.take(kept),
            "val": everything.take(held),
            "test": found["val"],
        },
        metric="accuracy",
        test_name=f"{spec.name} val",
        sources=(DataSource(name=spec.name, licence=spec.licence, source=spec.source),),
        labels=labels,
        augment=spec.augment,
        description=f"Trained on {spec.name}.",
    )


def _classes(folder: Path) -> tuple[str, ...]:
    found = tuple(sorted(path.name for path in folder.iterdir() if path.is_dir()))
    if len(found) < 2:
        raise ArtifactError(f"{folder}: expected a folder per class, two or more")
    return found


def _split(preprocessor: Preprocessor[Any, Any], folder: Path, labels: Sequence[str]) -> Split:
    """Return the files of one part; without labels their targets are all 0."""
    files: list[Path] = []
    targets: list[int] = []
    for index, name in enumerate(labels or [""]):
        place = folder / name
        if place.is_dir():
            own = sorted(path for path in place.iterdir() if path.is_file())
            files += own
            targets += [index] * len(own)
    if not files:
        raise ArtifactError(f"{folder}: holds no files")

    def prepare(index: int) -> Sample:
        return _prepare(preprocessor, files[index].read_bytes(), str(files[index]))

    return Split(LazySequence(len(files), prepare), np.array(targets, dtype=np.int64))


def _shard_split(
    preprocessor: Preprocessor[Any, Any], shards: Shards, labels: Sequence[str]
) -> Split:
    """Return the samples of tar files; without labels their targets are all 0."""
    if not len(shards):
        raise ArtifactError(f"{', '.join(map(str, shards.paths)) or 'no .tar file'}: no samples")
    numbers = {label: number for number, label in enumerate(labels)}
    if unknown := [label for label in shards.classes if label not in numbers]:
        raise ArtifactError(
            f"{shards.paths[0].parent}: class {unknown[0]!r} is not in the training part"
        )
    targets = [numbers[label] for label in shards.classes] or [0] * len(shards)

    def prepare(index: int) -> Sample:
        return _prepare(preprocessor, shards.read(index), shards.place(index))

    return Split(LazySequence(len(shards), prepare), np.array(targets, dtype=np.int64))


def _prepare(preprocessor: Preprocessor[Any, Any], data: bytes, place: str) -> Sample:
    try:
        return preprocessor.prepare(preprocessor.decode(data)).samples[0]
    except InputError as error:
        raise ArtifactError(f"{place}: {error}") from error


def loader_of(route: str) -> Loader | None:
    """Return the loader of a route of :data:`SETS`; None if it is not one of them."""
    return (lambda at: load_set(route, at)) if route in SETS else None

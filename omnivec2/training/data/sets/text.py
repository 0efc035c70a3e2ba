"""Text: sentiment (SST-2), paraphrases (MRPC), entailment (SICK), and summaries of dialogues."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydantic import JsonValue

from omnivec2.preprocess import Sample
from omnivec2.spec import DataSource, Modality, PreprocessSpec, TaskFamily
from omnivec2.training.data.base import (
    DataDirectories,
    Loader,
    Split,
    TaskData,
    build,
    preprocess_spec,
)
from omnivec2.training.data.sample_store import stored
from omnivec2.training.data.sets.dialogues import load_dialogues

_Labelled = list[tuple[JsonValue, int]]


def load_sst2(at: DataDirectories) -> TaskData:
    """Load whole sentences of SST-2 (English) with the split of the Stanford Sentiment Treebank.

    The ``val`` part is GLUE's validation part. The Parquet files beside these are a
    translation into Vietnamese, in spite of their names.
    """
    folder = at.find("text_sst2")
    spec = preprocess_spec(Modality.TEXT, max_tokens=256, pair=False)
    files = {"train": "train.tsv.gz", "val": "dev.tsv.gz", "test": "test.tsv.gz"}

    def read(path: Path) -> _Labelled:
        rows = (line.rsplit("\t", 1) for line in _lines(path))
        return [(text, int(label)) for text, label in rows]

    return TaskData(
        route="text/sentiment",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={
            part: _split(at, f"text-sst2-{part}", spec, folder / name, read(folder / name))
            for part, name in files.items()
        },
        metric="accuracy",
        test_name="SST-2 test sentences (public half)",
        sources=(
            DataSource(
                name="Stanford Sentiment Treebank, two classes",
                licence="none stated (cite Socher et al. 2013)",
                source="github.com/clairett/pytorch-sentiment-classification",
            ),
        ),
        labels=("negative", "positive"),
        description="Whether an English sentence, such as one of a film review, speaks well "
        "or badly of its subject.",
    )


def load_mrpc(at: DataDirectories) -> TaskData:
    """Load the Microsoft Research Paraphrase Corpus with its official test part."""
    folder = at.find("text_mrpc")
    spec = preprocess_spec(Modality.TEXT, max_tokens=256, pair=True)
    files = {part: f"msr-para-{part}.tsv.gz" for part in ("train", "val", "test")}

    def read(path: Path) -> _Labelled:
        rows = [line.split("\t") for line in _lines(path)[1:]]
        return [({"text": row[3], "text_pair": row[4]}, int(row[0])) for row in rows]

    return TaskData(
        route="text/paraphrase",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={
            part: _split(at, f"text-mrpc-{part}", spec, folder / name, read(folder / name))
            for part, name in files.items()
        },
        metric="accuracy",
        test_name="MRPC test (public half)",
        sources=(
            DataSource(
                name="Microsoft Research Paraphrase Corpus",
                licence="MSR Shared Source License, non-commercial",
                source="github.com/brmson/dataset-sts",
            ),
        ),
        labels=("different", "paraphrase"),
        description="Whether two English sentences say the same.",
    )


def load_sick(at: DataDirectories) -> TaskData:
    """Load Sentences Involving Compositional Knowledge, with the split of SemEval 2014."""
    folder = at.find("text_sick_nli")
    spec = preprocess_spec(Modality.TEXT, max_tokens=256, pair=True)
    files = {"train": "SICK_train", "val": "SICK_trial", "test": "SICK_test_annotated"}
    labels = ("entailment", "neutral", "contradiction")

    def read(path: Path) -> _Labelled:
        rows = [line.split("\t") for line in _lines(path)[1:]]
        return [
            ({"text": row[1], "text_pair": row[2]}, labels.index(row[4].strip().lower()))
            for row in rows
        ]

    return TaskData(
        route="text/entailment",
        family=TaskFamily.CLASSIFICATION,
        preprocess=spec,
        splits={
            part: _split(
                at, f"text-sick-{part}", spec, path := folder / f"{name}.txt.gz", read(path)
            )
            for part, name in files.items()
        },
        metric="accuracy",
        test_name="SICK test (public half)",
        sources=(
            DataSource(
                name="SICK (Marelli et al. 2014)",
                licence="CC BY-NC-SA 3.0",
                source="github.com/brmson/dataset-sts",
            ),
        ),
        labels=labels,
        description="Whether the second of two English sentences follows from the first, "
        "contradicts it, or neither.",
    )


def _lines(path: Path) -> list[str]:
    with gzip.open(path, "rt", encoding="utf-8-sig") as file:
        return file.read().rstrip("\n").split("\n")


def _split(
    at: DataDirectories, name: str, spec: PreprocessSpec, path: Path, rows: _Labelled
) -> Split:
    preprocessor = build(spec)

    def make() -> Iterator[Sample]:
        for text, _ in rows:
            yield preprocessor.prepare(preprocessor.decode_json(text)).samples[0]

    samples = stored(at.cache, name, spec, [path], make)
    return Split(samples, np.array([label for _, label in rows], dtype=np.int64))


TASKS: dict[str, Loader] = {
    "text/sentiment": load_sst2,
    "text/paraphrase": load_mrpc,
    "text/entailment": load_sick,
    "text/summarization": load_dialogues,
}

"""Dialogues and their summaries: visits to a doctor (MTS-Dialog) and everyday ones (DialogSum)."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from omnivec2.preprocess import Sample
from omnivec2.spec import DataSource, Modality, PreprocessSpec, TaskFamily
from omnivec2.training.data.base import (
    DataDirectories,
    Split,
    SummarizationTarget,
    TaskData,
    build,
    preprocess_spec,
)
from omnivec2.training.data.sample_store import stored
from omnivec2.wordpiece import END_ID, tokenizer

_MAX_TOKENS = 512
"""Tokens of a dialogue, at most; 95 in 100 are shorter, and longer ones are cut."""
_HELD_OUT = 50
"""Dialogues of DialogSum's development part that are validated on; training has the others."""

_PERSON = re.compile(r"#(Person\d)#")
"""Speakers of DialogSum. Without the signs a name is two word pieces instead of four, and as
many times may be written before it counts as a repetition; ROUGE ignores the signs."""

_MTS = {
    "train": ("MTS-Dialog-TrainingSet.csv.gz",),
    "val": ("MTS-Dialog-ValidationSet.csv.gz",),
    "test": (
        "MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv.gz",
        "MTS-Dialog-TestSet-2-MEDIQA-Sum-2023.csv.gz",
    ),
}


def load_dialogues(at: DataDirectories) -> TaskData:
    """Load MTS-Dialog with its official parts; DialogSum's development part to train on as well.

    DialogSum's test part, where three people summarised each dialogue, is measured besides.
    """
    medical, everyday = at.find("text_mtsdialog"), at.find("text_dialogsum")
    spec = preprocess_spec(Modality.TEXT, max_tokens=_MAX_TOKENS, pair=False)
    files = {part: [medical / name for name in names] for part, names in _MTS.items()}
    rows = {part: [row for path in paths for row in _mts(path)] for part, paths in files.items()}
    development, test = (everyday / f"dialogsum.{part}.jsonl.gz" for part in ("dev", "test"))
    others = _dialogsum(development)
    rows["train"] += others[:-_HELD_OUT]
    rows["val"] += others[-_HELD_OUT:]
    for part in ("train", "val"):
        files[part].append(development)
    return TaskData(
        route="text/summarization",
        family=TaskFamily.SUMMARIZATION,
        preprocess=spec,
        splits={
            part: _split(at, f"text-dialogue-{part}", spec, files[part], rows[part])
            for part in rows
        },
        metric="rougeL",
        test_name="MTS-Dialog, both test parts",
        sources=(
            DataSource(
                name="MTS-Dialog", licence="CC BY 4.0", source="github.com/abachaa/MTS-Dialog"
            ),
            DataSource(
                name="DialogSum, development part",
                licence="CC BY-NC-SA 4.0",
                source="github.com/cylnlp/dialogsum",
            ),
        ),
        description="What was said in an English dialogue, above all between a doctor and a "
        "patient, in a few sentences.",
        further_metrics=("rouge1", "rouge2"),
        further_tests={
            "DialogSum test, three references": _split(
                at, "text-dialogue-everyday", spec, [test], _dialogsum(test)
            )
        },
    )


def _mts(path: Path) -> list[SummarizationTarget]:
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
        return [
            SummarizationTarget(row["dialogue"], (row["section_text"],))
            for row in csv.DictReader(file)
        ]


def _dialogsum(path: Path) -> list[SummarizationTarget]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [json.loads(_PERSON.sub(r"\1", line)) for line in file]
    return [
        SummarizationTarget(
            row["dialogue"], tuple(row[key] for key in sorted(row) if key.startswith("summary"))
        )
        for row in rows
    ]


def _split(
    at: DataDirectories,
    name: str,
    spec: PreprocessSpec,
    paths: Sequence[Path],
    rows: Sequence[SummarizationTarget],
) -> Split:
    preprocessor = build(spec)

    def make() -> Iterator[Sample]:
        for text in rows:
            ids = tokenizer().encode(text.references[0], add_special_tokens=False).ids
            sample = preprocessor.prepare(preprocessor.decode_json(text.source)).samples[0]
            yield {**sample, "target_ids": np.array([*ids, END_ID], np.int32)}

    return Split(stored(at, name, spec, paths, make), rows)

"""A text to write: summaries, headlines, answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from omnivec2.errors import InvalidInputError
from omnivec2.preprocess import Sample
from omnivec2.spec import HeadSpec, PreprocessSpec, TaskFamily
from omnivec2.training.data.base import SummarizationTarget
from omnivec2.training.data.blocks.examples import Example
from omnivec2.training.data.blocks.targets.base import FittedTarget, TargetKind
from omnivec2.training.data.table_files import as_name
from omnivec2.wordpiece import END_ID, tokenizer


@dataclass(frozen=True)
class FittedTexts(FittedTarget):
    """Texts by people; the first of an input is trained on."""

    def encode(self, parsed: Sequence[Any], kept: Sequence[Sample]) -> Sequence[Any]:
        """Return :class:`~omnivec2.training.data.base.SummarizationTarget` of each input."""
        del kept
        return list(parsed)

    def sample_arrays(self, parsed: Any) -> Sample:
        """Return ``target_ids``, int32, the ids of the first text and the end."""
        ids = tokenizer().encode(parsed.references[0], add_special_tokens=False).ids
        return {"target_ids": np.array([*ids, END_ID], np.int32)}


class TextTarget(TargetKind):
    """A text to write, or several that are equally right: a column, or several."""

    kind: Literal["text"] = "text"

    family: ClassVar[TaskFamily] = TaskFamily.SUMMARIZATION
    metric: ClassVar[str] = "rougeL"

    def parse(self, example: Example) -> SummarizationTarget:
        """Return the source and the texts; columns without one are left out."""
        raw = example.target
        cells = list(raw.values()) if isinstance(raw, Mapping) else [raw]
        references = tuple(str(cell) for cell in cells if as_name(cell))
        if not references:
            raise InvalidInputError("the text to write is empty")
        return SummarizationTarget(str(example.value), references)

    def fit(
        self, parsed: Sequence[Any], preprocess: PreprocessSpec, head: HeadSpec | None
    ) -> FittedTexts:
        """Return the kind; the words of the decoder are counted elsewhere."""
        del parsed, preprocess, head
        return FittedTexts()

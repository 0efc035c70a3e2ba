"""The rules by which a modality's labelled data becomes inputs and a tokenizer of a new head.

Every modality has an object of these rules in ``omnivec2.training.modalities``. The rules of
``AdaptationRules`` itself suit a modality whose inputs are files and whose tokenizer takes
inputs of one form; the others override what differs.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import JsonValue
from torch import Tensor

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.network.config import OWN_SUMMARIES, Summary
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.preprocess.formats.tables.frame import Frame
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2.training.adaptation.frozen_network import Base
from omnivec2.training.adaptation.reading.labelled_rows import Row, Value
from omnivec2.training.data.base import Augment, TaskData

FEATURE_SUMMARIES: tuple[Summary, ...] = ("cls", "mean")
TOKEN_SUMMARIES: tuple[Summary, ...] = ("token_mean", "token_max", "token_deviation")

INPUT_NAMES = ("text", "sentence", "smiles", "path", "file", "filename", "image")
"""Names of a table's column that is taken for the input where none is given."""


class AdaptationRules:
    """The rules of a modality whose inputs are files, for the base's own tokenizer.

    Class attributes:
        class_family: The family of a head that answers with a class.
        summaries: The combinations of summaries that a head is chosen from.
        search_seconds: The nominal time to try more than linear maps; more labels get more.
        trunk_seconds: The nominal time that the trunk may take with a tokenizer of the data's own,
            before it is known to be worth it.
        starts_from_base: Whether a tokenizer of the data's own starts from the base's weights.
    """

    class_family: ClassVar[TaskFamily] = TaskFamily.CLASSIFICATION
    summaries: ClassVar[tuple[tuple[Summary, ...], ...]] = (
        FEATURE_SUMMARIES,
        TOKEN_SUMMARIES,
        (*FEATURE_SUMMARIES, *TOKEN_SUMMARIES),
    )
    search_seconds: ClassVar[float] = 30.0
    trunk_seconds: ClassVar[float] = 60.0
    starts_from_base: ClassVar[bool] = True

    def candidates(self, own: Collection[str] = ()) -> list[tuple[Summary, ...]]:
        """Return the combinations of summaries that a head is chosen from.

        Args:
            own: The summaries that only the tokenizer hands out; each is tried alone, with the
                features, and with everything.
        """
        most = max(self.summaries, key=len)
        names = sorted(OWN_SUMMARIES.intersection(own))
        found: list[tuple[Summary, ...]] = [
            *((name,) for name in names),
            *self.summaries,
            *((name, *FEATURE_SUMMARIES) for name in names),
            *((name, *most) for name in names),
        ]
        return list(dict.fromkeys(found))

    # --- reading ------------------------------------------------------------------------

    def input_columns(self, path: Path, columns: Sequence[str]) -> list[str]:
        """Return the columns of a table that hold an input, where the request names none.

        Args:
            path: The table, for messages.
            columns: The columns that are neither labels nor conditions.

        Raises:
            InvalidInputError: It is not clear which columns they are.
        """
        if len(columns) == 1:
            return list(columns)
        if known := [name for name in columns if name.lower() in INPUT_NAMES]:
            return known[:1]
        raise InvalidInputError(
            f"{path}: give --input, the column that holds the input or its path; "
            f"the table has {', '.join(map(repr, columns))}"
        )

    def row_value(self, columns: Sequence[str], cells: Sequence[Any], folder: Path) -> Value:
        """Return the input that a table's row holds: the path of a file.

        Args:
            columns: The input columns.
            cells: The row's cells in these columns.
            folder: The folder that paths are relative to.
        """
        del columns
        return folder / str(cells[0]).strip()

    def rows_are_moments(self, frame: Frame, columns: Sequence[str]) -> bool:
        """Whether a table's rows are moments of recordings, and not inputs by themselves.

        Args:
            frame: The table.
            columns: The columns that may hold inputs.
        """
        del frame, columns
        return False

    def scene_rows(self, path: Path, values: Array, labels: Array) -> list[Row] | None:
        """Return a row per labelled pixel if the arrays are a labelled scene, else None."""
        del path, values, labels
        return None

    # --- the tokenizer ------------------------------------------------------------------

    def parameters_from_data(
        self, rows: Sequence[Row], base: HeadSpec, given: Collection[str]
    ) -> dict[str, JsonValue]:
        """Return the parameters of the pre-processor that the data itself decides.

        Args:
            rows: The rows of the training part.
            base: A head of the same modality.
            given: The parameters that the request sets.

        Raises:
            InvalidInputError: The first input does not show what it must.
        """
        del rows, base, given
        return {}

    def needs_own_tokenizer(self, preprocessor: Preprocessor[Any, Any], base: HeadSpec) -> bool:
        """Whether the base's tokenizer cannot take the data's inputs, and another one can.

        Args:
            preprocessor: The pre-processor of the new head.
            base: A head that uses the base's tokenizer.

        Raises:
            InvalidParameterError: The inputs differ in a way that no tokenizer is trained for.
        """
        if preprocessor.inputs != base.inputs:
            raise InvalidParameterError(
                f"the tokenizer for {base.modality.value} takes {_shapes(base.inputs)}, "
                f"these parameters make {_shapes(preprocessor.inputs)}"
            )
        return False

    def start_projection(self, own: Tensor, known: Tensor, base: Base, task: TaskData) -> None:
        """Copy the weights of the base's projection into a new tokenizer's, where they fit.

        Args:
            own: The weights of the new tokenizer, which are changed in place.
            known: The weights of the base's tokenizer.
            base: The base.
            task: The labelled samples.
        """
        del base, task
        if own.shape == known.shape:
            own.copy_(known)

    def augmentation(self, samples: Sequence[Sample]) -> Augment | None:
        """Return the random variation of samples while a tokenizer is trained, if there is one."""
        del samples
        return None


class TextRules(AdaptationRules):
    """The rules of a modality whose inputs are texts in a table."""

    def row_value(self, columns: Sequence[str], cells: Sequence[Any], folder: Path) -> Value:
        """Return a text, or two texts as the JSON form of a pair."""
        del columns, folder
        texts = ["" if cell is None else str(cell) for cell in cells]
        return texts[0] if len(texts) == 1 else {"text": texts[0], "text_pair": texts[1]}


def parameters_differ(preprocessor: Preprocessor[Any, Any], parameters: Mapping[str, Any]) -> bool:
    """Whether a pre-processor has other parameters than those given."""
    own = preprocessor.parameters
    return bool(own != type(own).model_validate(parameters))


def _shapes(tensors: Sequence[Any]) -> str:
    return ", ".join(f"{tensor.name} {tensor.shape}" for tensor in tensors)

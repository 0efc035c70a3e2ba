"""Rows of tables: columns, each as if its value were not known."""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue

from omnivec2.explanations.occlusion import Occlusion, Segment, even_spans
from omnivec2.preprocess import Prepared, Preprocessor, Sample
from omnivec2.preprocess.tabular import MISSING_ID


def occlude(preprocessor: Preprocessor[Any, Any], prepared: Prepared, most: int) -> Occlusion:
    """Cut a row into columns, neighbours together if there are many; see the package."""
    parameters = preprocessor.parameters
    row = prepared.samples[0]
    numbers = {column.name: index for index, column in enumerate(parameters.numbers)}
    categories = {column.name: index for index, column in enumerate(parameters.categories)}
    names = [column.name for column in parameters.columns]
    groups = [names[start:stop] for start, stop in even_spans(len(names), most)]

    def mask(segment: int, sample: int) -> Sample:
        masked = {name: array.copy() for name, array in row.items()}
        for name in groups[segment]:
            if name in numbers:
                masked["numbers"][numbers[name]] = 0.0
                masked["missing"][numbers[name]] = 1
            else:
                masked["categories"][categories[name]] = MISSING_ID
        return masked

    return Occlusion(
        "columns",
        "a missing value",
        [Segment(_place(group)) for group in groups],
        mask,
    )


def _place(group: list[str]) -> dict[str, JsonValue]:
    return {"column": group[0]} if len(group) == 1 else {"columns": [*group]}

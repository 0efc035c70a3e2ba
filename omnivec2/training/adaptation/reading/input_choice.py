"""The pre-processing of a data set's inputs, and whether the base's tokenizer takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from omnivec2.errors import InvalidParameterError
from omnivec2.preprocess import Preprocessor
from omnivec2.spec import HeadSpec, PreprocessSpec
from omnivec2.training.adaptation.adaptation_request import AdaptRequest
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.modalities import modality_training


def make_preprocessor(
    request: AdaptRequest, base: HeadSpec, rows: Sequence[Row]
) -> Preprocessor[Any, Any]:
    """Return the pre-processor of the new head: the base's, with the parameters of the data.

    Args:
        request: The request, which may set parameters.
        base: A head of the same modality.
        rows: The rows of the training part.

    Raises:
        InvalidParameterError: A parameter is unknown or impossible.
        InvalidInputError: The first input does not show what it must (its channels, its bands).
    """
    training = modality_training(base.modality)
    parameters = {
        **base.preprocess.parameters,
        **training.adaptation.parameters_from_data(rows, base, request.preprocess),
        **request.preprocess,
    }
    kind = training.preprocessor
    try:
        checked = kind.parameters_type.model_validate(parameters)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidParameterError(f"preprocess: {wrong}") from error
    return kind(checked, base.limits)


def preprocess_spec_of(preprocessor: Preprocessor[Any, Any]) -> PreprocessSpec:
    """Return the spec that makes the same pre-processor again."""
    return PreprocessSpec(
        name=preprocessor.modality,
        version=preprocessor.version,
        parameters=preprocessor.parameters.model_dump(mode="json"),
    )

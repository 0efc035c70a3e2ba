"""New labelled inputs of a head, to measure it on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.network.fc_head import FAMILIES
from omnivec2.preprocess import Preprocessor, preprocessor_type
from omnivec2.spec import DataSource, HeadSpec, TaskFamily
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.answer_forms import AnswerForm, usual_metric
from omnivec2.training.adaptation.reading.forecast_series import (
    read_forecast_series,
    windows_of,
)
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.adaptation.reading.prepared_rows import prepare_rows
from omnivec2.training.adaptation.reading.read_data import read_part
from omnivec2.training.data.base import Split, TargetForm, TaskData
from omnivec2.training.yaml_lines import did_you_mean

_MOST_LISTED = 10


def labelled_task(head: HeadSpec, part: DataPart, name: str, *, skip_bad: int = 0) -> TaskData:
    """Return labelled inputs as the test split of a head's task.

    Inputs of several samples (a recording of several windows) count sample by sample. Of series to
    be forecast, every window counts.

    Args:
        head: The head; its pre-processor and its labels are taken.
        part: The files, in any form that an adaptation takes.
        name: The name of the data in tables.
        skip_bad: The number of inputs that may fail to decode.

    Raises:
        InvalidInputError: The data cannot be read, or a label is none of the head's; the message
            names file and row.
        InvalidParameterError: The head answers neither with classes, tags nor quantities per input,
            nor with a forecast.
    """
    is_forecast = head.family is TaskFamily.FORECASTING
    has_maps = not is_forecast and any(len(tensor.shape) > 1 for tensor in head.outputs)
    if head.family not in FAMILIES or has_maps:
        raise InvalidParameterError(
            f"{head.route}: labelled files measure a head that answers with a class, tags or "
            f"quantities per input, or with a forecast; this is {head.family.value}"
        )
    form = _form_of(head)
    kind = preprocessor_type(head.modality)
    parameters = kind.parameters_type.model_validate(head.preprocess.parameters)
    preprocessor = kind(parameters, head.limits)
    if is_forecast:
        split = _windows(head, part, preprocessor)
    else:
        rows = read_part(part, head.modality, form)
        _check_labels(head, rows)
        prepared = prepare_rows(rows, preprocessor, head.labels, skip_bad=skip_bad)
        split = Split(prepared.samples, prepared.labels[prepared.item])
    return TaskData(
        route=head.route,
        family=head.family,
        preprocess=head.preprocess,
        splits={"test": split},
        metric=head.metrics[0].name if head.metrics else usual_metric(form, head.family),
        further_metrics=("ece",) if form is AnswerForm.CLASS else (),
        test_name=name,
        sources=(DataSource(name=name, licence="not stated"),),
        labels=head.labels,
        targets=head.targets,
        horizon=head.horizon,
        quantiles=head.quantiles,
        form=TargetForm.MULTI_LABEL if form is AnswerForm.TAGS else TargetForm.PLAIN,
    )


def _form_of(head: HeadSpec) -> AnswerForm:
    if head.family in (TaskFamily.REGRESSION, TaskFamily.FORECASTING):
        return AnswerForm.QUANTITIES
    return AnswerForm.TAGS if head.is_multi_label else AnswerForm.CLASS


def _windows(head: HeadSpec, part: DataPart, preprocessor: Preprocessor[Any, Any]) -> Split:
    context = head.inputs[0].shape[0]
    assert head.horizon is not None, "a forecast has a horizon"
    return windows_of(read_forecast_series(part), context, head.horizon, preprocessor)


def _check_labels(head: HeadSpec, rows: Sequence[Row]) -> None:
    for row in rows:
        names = (row.label,) if isinstance(row.label, str) else row.label
        if head.family is TaskFamily.REGRESSION:
            if len(names) != len(head.targets):
                raise InvalidInputError(
                    f"{row.where}: {len(names)} quantities; {head.route} answers "
                    f"{', '.join(target.name for target in head.targets)}"
                )
            continue
        for name in map(str, names):
            if name not in head.labels:
                known = list(head.labels)
                raise InvalidInputError(
                    f"{row.where}: {name!r} is no label of {head.route}; it knows "
                    f"{', '.join(known[:_MOST_LISTED])}{did_you_mean(name, known)}"
                )

"""New labelled inputs of a head, to measure it on."""

from __future__ import annotations

from omnivec2.errors import InvalidInputError, InvalidParameterError
from omnivec2.network.fc_head import FAMILIES
from omnivec2.preprocess import preprocessor_type
from omnivec2.spec import DataSource, HeadSpec, TaskFamily
from omnivec2.training.adaptation.adaptation_request import DataPart
from omnivec2.training.adaptation.reading.labelled_rows import Row
from omnivec2.training.adaptation.reading.prepared_rows import prepare_rows
from omnivec2.training.adaptation.reading.read_data import read_part
from omnivec2.training.data.base import Split, TargetForm, TaskData


def labelled_task(head: HeadSpec, part: DataPart, name: str, *, skip_bad: int = 0) -> TaskData:
    """Return labelled inputs as the test split of a head's task.

    Inputs of several samples (a recording of several windows) count sample by sample.

    Args:
        head: The head; its pre-processor and its labels are taken.
        part: The files, in any form that an adaptation takes.
        name: The name of the data in tables.
        skip_bad: The number of inputs that may fail to decode.

    Raises:
        InvalidInputError: The data cannot be read, or a label is none of the head's; the message
            names file and row.
        InvalidParameterError: The head's answer is not one class or quantities per input.
    """
    if head.family not in FAMILIES or head.thresholds:
        raise InvalidParameterError(
            f"{head.route}: labelled files measure a head that answers with one class or with "
            f"quantities per input; this is {head.family.value}"
        )
    is_regression = head.family is TaskFamily.REGRESSION
    rows = read_part(part, head.modality, regression=is_regression)
    _check_labels(head, rows)
    kind = preprocessor_type(head.modality)
    parameters = kind.parameters_type.model_validate(head.preprocess.parameters)
    preprocessor = kind(parameters, head.limits)
    prepared = prepare_rows(rows, preprocessor, head.labels, skip_bad=skip_bad)
    metric = "rmse" if is_regression else "accuracy"
    return TaskData(
        route=head.route,
        family=head.family,
        preprocess=head.preprocess,
        splits={"test": Split(prepared.samples, prepared.labels[prepared.item])},
        metric=head.metrics[0].name if head.metrics else metric,
        test_name=name,
        sources=(DataSource(name=name, licence="not stated"),),
        labels=head.labels,
        targets=head.targets,
        form=TargetForm.PLAIN,
    )


def _check_labels(head: HeadSpec, rows: list[Row]) -> None:
    for row in rows:
        if isinstance(row.label, tuple):
            if len(row.label) != len(head.targets):
                raise InvalidInputError(
                    f"{row.where}: {len(row.label)} quantities; {head.route} answers "
                    f"{', '.join(target.name for target in head.targets)}"
                )
        elif row.label not in head.labels:
            raise InvalidInputError(
                f"{row.where}: {row.label!r} is no label of {head.route}; it knows "
                f"{', '.join(head.labels[:10])}"
            )

"""A request's part for each head, and which heads can share the work on its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import InvalidParameterError
from omnivec2.postprocess.base import ExplainableParameters
from omnivec2.preprocess.source_options import SourceOptions
from service.pipeline.explanations.explainer import Explanations
from service.pipeline.host_stages import Head, check_parameters


@dataclass(frozen=True)
class TaskRequest:
    """A head, the request's parameters for it, checked, and what they state of the inputs.

    Attributes:
        head: The head.
        parameters: The parameters of its family.
        source: The statements of the caller on the inputs, if there are any.
        explanations: The explanations of its answers, once they are made; None if none are wanted.
    """

    head: Head
    parameters: Any
    source: SourceOptions | None = None
    explanations: Explanations | None = None


def request_of_head(head: Head, parameters: Mapping[str, JsonValue]) -> TaskRequest:
    """Return the request to one head; the parameters are those of its family.

    Raises:
        InvalidParameterError: One is unknown or of the wrong kind; it is named.
    """
    checked, source = check_parameters(head, parameters)
    if head.spec.generation is not None:
        # What is more than the head can do is refused here, and not after half of the work.
        head.postprocessor.search_options(head.spec, checked)
    if isinstance(checked, ExplainableParameters) and checked.explain is True:
        return TaskRequest(head, checked, source, Explanations())
    return TaskRequest(head, checked, source)


def requests_of_heads(
    heads: Sequence[Head], parameters: Mapping[str, JsonValue]
) -> list[TaskRequest]:
    """Return the requests to several heads of a modality.

    Args:
        heads: The heads; each once.
        parameters: Either the parameters for every head, or task -> those for its head.

    Raises:
        InvalidParameterError: One is unknown to a head or of the wrong kind; both are named.
    """
    tasks = [head.spec.task for head in heads]
    by_task = any(isinstance(parameters.get(task), dict) for task in tasks)
    if by_task and (unknown := parameters.keys() - set(tasks)):
        name = min(unknown)
        raise InvalidParameterError(
            f"parameters are given by task, but {name!r} is none of the requested tasks",
            field=f"parameters.{name}",
            known=tasks,
        )
    return [_request_of_task(head, parameters, by_task=by_task) for head in heads]


def group_by_preprocessing(requests: Sequence[TaskRequest]) -> list[list[TaskRequest]]:
    """Group requests whose heads prepare an input in the same way and take the same inputs.

    Their limits are the same too, so that what one head of a group takes is taken by all.
    """
    groups: list[list[TaskRequest]] = []
    for request in requests:
        for group in groups:
            if _preparation(request) == _preparation(group[0]):
                group.append(request)
                break
        else:
            groups.append([request])
    return groups


def _preparation(request: TaskRequest) -> tuple[object, ...]:
    spec = request.head.spec
    return spec.preprocess, spec.limits, spec.inputs, request.source


def _request_of_task(
    head: Head, parameters: Mapping[str, JsonValue], *, by_task: bool
) -> TaskRequest:
    task = head.spec.task
    own = parameters.get(task, {}) if by_task else parameters
    if not isinstance(own, Mapping):
        raise InvalidParameterError(
            f"parameters of {task}: expected an object", field=f"parameters.{task}"
        )
    try:
        return request_of_head(head, own)
    except InvalidParameterError as error:
        field = error.field or "parameters"
        if by_task:
            field = f"parameters.{task}{field.removeprefix('parameters')}"
        raise InvalidParameterError(f"{task}: {error}", field=field, known=error.known) from error

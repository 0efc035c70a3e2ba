"""What a request asks of each head, and which heads can share the work on its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import InvalidParameterError
from service.pipeline.host_stages import Head, check_parameters


@dataclass(frozen=True)
class Asked:
    """A head and the request's parameters for it, checked."""

    head: Head
    parameters: Any


def ask_one(heads: Sequence[Head], parameters: Mapping[str, JsonValue]) -> list[Asked]:
    """Ask one head; the parameters are its family's.

    Raises:
        InvalidParameterError: one is unknown or of the wrong kind; it is named.
    """
    (head,) = heads
    return [_ask_head(head, parameters)]


def ask_tasks(heads: Sequence[Head], parameters: Mapping[str, JsonValue]) -> list[Asked]:
    """Ask several heads of a modality.

    Args:
        heads: each once.
        parameters: either of every head, or task -> those of its head.

    Raises:
        InvalidParameterError: one is unknown to a head or of the wrong kind; both are named.
    """
    tasks = [head.spec.task for head in heads]
    keyed = any(isinstance(parameters.get(task), dict) for task in tasks)
    if keyed and (strange := parameters.keys() - set(tasks)):
        name = min(strange)
        raise InvalidParameterError(
            f"parameters are given by task, but {name!r} is none of the tasks asked",
            field=f"parameters.{name}",
            known=tasks,
        )
    return [_ask_task(head, parameters, keyed=keyed) for head in heads]


def alike(asked: Sequence[Asked]) -> list[list[Asked]]:
    """Heads by what they make of an input: those that make the same are in one list.

    Their limits are the same too, so that what one of them takes is taken by all.
    """
    groups: list[list[Asked]] = []
    for one in asked:
        mine = (one.head.spec.preprocess, one.head.spec.limits, one.head.spec.inputs)
        for group in groups:
            first = group[0].head.spec
            if mine == (first.preprocess, first.limits, first.inputs):
                group.append(one)
                break
        else:
            groups.append([one])
    return groups


def _ask_head(head: Head, parameters: Mapping[str, JsonValue]) -> Asked:
    checked = check_parameters(head.postprocessor, parameters)
    if head.spec.generation is not None:
        # Refused here what is more than the head can, and not after half of the work.
        head.postprocessor.search_options(head.spec, checked)
    return Asked(head, checked)


def _ask_task(head: Head, parameters: Mapping[str, JsonValue], *, keyed: bool) -> Asked:
    task = head.spec.task
    own = parameters.get(task, {}) if keyed else parameters
    if not isinstance(own, Mapping):
        raise InvalidParameterError(
            f"parameters of {task}: expected an object", field=f"parameters.{task}"
        )
    try:
        return _ask_head(head, own)
    except InvalidParameterError as error:
        field = error.field or "parameters"
        if keyed:
            field = f"parameters.{task}{field.removeprefix('parameters')}"
        raise InvalidParameterError(f"{task}: {error}", field=field, known=error.known) from error

"""A predictor without a network, for tests of what lies above it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from pydantic import JsonValue

from omnivec2.errors import OmniVecError
from omnivec2.spec import HeadSpec
from omnivec2_api.answers.answer_types import make_answer
from omnivec2_api.head_info import HeadInfo, make_head_info
from omnivec2_api.predictor import Predictor, TaskAnswers

Script = Callable[[HeadInfo, Any], JsonValue]
"""Returns the answer of a head to an input, or raises an error."""


class ScriptedPredictor(Predictor):
    """Answers as its script says.

    Attributes:
        asked: The inputs, in the order in which they came.
    """

    def __init__(
        self, script: Script, *specs: HeadSpec, notes: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self._script, self._notes = script, notes
        described = [make_head_info(spec.model_dump(mode="json")) for spec in specs]
        self._heads = {head.route: head for head in described}
        self.asked: list[Any] = []

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        return self._heads

    @property
    def concurrency(self) -> int:
        return 3

    def submit(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        parameters: Mapping[str, Any],
        *,
        strict: bool = False,
    ) -> Future[TaskAnswers]:
        self.asked.append(value)
        future: Future[TaskAnswers] = Future()
        try:
            heads = [self._heads[f"{modality}/{task}"] for task in tasks]
            answers = {
                head.task: make_answer(
                    head.route, head.family, self._script(head, value), self._notes, "1"
                )
                for head in heads
            }
        except OmniVecError as error:
            future.set_exception(error)
        else:
            future.set_result(answers)
        return future

    def close(self) -> None:
        pass

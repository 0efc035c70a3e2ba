"""The explanations of one input's answer: masked copies of it go through the same runtime.

They are samples like any others: in batches, at the deadline of their request, and counted as its
work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from pydantic import JsonValue
from pydantic_core import from_json, to_json

from omnivec2.errors import InvalidParameterError, TooLargeError
from omnivec2.explanations import can_explain, occlude
from omnivec2.explanations.occlusion import MaskedSamples
from omnivec2.explanations.score_changes import explain
from omnivec2.postprocess.numeric import is_averaged
from omnivec2.preprocess import Array, Prepared
from service.admission.cost_model import tokens_of_sample
from service.pipeline.answers import Answer, Timings
from service.pipeline.host_stages import Head, PreparedInput, check_finite
from service.pipeline.host_threads import HostThreads
from service.pipeline.measured_inference import MeasuredInference
from service.request_context import REQUEST

EXPLAIN = "explain"
"""The parameter that asks for explanations."""

MOST_ANSWERS = 8
"""The most answers of one request that are explained: each takes the work of a whole batch."""


@dataclass
class Explanations:
    """The explanations of the answers to one request, as they are made.

    Attributes:
        inputs: The number of inputs of the request.
        of_input: The place of an input -> its explanations.
    """

    inputs: int = 1
    of_input: dict[int, list[dict[str, JsonValue]]] = field(default_factory=dict)

    def beside(self, answer: JsonValue) -> dict[str, JsonValue]:
        """Return the body of a response: that without explanations, and the explanations."""
        explanations: list[JsonValue] = [
            {"input": number, **explanation}
            for number, some in sorted(self.of_input.items())
            for explanation in some
        ]
        return {"answer": answer, "explanations": explanations}


@dataclass(frozen=True)
class _Part:
    """What has one answer of its own: a whole input, or a row of it."""

    row: int | None
    prepared: Prepared
    outputs: Mapping[str, Array]


def without_explanations(answer: Answer) -> Answer:
    """Return an answer as it would be without its explanations, if it has any."""
    body = from_json(answer.body)
    plain = plain_answer(body)
    return answer if plain is body else replace(answer, body=to_json(plain))


def plain_answer(body: JsonValue) -> JsonValue:
    """Return the answer in a body, which has explanations beside it or not."""
    if isinstance(body, dict) and body.keys() == {"answer", "explanations"}:
        return body["answer"]
    return body


class Explainer:
    """Explains answers by occlusion.

    Args:
        inference: The calls of the runtime.
        host: The threads in which inputs are cut into segments.
        most_segments: The most segments of one input; 0 explains nothing.
    """

    def __init__(self, inference: MeasuredInference, host: HostThreads, most_segments: int) -> None:
        self._inference = inference
        self._host = host
        self._most_segments = most_segments

    def check_head(self, head: Head, others: Iterable[Head]) -> None:
        """Refuse to explain a head's answers if that is not possible.

        Args:
            head: The head.
            others: All heads, some of which are named instead.

        Raises:
            InvalidParameterError: Its answers have no explanations, or none are given here.
        """
        if self._most_segments == 0:
            raise InvalidParameterError(
                "explanations are switched off here (OMNIVEC2_EXPLANATION_SEGMENTS)",
                field=f"parameters.{EXPLAIN}",
            )
        if not can_explain(head.spec):
            known = sorted(other.spec.route for other in others if can_explain(other.spec))
            raise InvalidParameterError(
                f"{head.spec.route} has no explanations: only answers that are a class or a value "
                f"have; here those of {', '.join(known) or 'no head'}",
                field=f"parameters.{EXPLAIN}",
                known=known,
            )

    def check_answers(self, head: Head, inputs: int, prepared: Prepared | None = None) -> None:
        """Refuse to explain more answers than one request may have.

        Args:
            head: The head that answers.
            inputs: The number of inputs of the request.
            prepared: One of the inputs, if it is known already.

        Raises:
            TooLargeError: There are too many.
        """
        rows = 1
        if prepared is not None and not is_averaged(prepared.context, len(prepared.samples)):
            rows = len(prepared.samples)
        if inputs * rows > MOST_ANSWERS:
            raise TooLargeError(
                f"{head.spec.route}: {inputs * rows:,} answers to explain in one request, at most "
                f"{MOST_ANSWERS} are; send fewer inputs or rows",
                field="inputs",
            )

    async def explain(
        self, head: Head, outputs: Mapping[str, Array], prepared: Prepared, timings: Timings
    ) -> list[dict[str, JsonValue]]:
        """Return the explanations of one input's answer: one for each row and label.

        Args:
            head: The head that answered.
            outputs: Its outputs: name -> array (samples, ...).
            prepared: The input.
            timings: The timings of the request, to be added to.
        """
        parts = _parts(prepared, outputs)
        cut = partial(occlude, head.preprocessor, most=self._most_segments)
        occlusions = [await self._host.run(timings, partial(cut, part.prepared)) for part in parts]
        masked = [MaskedSamples(occlusion) for occlusion in occlusions]
        tokens = tokens_of_sample(head.spec, prepared.samples[0])
        REQUEST.get().work.record_tokens(sum(map(len, masked)) * tokens)
        found: list[dict[str, JsonValue]] = []
        for part, occlusion, samples in zip(parts, occlusions, masked, strict=True):
            lazy = PreparedInput(Prepared(samples), None, 0.0, 0.0, 0.0)
            max_rows = head.spec.max_batch_size
            (changed,) = await self._inference.infer_input([head], lazy, max_rows, timings)
            check_finite(changed)
            row: dict[str, JsonValue] = {} if part.row is None else {"row": part.row}
            compare = partial(explain, head.spec, head.postprocessor, occlusion, samples.pairs)
            call = partial(compare, part.outputs, changed)
            explained = await self._host.run(timings, call)
            found += [{**row, **explanation} for explanation in explained]
        return found


def _parts(prepared: Prepared, outputs: Mapping[str, Array]) -> list[_Part]:
    samples = prepared.samples
    if is_averaged(prepared.context, len(samples)):
        return [_Part(None, prepared, outputs)]
    return [
        _Part(
            row,
            Prepared([samples[row]], prepared.context),
            {name: array[row : row + 1] for name, array in outputs.items()},
        )
        for row in range(len(samples))
    ]

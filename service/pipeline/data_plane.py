"""The meaning of a request, without HTTP: decode, prepare, infer, post-process.

::

    RawInput ─ decode ─► native ─ prepare ─► samples ─ collate ─► Runtime ─ post-process ─► JSON
    └───────────── host threads ─────────────────────────┘         └──── host threads ────┘

    tensors ─ read and check ────────────────────────────────────► Runtime ────────────► tensors

Both ways share the second attempt after a model was replaced, the measuring of time and work, and
the checks of the network's outputs.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

from pydantic import JsonValue
from pydantic_core import to_json

from omnivec2.preprocess import Array
from service.canary.canary_router import CanaryRouter
from service.canary.heads_request import Attempt, HeadsRequest, bytes_of
from service.pipeline.answers import Answer, RequestNotes, TensorAnswer, Timings, ValueAnswer
from service.pipeline.concurrency import in_slices
from service.pipeline.explanations.explainer import EXPLAIN, Explainer
from service.pipeline.heads.head_versions import HeadVersions
from service.pipeline.heads.served_heads import ServedHeads
from service.pipeline.host_stages import (
    Head,
    RawInput,
    check_count,
)
from service.pipeline.host_threads import HostThreads
from service.pipeline.input_pipeline import Decoders, InputPipeline
from service.pipeline.measured_inference import MeasuredInference
from service.pipeline.partial.part_streamer import PartStreamer
from service.pipeline.task_requests import (
    TaskRequest,
    group_by_preprocessing,
    request_of_head,
    requests_of_heads,
)
from service.pipeline.tensor_inference import ReadTensors, TensorInference
from service.pipeline.text_generation import TextGenerator
from service.request_context import REQUEST
from service.runtimes.base import Runtime


class DataPlane:
    """The way of a request through the models of a runtime.

    Args:
        runtime: The runtime; started.
        host_workers: The number of threads that decode, prepare and post-process.
        chunks_ahead: The number of batches of one input that are under way at the same time:
            enough to keep every worker busy, few enough that a large input is never wholly in
            memory.
        decoders: The processes in which native code reads inputs; None reads them in this one.
        max_token_pairs: The most pairs of tokens in one call of the runtime with several rows.
        explanation_segments: The most segments of an input whose answer is explained; 0 explains
            nothing.
        canaries: The router of requests to heads that have two versions; None serves one of each.

    Attributes:
        served: The heads of the runtime's models.
        inputs: The way of one input.
    """

    def __init__(
        self,
        runtime: Runtime,
        host_workers: int,
        chunks_ahead: int = 4,
        decoders: Decoders | None = None,
        max_token_pairs: int = sys.maxsize,
        explanation_segments: int = 64,
        canaries: CanaryRouter | None = None,
    ) -> None:
        self._host = HostThreads(host_workers)
        self._inference = MeasuredInference(runtime, self._host, chunks_ahead, max_token_pairs)
        self._tensors = TensorInference(self._inference)
        self._explainer = Explainer(self._inference, self._host, explanation_segments)
        self.served = ServedHeads(runtime)
        self._versions = HeadVersions(self.served, canaries)
        self.inputs = InputPipeline(
            self._host,
            self._inference,
            self._explainer,
            TextGenerator(runtime),
            PartStreamer(self._inference, self._host, chunks_ahead),
            decoders,
        )

    @property
    def heads(self) -> Mapping[str, Head]:
        """Head name (``<modality>/<task>``) -> head, as of now."""
        return self.served.by_name

    def head(self, modality: str, task: str) -> Head:
        """Return the head of a modality and task; see ``ServedHeads.head``."""
        return self.served.head(modality, task)

    async def predict(
        self,
        head: Head,
        inputs: Sequence[RawInput],
        parameters: Mapping[str, JsonValue],
        *,
        batched: bool,
        notes: RequestNotes | None = None,
    ) -> Answer:
        """Answer the inputs of one request, written as JSON; see ``predict_value``."""
        answer = await self.predict_value(head, inputs, parameters, batched=batched, notes=notes)
        return Answer(_to_json(answer.value), answer.models, answer.timings, answer.notes)

    async def predict_value(
        self,
        head: Head,
        inputs: Sequence[RawInput],
        parameters: Mapping[str, JsonValue],
        *,
        batched: bool,
        notes: RequestNotes | None = None,
    ) -> ValueAnswer:
        """Answer the inputs of one request.

        Args:
            head: The head that answers.
            inputs: The inputs; at least one.
            parameters: The parameters of the task's family; unknown ones are errors.
            batched: Whether the answer is a list of answers.
            notes: The notes on the request so far, to be added to.

        Raises:
            InputError: An input or a parameter is wrong; ``field`` says which.
            NotedInputError: There are notes on an input, and they are strict.
            OverloadedError: Too much is waiting.
            ModelNotReadyError: The engine failed.
        """
        timings, noted = Timings(), notes or RequestNotes()
        if parameters.get(EXPLAIN):
            self._explainer.check_head(head, self.heads.values())

        async def attempt(
            heads: Sequence[Head], timings: Timings, notes: RequestNotes
        ) -> list[JsonValue]:
            requests = [request_of_head(head, parameters) for head in heads]
            return await self._answer(requests, inputs, batched, timings, notes)

        request = _request_of([head], attempt, inputs, timings, noted)
        heads, bodies = await self._versions.answer(request)
        models = [head.model for head in heads]
        return ValueAnswer(bodies[0], models, timings, noted.in_order())

    async def predict_tasks(
        self,
        heads: Sequence[Head],
        inputs: Sequence[RawInput],
        parameters: Mapping[str, JsonValue],
        *,
        batched: bool,
        notes: RequestNotes | None = None,
    ) -> Answer:
        """Answer the inputs of one request with several heads of a modality: task -> answer.

        Heads with the same pre-processing decode an input once and call the runtime once.

        Args:
            heads: The heads that answer; each once.
            inputs: The inputs; at least one.
            parameters: The parameters for every head, or task -> those for its head.
            batched: Whether the answers are lists of answers.
            notes: The notes on the request so far, to be added to.

        Raises:
            InputError: As for ``predict``, and so are the other errors.
        """
        timings, noted = Timings(), notes or RequestNotes()

        async def attempt(
            heads: Sequence[Head], timings: Timings, notes: RequestNotes
        ) -> list[JsonValue]:
            requests = requests_of_heads(heads, parameters)
            return await self._answer(requests, inputs, batched, timings, notes)

        request = _request_of(heads, attempt, inputs, timings, noted)
        heads, bodies = await self._versions.answer(request)
        by_task = {head.spec.task: body for head, body in zip(heads, bodies, strict=True)}
        models = [head.model for head in heads]
        return Answer(_to_json(by_task), models, timings, noted.in_order())

    async def infer_tensors(
        self,
        head: Head,
        read: ReadTensors,
        nbytes: int,
        *,
        any_version: bool = True,
        notes: RequestNotes | None = None,
    ) -> TensorAnswer:
        """Run the tensors of one request through a head, without pre- and post-processing.

        Args:
            head: The head that answers.
            read: The reader of the tensors, which checks them against the head's spec. It is
                called again if another head has taken the place of this one.
            nbytes: The size of the request; a large one is read in a thread.
            any_version: Whether a canary of the head may answer.
            notes: The notes on the request so far, to be added to.

        Raises:
            InputError: A tensor is not what the head takes, or its values are not.
            NotedInputError: There are notes on a row, and they are strict.
            OverloadedError: Too much is waiting.
            ModelNotReadyError: The engine failed, or the head is no longer served.
        """
        timings, noted = Timings(), notes or RequestNotes()

        async def attempt(
            heads: Sequence[Head], timings: Timings, notes: RequestNotes
        ) -> list[Mapping[str, Array]]:
            return [await self._tensors.run(heads[0], read, nbytes, timings, notes)]

        request = HeadsRequest([head], attempt, timings, noted, is_comparable=False)
        heads, (outputs,) = await self._versions.answer(request, any_version=any_version)
        return TensorAnswer(outputs, heads[0].model, timings, noted.in_order())

    @property
    def host_threads(self) -> HostThreads:
        """The threads that decode, prepare and post-process."""
        return self._host

    def close(self, seconds: float = float("inf")) -> bool:
        """Stop the host threads; see ``HostThreads.close``."""
        return self._host.close(seconds)

    async def _answer(
        self,
        requests: Sequence[TaskRequest],
        inputs: Sequence[RawInput],
        batched: bool,
        timings: Timings,
        notes: RequestNotes,
    ) -> list[JsonValue]:
        """Return the answer of each head to all inputs."""
        for request in requests:
            check_count(len(inputs), request.head)
            if request.explanations is not None:
                self._explainer.check_head(request.head, self.heads.values())
                self._explainer.check_answers(request.head, len(inputs))
                request.explanations.inputs = len(inputs)
        groups = group_by_preprocessing(requests)
        calls = [
            self.inputs.answer(group, raw, timings, notes, index if batched else None)
            for group in groups
            for index, raw in enumerate(inputs)
        ]
        explained = sum(request.explanations is not None for request in requests)
        REQUEST.get().work.expect_inputs(len(calls) + explained * len(inputs))
        at_once = requests[0].head.spec.limits.inputs * len(groups)
        rows = iter(await in_slices(calls, at_once))
        results: dict[str, list[JsonValue]] = {}
        for group in groups:
            columns = zip(*(next(rows) for _ in inputs), strict=True)
            results |= {
                request.head.spec.task: list(column)
                for request, column in zip(group, columns, strict=True)
            }
        return [_body(request, results[request.head.spec.task], batched) for request in requests]


def _request_of(
    heads: Sequence[Head],
    attempt: Attempt[JsonValue],
    inputs: Sequence[RawInput],
    timings: Timings,
    notes: RequestNotes,
) -> HeadsRequest[JsonValue]:
    nbytes = bytes_of([raw.nbytes for raw in inputs])
    return HeadsRequest(heads, attempt, timings, notes, len(inputs), nbytes)


def _body(request: TaskRequest, results: Sequence[JsonValue], batched: bool) -> JsonValue:
    """Return a head's answers to all inputs, in one body."""
    spec = request.head.spec
    body = request.head.postprocessor.combine(results, batched=batched, spec=spec)
    return body if request.explanations is None else request.explanations.beside(body)


def _to_json(body: JsonValue) -> bytes:
    return to_json(body, inf_nan_mode="null")

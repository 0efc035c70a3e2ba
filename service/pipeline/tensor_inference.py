"""A caller's own tensors through the network, without pre- and post-processing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial

from omnivec2.errors import InvalidInputError, RefusedTensorsError
from omnivec2.preprocess import Array
from service.admission.cost_model import tokens_of
from service.pipeline.answers import RequestNotes, Timings
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.doubts.input_doubt import notes_on_tensors, split_summaries
from service.pipeline.host_stages import Head, check_finite
from service.pipeline.measured_inference import MeasuredInference
from service.request_context import REQUEST

ReadTensors = Callable[[Head], Mapping[str, Array]]
"""Reads a caller's tensors as the inputs of a head: tensor name -> array (batch, ...)."""


class TensorInference:
    """Runs tensors that callers made.

    Args:
        inference: The measured calls of the runtime.
    """

    def __init__(self, inference: MeasuredInference) -> None:
        self._inference = inference

    async def run(
        self,
        head: Head,
        read: ReadTensors,
        nbytes: int,
        timings: Timings,
        notes: RequestNotes,
    ) -> Mapping[str, Array]:
        """Read the tensors of a request and return the head's outputs.

        Args:
            head: The head that answers.
            read: The reader of the tensors, which checks them against the head's spec.
            nbytes: The size of the request; a large one is read in a thread.
            timings: The timings of the request, to be added to.
            notes: The notes on the request, to be added to.

        Raises:
            InputError: A tensor is not what the head takes, or its values are not.
            NotedInputError: There are notes on a row, and they are strict.
        """
        started = time.perf_counter()
        inputs = await in_thread_if_large(nbytes, partial(read, head))
        timings.add("decode", started, time.perf_counter() - started)
        work = REQUEST.get().work
        work.expect_inputs(1)
        work.record_tokens(tokens_of(head.spec, inputs))
        try:
            (outputs,) = await self._inference.infer_batch([head], inputs, timings)
        except RefusedTensorsError as error:
            # Here the caller made the tensors, so the fault is not the model's.
            raise InvalidInputError(
                f"{head.model.name} cannot take these values: an index lies outside of its "
                "table, or axes that belong together differ in length",
                field="inputs",
            ) from error
        check_finite(outputs)
        outputs, summaries = split_summaries(head.model, outputs)
        notes.add(notes_on_tensors(head.model, summaries))
        return outputs

"""What a request of the protocol means, whichever way it came: models, metadata, inference."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omnivec2.errors import (
    InvalidInputError,
    OmniVecError,
    RefusedTensorsError,
    StaleModelError,
    UnknownModelError,
)
from omnivec2.preprocess import Array
from omnivec2.spec import TensorSpec
from service.admission.cost_model import tokens_of
from service.gateway import Gateway
from service.oip.tensors import DATATYPES, Tensor, read_tensors
from service.pipeline.concurrency import in_thread_if_large
from service.pipeline.data_plane import Timings
from service.pipeline.host_stages import check_finite
from service.request_context import REQUEST
from service.runtimes.base import Inference, Model

SERVER_NAME = "omnivec2-serve"
EXTENSIONS = ("binary_tensor_data", "model_configuration")
FORM = "tensors"
"""How inputs come, to the admission: no decoding, so a kind of work of its own."""
PLATFORM = "omnivec2"
"""Which engine runs a model is the runtime's affair; to a caller it is this gateway."""


@dataclass(frozen=True)
class InferRequest:
    """Tensors for one model.

    Attributes:
        inputs: not yet checked.
        outputs: names of those wanted, in the order to answer in; empty asks for all.
        id: echoed in the answer.
        nbytes: size of the request as it came.
    """

    inputs: Sequence[Tensor]
    outputs: tuple[str, ...]
    id: str
    nbytes: int


@dataclass(frozen=True)
class InferAnswer:
    """Output name -> array (batch, ...), who gave it, and how long each stage took."""

    outputs: Mapping[str, Array]
    model: Model
    timings: Timings

    @property
    def nbytes(self) -> int:
        """Bytes of the outputs' values."""
        return sum(array.nbytes for array in self.outputs.values())


def find_model(gateway: Gateway, name: str, version: str = "") -> Model:
    """A loaded model.

    Raises:
        UnknownModelError: it is not loaded, or not in this version.
        ModelNotReadyError: the models are being loaded.
    """
    heads = gateway.dataplane.heads
    head = heads.get(name.replace("_", "/", 1))
    if head is None or head.model.name != name:
        known = sorted(head.model.name for head in heads.values())
        message = f"no model {name[:80]!r} is loaded; loaded are {', '.join(known)}"
        raise UnknownModelError(message, field="model_name", known=known)
    if version not in ("", head.model.version):
        message = f"{name} is loaded in version {head.model.version}, not in {version[:20]!r}"
        raise UnknownModelError(message, field="model_version", known=[head.model.version])
    return head.model


async def is_ready(gateway: Gateway) -> bool:
    """Whether every required model answers."""
    return (await gateway.health()).ready


def is_model_ready(gateway: Gateway, name: str, version: str = "") -> bool:
    """Whether a model would be asked if a request came."""
    try:
        find_model(gateway, name, version)
    except OmniVecError:
        return False
    return True


def model_metadata(model: Model) -> dict[str, Any]:
    """Names, datatypes and shapes; -1 is the batch or another dynamic axis."""

    def describe(tensor: TensorSpec) -> dict[str, Any]:
        datatype = DATATYPES[tensor.dtype]
        return {"name": tensor.name, "datatype": datatype, "shape": [-1, *tensor.shape]}

    return {
        "name": model.name,
        "versions": [model.version],
        "platform": PLATFORM,
        "inputs": [describe(tensor) for tensor in model.spec.inputs],
        "outputs": [describe(tensor) for tensor in model.spec.outputs],
    }


def model_config(model: Model) -> dict[str, Any]:
    """What clients read of Triton's model configuration; ``dims`` leave out the batch axis."""

    def describe(tensor: TensorSpec) -> dict[str, Any]:
        data_type = f"TYPE_{DATATYPES[tensor.dtype]}"
        return {"name": tensor.name, "data_type": data_type, "dims": list(tensor.shape)}

    return {
        "name": model.name,
        "platform": PLATFORM,
        "max_batch_size": model.spec.max_batch_size,
        "input": [describe(tensor) for tensor in model.spec.inputs],
        "output": [describe(tensor) for tensor in model.spec.outputs],
    }


async def infer(gateway: Gateway, name: str, version: str, request: InferRequest) -> InferAnswer:
    """Run a caller's tensors through a model.

    Raises:
        UnknownModelError: the model is not loaded in this version.
        InputError: a tensor is not what the model takes, or its values are not.
        OverloadedError, ModelNotReadyError, DeadlineExceededError: see ``Runtime.infer``.
    """
    timings = Timings()
    model = find_model(gateway, name, version)
    try:
        inference = await _run(gateway, model, request, timings)
    except StaleModelError:
        # Replaced between finding and asking.
        await gateway.dataplane.served.successor(model)
        model = find_model(gateway, name, version)
        inference = await _run(gateway, model, request, timings)
    timings.queue = inference.queue_seconds
    timings.compute = inference.compute_seconds
    check_finite(inference.outputs)
    wanted = request.outputs or tuple(tensor.name for tensor in model.spec.outputs)
    return InferAnswer({name: inference.outputs[name] for name in wanted}, model, timings)


async def _run(
    gateway: Gateway, model: Model, request: InferRequest, timings: Timings
) -> Inference:
    _check_outputs(model, request.outputs)
    started = time.perf_counter()
    inputs = await in_thread_if_large(
        request.nbytes, lambda: read_tensors(model.spec, request.inputs)
    )
    timings.add("decode", started, time.perf_counter() - started)
    work = REQUEST.get().work
    work.expect_inputs(1)
    work.record_tokens(tokens_of(model.spec, inputs))
    try:
        answer = await gateway.runtime.infer(model, inputs)
    except RefusedTensorsError as error:
        # Here the caller made the tensors, so the fault is not the model's.
        raise InvalidInputError(
            f"{model.name} cannot take these values: an index lies outside of its table, "
            "or axes that belong together differ in length",
            field="inputs",
        ) from error
    work.record_seconds(answer.own_seconds)
    return answer


def _check_outputs(model: Model, names: Sequence[str]) -> None:
    known = [tensor.name for tensor in model.spec.outputs]
    if unknown := set(names) - set(known):
        raise InvalidInputError(
            f"{model.name} has no output {min(unknown)[:80]!r}; it has {', '.join(known)}",
            field="outputs",
            known=known,
        )
    if len(set(names)) != len(names):
        raise InvalidInputError("an output is asked for twice", field="outputs", known=known)

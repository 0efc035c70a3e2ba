"""The meaning of a request of the protocol, for every transport: models, metadata, inference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from omnivec2.errors import InvalidInputError, OmniVecError, StaleModelError, UnknownModelError
from omnivec2.preprocess import Array
from omnivec2.preprocess.notes import Note
from omnivec2.spec import TensorSpec
from service.gateway import Gateway
from service.oip.tensors import DATATYPES, Tensor, check_ids, read_tensors
from service.pipeline.answers import RequestNotes, TensorAnswer
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import Head
from service.runtimes.base import Model

SERVER_NAME = "omnivec2-serve"
EXTENSIONS = ("binary_tensor_data", "model_configuration")
FORM = "tensors"
"""The form of the inputs for the admission control: nothing is decoded, so it costs differently."""
NOTES = "notes"
"""The parameter of an answer with the notes on its inputs: a JSON text, for parameters are numbers
and texts."""
PLATFORM = "omnivec2"
"""The platform that callers see: which engine runs a model is internal to the gateway."""


@dataclass(frozen=True)
class InferRequest:
    """Tensors for one model.

    Attributes:
        inputs: The tensors as they came, not yet checked.
        outputs: The names of the outputs wanted, in the order to answer in; empty means all.
        id: The id that is echoed in the answer.
        nbytes: The size of the request as it came.
    """

    inputs: Sequence[Tensor]
    outputs: tuple[str, ...]
    id: str
    nbytes: int


def find_head(plane: DataPlane, name: str, version: str = "") -> Head:
    """Return the head of a loaded model.

    Args:
        plane: The data plane that serves it.
        name: The name of the model, ``<modality>_<task>``.
        version: The version that is wanted; empty means any.

    Raises:
        UnknownModelError: It is not loaded, or not in this version.
    """
    heads = plane.heads
    head = heads.get(name.replace("_", "/", 1))
    if head is None or head.model.name != name:
        known = sorted(head.model.name for head in heads.values())
        message = f"no model {name[:80]!r} is loaded; loaded are {', '.join(known)}"
        raise UnknownModelError(message, field="model_name", known=known)
    _check_version(head.model, version)
    return head


async def is_ready(gateway: Gateway) -> bool:
    """Whether every required model answers."""
    return (await gateway.health()).ready


def is_model_ready(gateway: Gateway, name: str, version: str = "") -> bool:
    """Whether a request for a model would be answered by it now."""
    try:
        find_head(gateway.dataplane, name, version)
    except OmniVecError:
        return False
    return True


def model_metadata(model: Model) -> dict[str, Any]:
    """Return names, datatypes and shapes; -1 is the batch or another dynamic axis."""

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
    """Return the part of Triton's configuration that clients read; ``dims`` omit the batch axis."""

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


async def infer(
    plane: DataPlane,
    name: str,
    version: str,
    request: InferRequest,
    notes: RequestNotes | None = None,
) -> TensorAnswer:
    """Run a caller's tensors through a model.

    Args:
        plane: The data plane that serves the model.
        name: The name of the model, ``<modality>_<task>``.
        version: The version that is wanted; empty means any.
        request: The tensors.
        notes: The notes on the request so far, to be added to.

    Raises:
        UnknownModelError: The model is not loaded in this version.
        InputError: A tensor is not what the model takes, or its values are not.
        NotedInputError: There are notes on a row, and they are strict.
        OverloadedError: As for ``DataPlane.infer_tensors``, and so are the other errors.
    """

    def read(head: Head) -> Mapping[str, Array]:
        _check_version(head.model, version)
        _check_outputs(head.model, request.outputs)
        inputs = read_tensors(head.spec, request.inputs)
        check_ids(head.spec, inputs)
        return inputs

    try:
        head = find_head(plane, name, version)
        answer = await plane.infer_tensors(
            head, read, request.nbytes, any_version=not version, notes=notes
        )
    except StaleModelError:
        # If the model went meanwhile, it is unknown from now on rather than not ready.
        find_head(plane, name, version)
        raise
    names = request.outputs or tuple(tensor.name for tensor in answer.model.spec.outputs)
    return replace(answer, outputs={output: answer.outputs[output] for output in names})


def notes_text(notes: Sequence[Note]) -> str:
    """Return the notes of an answer as the JSON text of a list; see ``Note.to_json``."""
    return to_json([note.to_json() for note in notes]).decode()


def _check_version(model: Model, version: str) -> None:
    if version not in ("", model.version):
        message = f"{model.name} is loaded in version {model.version}, not in {version[:20]!r}"
        raise UnknownModelError(message, field="model_version", known=[model.version])


def _check_outputs(model: Model, names: Sequence[str]) -> None:
    known = [tensor.name for tensor in model.spec.outputs]
    if unknown := set(names) - set(known):
        raise InvalidInputError(
            f"{model.name} has no output {min(unknown)[:80]!r}; it has {', '.join(known)}",
            field="outputs",
            known=known,
        )
    if len(set(names)) != len(names):
        raise InvalidInputError("an output is requested twice", field="outputs", known=known)

"""``config.pbtxt`` of one model, in Triton's own message type and text format."""

from __future__ import annotations

from typing import Literal

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from omnivec2.errors import ExportError
from omnivec2.passport import GRAPH_FILE, PLAN_FILE, Engine
from omnivec2.spec import DType, HeadSpec, TensorSpec

CONFIG_FILE = "config.pbtxt"
HEAD_SPEC_PARAMETER = "head_spec"

InstanceKind = Literal["KIND_CPU", "KIND_GPU", "KIND_AUTO"]

DEFAULT_INSTANCE_KIND: InstanceKind = "KIND_CPU"
"""Parity in the passport was measured on a CPU. ONNX Runtime on a GPU multiplies in TF32
unless told otherwise, whose error is above the gate's; a GPU deserves a graph of its own."""

_QUEUE_DELAY_US = 500
"""Longest a request waits for company: well under the milliseconds of one inference."""
_QUEUE_TIMEOUT_US = 10_000_000
_QUEUE_SIZE = 256
"""Beyond this Triton refuses at once, which a gateway answers as 429."""

_TYPES: dict[DType, str] = {
    "bool": "TYPE_BOOL",
    "uint8": "TYPE_UINT8",
    "int8": "TYPE_INT8",
    "int16": "TYPE_INT16",
    "uint16": "TYPE_UINT16",
    "int32": "TYPE_INT32",
    "int64": "TYPE_INT64",
    "float16": "TYPE_FP16",
    "float32": "TYPE_FP32",
}


_BACKENDS: dict[Engine, dict[str, str]] = {
    "onnx": {"backend": "onnxruntime", "default_model_filename": GRAPH_FILE},
    "tensorrt": {
        "platform": "tensorrt_plan",
        "backend": "tensorrt",
        "default_model_filename": PLAN_FILE,
    },
}


def model_config(
    head: HeadSpec,
    *,
    instance_kind: InstanceKind = DEFAULT_INSTANCE_KIND,
    engine: Engine = "onnx",
) -> str:
    """The text of a model's ``config.pbtxt``; the same spec always gives the same text.

    Args:
        head: travels inside, as the parameter ``head_spec``.
        instance_kind: where Triton runs the model. One instance: ONNX Runtime uses all
            cores for one, and the dynamic batcher keeps it fed.
        engine: tensorrt is for a plan; its spec is ``plan_spec``'s, its kind KIND_GPU.

    Raises:
        ExportError: a plan was to run on a CPU, which TensorRT cannot.
    """
    if engine == "tensorrt" and instance_kind == "KIND_CPU":
        raise ExportError(f"{head.route}: a TensorRT plan runs on a GPU, not as KIND_CPU")
    config = triton.ModelConfig(
        name=head.name,
        **_BACKENDS[engine],
        max_batch_size=head.max_batch_size,
        input=[triton.ModelInput(**_tensor(tensor)) for tensor in head.inputs],
        output=[triton.ModelOutput(**_tensor(tensor)) for tensor in head.outputs],
        instance_group=[triton.ModelInstanceGroup(count=1, kind=instance_kind)],
        dynamic_batching=triton.ModelDynamicBatching(
            max_queue_delay_microseconds=_QUEUE_DELAY_US,
            default_queue_policy=triton.ModelQueuePolicy(
                timeout_action="REJECT",
                default_timeout_microseconds=_QUEUE_TIMEOUT_US,
                allow_timeout_override=True,
                max_queue_size=_QUEUE_SIZE,
            ),
        ),
        parameters={
            HEAD_SPEC_PARAMETER: triton.ModelParameter(string_value=head.model_dump_json())
        },
    )
    text: str = text_format.MessageToString(config, as_utf8=True)
    return text


def read_head_spec(config_text: str) -> HeadSpec:
    """The head spec inside a ``config.pbtxt``.

    Raises:
        ValueError: the text is not a model config, or holds no valid head spec.
    """
    try:
        config = text_format.Parse(config_text, triton.ModelConfig())
    except text_format.ParseError as error:
        raise ValueError(f"not a Triton model config: {error}") from error
    return HeadSpec.model_validate_json(config.parameters[HEAD_SPEC_PARAMETER].string_value)


def _tensor(tensor: TensorSpec) -> dict[str, object]:
    """Fields of an input or output; Triton leaves out the batch axis as the spec does."""
    fields: dict[str, object] = {"name": tensor.name, "data_type": _TYPES[tensor.dtype]}
    if tensor.shape:
        return fields | {"dims": tensor.shape}
    # Triton wants at least one axis: a scalar per sample is declared as [1] and reshaped.
    return fields | {"dims": [1], "reshape": triton.ModelTensorReshape(shape=[])}

"""The ``config.pbtxt`` of one model, in Triton's own message type and text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from omnivec2.model_config import (
    ENSEMBLE_PLATFORM,
    ONNX_BACKEND,
    format_config,
    set_head_spec,
    set_passport,
)
from omnivec2.model_config_messages import model_config_pb2 as triton
from omnivec2.parts import PartSpec
from omnivec2.passport import GRAPH_FILE, PLAN_FILE, Engine, Passport
from omnivec2.spec import DType, HeadSpec, TensorSpec

InstanceKind = Literal["KIND_CPU", "KIND_GPU", "KIND_AUTO"]

_INSTANCES = 2
"""With a queue policy Triton's batcher dispatches only while an instance waits, and after a missed
moment sleeps for half a second (github.com/triton-inference-server/core, pull request 237). With
one instance a single caller met that in every tenth request."""
_SHARED_SESSION = {"share_session_between_instances": "true"}
"""Instances of the C++ backend share one session: a second one costs no second set of weights."""
_QUEUE_DELAY_US = 500
"""The longest wait for more requests in a batch: well under the milliseconds of one inference."""
_QUEUE_TIMEOUT_US = 30_000_000
"""The default deadline of a gateway; a request may set a shorter one, not a longer one."""
_QUEUE_SIZE = 256
"""The longest queue; Triton refuses further requests at once, which a gateway answers as 429."""

_VERSIONS_KEPT = 2
_WARM_UP_LENGTH = 16

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
    "onnx": {"backend": ONNX_BACKEND, "default_model_filename": GRAPH_FILE},
    "tensorrt": {
        "platform": "tensorrt_plan",
        "backend": "tensorrt",
        "default_model_filename": PLAN_FILE,
    },
}
_BACKEND_PARAMETERS: dict[Engine, dict[str, str]] = {"onnx": _SHARED_SESSION, "tensorrt": {}}
_INSTANCE_KINDS: dict[Engine, InstanceKind] = {"onnx": "KIND_CPU", "tensorrt": "KIND_GPU"}
"""Parity of ONNX graphs was measured on a CPU. ONNX Runtime on a GPU multiplies in TF32 by
default, whose error is above the gate's; for a GPU there are TensorRT plans."""


def model_config(head: HeadSpec, passport: Passport) -> str:
    """Return the configuration of a head in one piece; equal arguments give equal texts.

    Args:
        head: The head spec; the configuration carries it as the parameter ``head_spec``.
        passport: The passport, which names the engine; the configuration carries it too, for
            gateways that cannot see the files.
    """
    config = _graph_model(
        head.name, head.inputs, head.outputs, head.max_batch_size, passport.engine
    )
    set_head_spec(config, head)
    set_passport(config, passport)
    return format_config(config)


def part_config(part: PartSpec, passport: Passport) -> str:
    """Return the configuration of a tokenizer, the trunk, a head or a decoder."""
    config = _graph_model(
        part.name, part.inputs, part.outputs, part.max_batch_size, passport.engine
    )
    # While heads are moved to a new version, those that still name the old one work.
    config.version_policy.latest.num_versions = _VERSIONS_KEPT
    set_passport(config, passport)
    return format_config(config)


def ensemble_config(
    head: HeadSpec,
    parts: Sequence[PartSpec],
    passport: Passport,
    *,
    versions: Mapping[str, int] | None = None,
) -> str:
    """Return the configuration of a head that is put together from parts.

    Tensors keep their names from part to part, so the maps only select tensors.

    Args:
        head: The head spec; the configuration carries it as the parameter ``head_spec``.
        parts: The parts in the order they run.
        passport: The passport of the ensemble.
        versions: A map from parts to their versions; 1 where a part is missing. Versions are
            explicit, so that a head never runs with a part it was not exported with.
    """
    config = triton.ModelConfig(
        name=head.name,
        platform=ENSEMBLE_PLATFORM,
        max_batch_size=head.max_batch_size,
        input=[triton.ModelInput(**_tensor(tensor)) for tensor in head.inputs],
        output=[triton.ModelOutput(**_tensor(tensor)) for tensor in head.outputs],
        ensemble_scheduling=triton.ModelEnsembling(
            step=[
                triton.ModelEnsembling.Step(
                    model_name=part.name,
                    model_version=(versions or {}).get(part.name, 1),
                    input_map={tensor.name: tensor.name for tensor in part.inputs},
                    output_map={
                        tensor.name: tensor.name
                        for tensor in part.outputs
                        if tensor.name in _wanted_after(parts, index, head)
                    },
                )
                for index, part in enumerate(parts)
            ]
        ),
    )
    set_head_spec(config, head)
    set_passport(config, passport)
    return format_config(config)


def _wanted_after(parts: Sequence[PartSpec], index: int, head: HeadSpec) -> set[str]:
    """Return the tensors that a later part or the caller takes."""
    later = {tensor.name for part in parts[index + 1 :] for tensor in part.inputs}
    return later | {tensor.name for tensor in head.outputs}


def _graph_model(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    max_batch_size: int,
    engine: Engine,
) -> triton.ModelConfig:
    """Return a model of one graph or plan, with its batching and warm-up runs."""
    rows = max_batch_size
    return triton.ModelConfig(
        name=name,
        **_BACKENDS[engine],
        max_batch_size=rows,
        input=[triton.ModelInput(**_tensor(tensor)) for tensor in inputs],
        output=[triton.ModelOutput(**_tensor(tensor)) for tensor in outputs],
        instance_group=[triton.ModelInstanceGroup(count=_INSTANCES, kind=_INSTANCE_KINDS[engine])],
        dynamic_batching=triton.ModelDynamicBatching(
            preferred_batch_size=sorted({max(1, rows // 4), max(1, rows // 2), rows}),
            max_queue_delay_microseconds=_QUEUE_DELAY_US,
            default_queue_policy=triton.ModelQueuePolicy(
                timeout_action="REJECT",
                default_timeout_microseconds=_QUEUE_TIMEOUT_US,
                allow_timeout_override=True,
                max_queue_size=_QUEUE_SIZE,
            ),
        ),
        model_warmup=[
            triton.ModelWarmup(
                name=f"batch_{size}",
                batch_size=size,
                inputs={tensor.name: _warm_up(tensor) for tensor in inputs},
            )
            for size in sorted({1, max(1, rows // 4)})
        ],
        # Equal inputs are rare, and a cache of answers would take memory.
        response_cache=triton.ModelResponseCache(enable=False),
        parameters={
            name: triton.ModelParameter(string_value=value)
            for name, value in _BACKEND_PARAMETERS[engine].items()
        },
    )


def _warm_up(tensor: TensorSpec) -> triton.ModelWarmup.Input:
    """Return zeros: every id, index and mask may be 0."""
    dims = [_WARM_UP_LENGTH if size < 0 else size for size in tensor.shape] or [1]
    return triton.ModelWarmup.Input(data_type=_TYPES[tensor.dtype], dims=dims, zero_data=True)


def _tensor(tensor: TensorSpec) -> dict[str, object]:
    """Return the fields of an input or output; Triton leaves out the batch axis too."""
    fields: dict[str, object] = {"name": tensor.name, "data_type": _TYPES[tensor.dtype]}
    if tensor.shape:
        return fields | {"dims": tensor.shape}
    # Triton wants at least one axis: a scalar per sample is declared as [1] and reshaped.
    return fields | {"dims": [1], "reshape": triton.ModelTensorReshape(shape=[])}

"""The ``config.pbtxt`` of one model, in Triton's own message type and text format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from export.repository.triton_options import BatcherSettings, TritonOptions
from omnivec2.familiarity.training_reference import TrainingReference
from omnivec2.model_config import (
    ENSEMBLE_PLATFORM,
    format_config,
    set_head_spec,
    set_passport,
    set_reference,
)
from omnivec2.model_config_messages import model_config_pb2 as triton
from omnivec2.parts import PartSpec
from omnivec2.passport import GRAPH_FILE, PLAN_FILE, Engine, Passport
from omnivec2.spec import DType, HeadSpec, TensorSpec

InstanceKind = Literal["KIND_CPU", "KIND_GPU", "KIND_AUTO"]

_SHARED_SESSION = {"share_session_between_instances": "true"}
"""Instances of the C++ backend share one session: a second one costs no second set of weights."""
_QUEUE_TIMEOUT_US = 30_000_000
"""The default deadline of a gateway; a request may set a shorter one, not a longer one."""
_QUEUE_SIZE = 256
"""The longest queue; Triton refuses further requests at once, which a gateway answers as 429."""

# The classes of ``X-Priority``: 1 is the most urgent, and 2 what a request without one has.
_PRIORITY_LEVELS = 3
_DEFAULT_PRIORITY = 2

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


_DEFAULT = TritonOptions()
_ONNX_FILE = {"default_model_filename": GRAPH_FILE}
_TENSORRT = {
    "platform": "tensorrt_plan",
    "backend": "tensorrt",
    "default_model_filename": PLAN_FILE,
}
_INSTANCE_KINDS: dict[Engine, InstanceKind] = {"onnx": "KIND_CPU", "tensorrt": "KIND_GPU"}
"""Parity of ONNX graphs was measured on a CPU. ONNX Runtime on a GPU multiplies in TF32 by
default, whose error is above the gate's; for a GPU there are TensorRT plans."""


def model_config(head: HeadSpec, passport: Passport, options: TritonOptions = _DEFAULT) -> str:
    """Return the configuration of a head in one piece; equal arguments give equal texts.

    Args:
        head: The head spec; the configuration carries it as the parameter ``head_spec``.
        passport: The passport, which names the engine; the configuration carries it too, for
            gateways that cannot see the files.
        options: The backend and the costs by which the model is scheduled.
    """
    config = _graph_model(
        head.name, head.inputs, head.outputs, head.max_batch_size, passport.engine, options
    )
    set_head_spec(config, head)
    set_passport(config, passport)
    return format_config(config)


def part_config(part: PartSpec, passport: Passport, options: TritonOptions = _DEFAULT) -> str:
    """Return the configuration of a tokenizer, the trunk, a head or a decoder."""
    config = _graph_model(
        part.name, part.inputs, part.outputs, part.max_batch_size, passport.engine, options
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
    options: TritonOptions = _DEFAULT,
    reference: TrainingReference | None = None,
) -> str:
    """Return the configuration of a head that is put together from parts.

    Tensors keep their names from part to part, so the maps only select tensors.

    Args:
        head: The head spec; the configuration carries it as the parameter ``head_spec``.
        parts: The parts in the order they run.
        passport: The passport of the ensemble.
        versions: A map from parts to their versions; 1 where a part is missing. Versions are
            explicit, so that a head never runs with a part it was not exported with.
        options: The backend of the parts; Triton batches an ensemble only if it batches them.
        reference: The head's training reference; the ensemble hands out the summaries of the trunk
            that it needs, beside the outputs of the head.
    """
    batched = _is_batched(passport.engine, options)
    outputs = [*head.outputs, *_summaries(parts, reference)]
    config = triton.ModelConfig(
        name=head.name,
        platform=ENSEMBLE_PLATFORM,
        max_batch_size=head.max_batch_size if batched else 0,
        input=[triton.ModelInput(**_tensor(tensor, batched)) for tensor in head.inputs],
        output=[triton.ModelOutput(**_tensor(tensor, batched)) for tensor in outputs],
        ensemble_scheduling=triton.ModelEnsembling(
            step=[
                triton.ModelEnsembling.Step(
                    model_name=part.name,
                    model_version=(versions or {}).get(part.name, 1),
                    input_map={tensor.name: tensor.name for tensor in part.inputs},
                    output_map={
                        tensor.name: tensor.name
                        for tensor in part.outputs
                        if tensor.name in _wanted_after(parts, index, outputs)
                    },
                )
                for index, part in enumerate(parts)
            ]
        ),
    )
    set_head_spec(config, head)
    set_passport(config, passport)
    set_reference(config, reference)
    return format_config(config)


def _summaries(parts: Sequence[PartSpec], reference: TrainingReference | None) -> list[TensorSpec]:
    """Return the tensors between the parts that a training reference is about."""
    wanted = () if reference is None else reference.summaries
    return [tensor for part in parts for tensor in part.outputs if tensor.name in wanted]


def _wanted_after(parts: Sequence[PartSpec], index: int, outputs: Sequence[TensorSpec]) -> set[str]:
    """Return the tensors that a later part or the caller takes."""
    later = {tensor.name for part in parts[index + 1 :] for tensor in part.inputs}
    return later | {tensor.name for tensor in outputs}


def _graph_model(
    name: str,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    max_batch_size: int,
    engine: Engine,
    options: TritonOptions,
) -> triton.ModelConfig:
    """Return a model of one graph or plan, with its batching and warm-up runs."""
    batched = _is_batched(engine, options)
    settings = options.settings_of(name, max_batch_size)
    config = triton.ModelConfig(
        name=name,
        **(_TENSORRT if engine == "tensorrt" else {"backend": options.backend, **_ONNX_FILE}),
        max_batch_size=max_batch_size if batched else 0,
        input=[triton.ModelInput(**_tensor(tensor, batched)) for tensor in inputs],
        output=[triton.ModelOutput(**_tensor(tensor, batched)) for tensor in outputs],
        instance_group=[
            triton.ModelInstanceGroup(count=settings.instances, kind=_INSTANCE_KINDS[engine])
        ],
        # Without batching this is a queue alone.
        dynamic_batching=triton.ModelDynamicBatching(
            preferred_batch_size=settings.preferred if batched else (),
            max_queue_delay_microseconds=settings.delay_us if batched else 0,
            priority_levels=_PRIORITY_LEVELS,
            default_priority_level=_DEFAULT_PRIORITY,
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
                batch_size=size if batched else 0,
                inputs={t.name: _warm_up(t, None if batched else size) for t in inputs},
            )
            for size in sorted({1, max(1, max_batch_size // 4)})
        ],
        # Equal inputs are rare, and a cache of answers would take memory.
        response_cache=triton.ModelResponseCache(enable=False),
    )
    for key, value in _parameters(engine, options, settings).items():
        config.parameters[key].string_value = value
    return config


def _is_batched(engine: Engine, options: TritonOptions) -> bool:
    """Whether Triton puts requests together in batches.

    Not for NVIDIA's OpenVINO backend: it compiles a graph for ``max_batch_size`` rows and fills up
    every smaller batch with zeros, so that one row would cost as much as 32. Without batching it
    takes any number of rows in one request.
    """
    return engine == "tensorrt" or options.backend != "openvino"


def _parameters(
    engine: Engine, options: TritonOptions, settings: BatcherSettings
) -> dict[str, str]:
    """Return the parameters of the backend."""
    if engine == "tensorrt":
        return {}
    if options.backend == "onnxruntime":
        return _SHARED_SESSION
    # One stream, which has one core, for each instance: they share one compiled graph.
    streams = str(settings.instances)
    return {"NUM_STREAMS": streams, "INFERENCE_NUM_THREADS": streams}


def _warm_up(tensor: TensorSpec, rows: int | None) -> triton.ModelWarmup.Input:
    """Return zeros: every id, index and mask may be 0; with a batch axis of so many rows."""
    dims = [_WARM_UP_LENGTH if size < 0 else size for size in tensor.shape]
    dims = (dims or [1]) if rows is None else [rows, *dims]
    return triton.ModelWarmup.Input(data_type=_TYPES[tensor.dtype], dims=dims, zero_data=True)


def _tensor(tensor: TensorSpec, batched: bool) -> dict[str, object]:
    """Return the fields of an input or output; where Triton batches it leaves out the batch."""
    fields: dict[str, object] = {"name": tensor.name, "data_type": _TYPES[tensor.dtype]}
    if not batched:
        return fields | {"dims": (-1, *tensor.shape)}
    if tensor.shape:
        return fields | {"dims": tensor.shape}
    # Triton wants at least one axis: a scalar per sample is declared as [1] and reshaped.
    return fields | {"dims": [1], "reshape": triton.ModelTensorReshape(shape=[])}

from __future__ import annotations

import datetime

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as triton

from export.config import model_config, read_head_spec
from omnivec2.passport import ParityEntry, Passport
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily, TensorSpec

PASSPORT = Passport(
    model="text_sentiment",
    exporter="test",
    opset=20,
    versions={},
    precision="fp32",
    checkpoint_digest="0" * 64,
    files={},
    tolerance=1e-4,
    parity=(ParityEntry(batch_size=1, worst_output="logits", max_relative_error=0.0),),
    created=datetime.date(2026, 1, 2),
)


def make_head(**fields: object) -> HeadSpec:
    base = HeadSpec(
        modality=Modality.TEXT,
        task="sentiment",
        family=TaskFamily.CLASSIFICATION,
        description='quotes " and a newline \n and größer',
        inputs=(
            TensorSpec(name="input_ids", dtype="int32", shape=(-1,)),
            TensorSpec(name="level", dtype="uint8", shape=()),
        ),
        outputs=(TensorSpec(name="logits", dtype="float32", shape=(2,)),),
        preprocess=PreprocessSpec(name=Modality.TEXT, version=1, parameters={"max_tokens": 64}),
        labels=("négatif", "positif"),
        max_batch_size=16,
        network="tiny",
    )
    return base.model_copy(update=fields)


def parse(text: str) -> triton.ModelConfig:
    return text_format.Parse(text, triton.ModelConfig())


def test_the_config_names_tensors_types_and_dynamic_axes_without_the_batch() -> None:
    config = parse(model_config(make_head(), PASSPORT))
    assert (config.name, config.backend, config.max_batch_size) == (
        "text_sentiment",
        "onnxruntime",
        16,
    )
    ids, level = config.input
    assert (ids.name, list(ids.dims), ids.data_type) == ("input_ids", [-1], triton.TYPE_INT32)
    assert (list(level.dims), level.data_type) == ([1], triton.TYPE_UINT8)
    assert level.HasField("reshape")
    assert list(level.reshape.shape) == []
    assert (config.output[0].name, list(config.output[0].dims)) == ("logits", [2])
    assert config.output[0].data_type == triton.TYPE_FP32


def test_the_head_spec_travels_inside_unchanged() -> None:
    head = make_head()
    assert read_head_spec(model_config(head, PASSPORT)) == head


def test_the_same_spec_always_gives_the_same_text() -> None:
    assert model_config(make_head(), PASSPORT) == model_config(make_head(), PASSPORT)
    assert (
        model_config(make_head(), PASSPORT).isprintable() is False
    )  # lines, as people review them
    assert "größer" in model_config(make_head(), PASSPORT)


def test_requests_are_batched_and_a_full_queue_refuses() -> None:
    config = parse(model_config(make_head(), PASSPORT))
    policy = config.dynamic_batching.default_queue_policy
    assert config.dynamic_batching.max_queue_delay_microseconds < 5_000
    assert policy.max_queue_size > 0
    assert policy.timeout_action == triton.ModelQueuePolicy.REJECT


def test_graphs_run_on_the_cpu_their_parity_was_measured_on() -> None:
    group = parse(model_config(make_head(), PASSPORT)).instance_group[0]
    assert group.kind == triton.ModelInstanceGroup.KIND_CPU


@pytest.mark.parametrize("text", ["name: [", 'name: "x"', "surprise: 1"])
def test_a_config_without_a_head_spec_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"model config|HeadSpec"):
        read_head_spec(text)


def test_a_plan_runs_on_tensorrts_backend_and_on_a_gpu() -> None:
    plan = PASSPORT.model_copy(update={"engine": "tensorrt"})
    config = parse(model_config(make_head(), plan))
    assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
    assert config.default_model_filename == "model.plan"
    assert config.instance_group[0].kind == triton.ModelInstanceGroup.KIND_GPU
    assert parse(model_config(make_head(), PASSPORT)).platform == ""

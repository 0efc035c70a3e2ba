from __future__ import annotations

import datetime

import numpy as np
import pytest
from tritonclient.grpc import model_config_pb2 as triton

from export.repository.config_writer import ensemble_config, model_config, part_config
from omnivec2.familiarity.fit_reference import fit_reference
from omnivec2.model_config import (
    has_head_spec,
    parse_config,
    read_head_spec,
    read_passport,
    read_reference,
)
from omnivec2.parts import PartSpec
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
    return parse_config(text, "the test")


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
    assert read_head_spec(parse(model_config(head, PASSPORT)), "the test") == head


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


def test_a_plan_runs_on_tensorrts_backend_and_on_a_gpu() -> None:
    plan = PASSPORT.model_copy(update={"engine": "tensorrt"})
    config = parse(model_config(make_head(), plan))
    assert (config.platform, config.backend) == ("tensorrt_plan", "tensorrt")
    assert config.default_model_filename == "model.plan"
    assert config.instance_group[0].kind == triton.ModelInstanceGroup.KIND_GPU
    assert parse(model_config(make_head(), PASSPORT)).platform == ""


# --- the shared layout -------------------------------------------------------------------

_IDS = TensorSpec(name="input_ids", dtype="int32", shape=(-1,))
_LEVEL = TensorSpec(name="level", dtype="uint8", shape=())
_TOKENS = TensorSpec(name="tokens", dtype="float32", shape=(-1, 8))
_MASK = TensorSpec(name="mask", dtype="bool", shape=(-1,))
_SCALE = TensorSpec(name="scale", dtype="float32", shape=(1,))
_UNUSED = TensorSpec(name="unused", dtype="float32", shape=(1,))
_FEATURES = TensorSpec(name="features", dtype="float32", shape=(-1, 4))
_LOGITS = TensorSpec(name="logits", dtype="float32", shape=(2,))
TOKENIZER = PartSpec(
    name="tokenizer_text",
    kind="tokenizer",
    inputs=(_IDS, _LEVEL),
    outputs=(_TOKENS, _MASK, _SCALE, _UNUSED),
)
TRUNK = PartSpec(name="trunk", kind="trunk", inputs=(_TOKENS, _MASK), outputs=(_FEATURES,))
OWN = PartSpec(
    name="head_text_sentiment", kind="head", inputs=(_FEATURES, _SCALE), outputs=(_LOGITS,)
)
PARTS = (TOKENIZER, TRUNK, OWN)


def test_an_ensemble_hands_each_part_what_it_takes_and_keeps_what_is_needed_later() -> None:
    config = parse(ensemble_config(make_head(), PARTS, PASSPORT))
    assert (config.name, config.platform, config.backend) == ("text_sentiment", "ensemble", "")
    assert config.max_batch_size == 16
    steps = config.ensemble_scheduling.step
    assert [(step.model_name, step.model_version) for step in steps] == [
        ("tokenizer_text", 1),
        ("trunk", 1),
        ("head_text_sentiment", 1),
    ]
    maps = [(sorted(step.input_map.items()), sorted(step.output_map.items())) for step in steps]
    assert maps == [
        (same("input_ids", "level"), same("mask", "scale", "tokens")),
        (same("mask", "tokens"), same("features")),
        (same("features", "scale"), same("logits")),
    ]
    assert not config.HasField("dynamic_batching")


def same(*names: str) -> list[tuple[str, str]]:
    """Tensors that keep their names."""
    return [(name, name) for name in names]


def test_an_ensemble_names_the_versions_of_the_parts_it_was_exported_with() -> None:
    config = parse(ensemble_config(make_head(), PARTS, PASSPORT, versions={"trunk": 7}))
    versions = [step.model_version for step in config.ensemble_scheduling.step]
    assert versions == [1, 7, 1]


def test_an_ensemble_hands_out_the_summaries_that_its_training_reference_is_about() -> None:
    summary = TensorSpec(name="f_mean", dtype="float32", shape=(8,))
    trunk = TRUNK.model_copy(update={"outputs": (_FEATURES, summary)})
    rows = np.random.default_rng(0).normal(size=(40, 8))
    reference = fit_reference({"f_mean": rows}, {"f_mean": rows})
    parts = (TOKENIZER, trunk, OWN)
    config = parse(ensemble_config(make_head(), parts, PASSPORT, reference=reference))
    assert [tensor.name for tensor in config.output] == ["logits", "f_mean"]
    step = config.ensemble_scheduling.step[1]
    assert sorted(step.output_map.items()) == same("f_mean", "features")
    assert read_reference(config) == reference
    without = parse(ensemble_config(make_head(), parts, PASSPORT))
    assert [tensor.name for tensor in without.output] == ["logits"]
    assert read_reference(without) is None


def test_an_ensemble_carries_head_spec_and_passport() -> None:
    config = parse(ensemble_config(make_head(), PARTS, PASSPORT))
    assert read_head_spec(config, "the test") == make_head()
    assert read_passport(config) == PASSPORT


def test_a_part_keeps_its_last_version_and_carries_no_head_spec() -> None:
    config = parse(part_config(TRUNK, PASSPORT))
    assert (config.name, config.backend, config.max_batch_size) == ("trunk", "onnxruntime", 32)
    assert config.version_policy.latest.num_versions == 2
    assert not has_head_spec(config)
    assert read_passport(config) == PASSPORT
    assert [list(tensor.dims) for tensor in config.input] == [[-1, 8], [-1]]
    assert config.input[1].data_type == triton.TYPE_BOOL


@pytest.mark.parametrize(
    "text", [model_config(make_head(), PASSPORT), part_config(TOKENIZER, PASSPORT)]
)
def test_a_graph_is_warmed_up_with_all_of_its_inputs_at_two_batch_sizes(text: str) -> None:
    config = parse(text)
    rows = config.max_batch_size
    assert [warm_up.batch_size for warm_up in config.model_warmup] == [1, rows // 4]
    for warm_up in config.model_warmup:
        assert {name: list(tensor.dims) for name, tensor in warm_up.inputs.items()} == {
            "input_ids": [16],
            "level": [1],
        }
        assert all(tensor.zero_data for tensor in warm_up.inputs.values())
        assert warm_up.inputs["level"].data_type == triton.TYPE_UINT8


@pytest.mark.parametrize(
    ("rows", "preferred", "warmed"), [(32, [8, 16, 32], [1, 8]), (2, [1, 2], [1]), (1, [1], [1])]
)
def test_preferred_and_warmed_batches_follow_the_largest(
    rows: int, preferred: list[int], warmed: list[int]
) -> None:
    config = parse(model_config(make_head(max_batch_size=rows), PASSPORT))
    assert list(config.dynamic_batching.preferred_batch_size) == preferred
    assert [warm_up.batch_size for warm_up in config.model_warmup] == warmed


def test_answers_are_not_cached() -> None:
    for text in (model_config(make_head(), PASSPORT), part_config(TRUNK, PASSPORT)):
        assert not parse(text).response_cache.enable


def test_two_instances_of_a_graph_share_one_set_of_weights() -> None:
    config = parse(model_config(make_head(), PASSPORT))
    assert config.instance_group[0].count == 2
    assert config.parameters["share_session_between_instances"].string_value == "true"

"""Every exported graph through NVIDIA's own parser, every part through its builder too.

TensorRT for RTX needs no GPU for either. What its engines answer, and which kernels they
use, only a GPU can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
import onnx_ir as ir
import pytest
import tensorrt_rtx_bindings as trt
from onnx import TensorProto, helper

from export.graphs.inline_weights import load_inlined
from export.graphs.traceable import traceable_head
from export.parity.parity_gate import cases_of, check_parity
from export.precision.half_precision import convert, convert_model
from export.precision.rounding import rounded_session
from export.tensorrt.plan_builder import Plan, build_plan, parse, require_precision, write_plan
from export.tensorrt.plan_inputs import widen_integers
from omnivec2.checkpoint import read_checkpoint
from omnivec2.engines.shape_ranges import ShapeRange
from omnivec2.errors import ExportError, ParityError
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import load_network
from omnivec2.parts import PART_PREFIXES, TRUNK
from omnivec2.passport import PARITY_TOLERANCE, PARITY_TOLERANCES, Precision
from tests.support.checkpoints.exported import REFERENCE, Exported, reference_graphs

GRAPHS = reference_graphs()
PARTS = [g for g in GRAPHS if g.name == TRUNK or g.name.startswith(PART_PREFIXES)]
WHOLE = [g for g in GRAPHS if g not in PARTS]
ONE_OF_EACH_KIND = {
    "graph_solubility",  # masks, indices, regression
    "image_detection",  # a stem, boxes
    "text_embedding",  # a large table, dynamic length
    "timeseries_forecast",  # instance normalisation, undone at the end
}
SMALL = {"x": ShapeRange((1, 8), (2, 8), (4, 8))}
Build = Callable[[Exported, Precision], Plan]


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """A function that builds the plan of a graph in a precision, once for all tests."""
    built: dict[tuple[str, Precision], Plan] = {}

    def build_once(exported: Exported, precision: Precision) -> Plan:
        key = (exported.name, precision)
        if key not in built:
            path = tmp_path_factory.mktemp("plan") / "model.plan"
            graph, weights, profile = exported.graph, exported.weights, exported.profile
            built[key] = write_plan(graph, weights, path, profile, precision, trt=trt)
        return built[key]

    return build_once


@pytest.mark.parametrize("exported", WHOLE, ids=lambda graph: graph.name)
def test_every_whole_graph_is_parsed_and_computes_in_half_precision(
    exported: Exported, tmp_path: Path
) -> None:
    model = load_inlined(exported.graph, exported.weights)
    float32, kernels = weight_bytes(model), kernel_bytes(model)
    convert_model(model, "fp16")
    widen_integers(model)
    ir.save(model, tmp_path / "model.onnx")
    logger = trt.Logger(trt.Logger.ERROR)
    network, _parser = parse(tmp_path / "model.onnx", trt.Builder(logger), logger, trt=trt)
    assert_mostly_half(require_precision(network, "fp16"), exported)
    assert weight_bytes(model) < kernels + 0.75 * (float32 - kernels)


@pytest.mark.parametrize(
    ("exported", "precision"),
    [
        pytest.param(graph, precision, id=f"{graph.name}-{precision}")
        for graph in GRAPHS
        for precision in ("fp32", "fp16")
        # A whole graph has the nodes of its parts, which are built in both precisions.
        if graph in PARTS or graph.name in ONE_OF_EACH_KIND
    ],
)
def test_every_part_and_a_whole_graph_of_each_kind_is_built(
    exported: Exported, precision: Precision, build: Build
) -> None:
    plan = build(exported, precision)
    assert plan.path.stat().st_size == plan.bytes
    assert [file.name for file in plan.path.parent.iterdir()] == ["model.plan"]
    layers = plan.layer_precisions
    assert "BF16" not in layers
    if precision == "fp32":
        assert "HALF" not in layers
    elif not exported.name.startswith(PART_PREFIXES):
        # A tokenizer is mostly what stays float32, and a head of its own mostly edges.
        assert_mostly_half(layers, exported)
        # Half of the weights' float32 size and some megabytes of kernels: no float32 beside.
        float32 = weight_bytes(load_inlined(exported.graph, exported.weights))
        assert plan.bytes < 0.75 * float32


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    "exported", [g for g in GRAPHS if g.name in ONE_OF_EACH_KIND], ids=lambda graph: graph.name
)
def test_the_layers_of_a_plan_compute_in_what_was_asked(
    exported: Exported, precision: Precision, build: Build
) -> None:
    layers = build(exported, precision).layer_precisions
    dtype, others = {
        "fp32": ("FLOAT", {"HALF", "BF16"}),
        "bf16": ("BF16", {"HALF"}),
    }[precision]
    assert not others & set(layers)
    floats = layers["FLOAT"] + layers.get("BF16", 0)
    assert layers[dtype] > 0.85 * floats


@pytest.mark.parametrize("route", ["graph/solubility", "image/detection", "timeseries/forecast"])
def test_half_precision_answers_like_the_network_within_its_tolerance(
    route: str, network: OmniVec2
) -> None:
    head = next(head for head in read_checkpoint(REFERENCE).heads if head.route == route)
    exported = next(graph for graph in GRAPHS if graph.name == head.name)
    rounded = rounded_session(exported.graph, exported.weights, "fp16")
    traceable, cases = traceable_head(network, head), list(cases_of(head, batch_sizes=(1, 3)))
    assert check_parity(traceable, rounded.run, cases, tolerance=PARITY_TOLERANCES["fp16"])
    with pytest.raises(ParityError, match="differs from PyTorch"):
        check_parity(traceable, rounded.run, cases, tolerance=PARITY_TOLERANCE)


@pytest.mark.parametrize(("op", "domain"), [("Frobnicate", "local"), ("Det", "")])
def test_a_node_that_tensorrt_lacks_is_named(op: str, domain: str, tmp_path: Path) -> None:
    graph = write_two_nodes(tmp_path, op, domain)
    with pytest.raises(ExportError, match=rf"cannot parse model\.onnx: node culprit \({op}\): \w+"):
        build_plan(graph, SMALL, "fp32", trt=trt)


def test_a_graph_of_another_precision_than_asked_is_refused(tmp_path: Path) -> None:
    exported = next(graph for graph in GRAPHS if graph.name == "imu_activity")
    graph = tmp_path / "model.onnx"
    convert(exported.graph, exported.weights, graph, "fp32")
    with pytest.raises(ExportError, match=r"\(MATRIX_MULTIPLY\) computes in FLOAT, fp16"):
        build_plan(graph, exported.profile, "fp16", trt=trt)


def test_a_profile_that_does_not_fit_the_graph_is_refused(tmp_path: Path) -> None:
    graph = write_two_nodes(tmp_path, "Relu", "")
    with pytest.raises(ExportError, match="but not input x"):
        build_plan(graph, {"other": SMALL["x"]}, "fp32", trt=trt)
    wrong = {"x": ShapeRange((1, 9), (2, 9), (4, 9))}
    with pytest.raises(ExportError, match=r"built no plan.*tensor x.*profile has min=9"):
        build_plan(graph, wrong, "fp32", trt=trt)


# TensorRT for RTX measures no kernels: only its calls are those of TensorRT.
@pytest.mark.filterwarnings("ignore:.*Timing cache operations are no-ops:DeprecationWarning")
def test_the_timing_cache_is_written_and_taken_again(tmp_path: Path) -> None:
    graph = write_two_nodes(tmp_path, "Relu", "")
    cache = tmp_path / "caches" / "timing.cache"
    for _ in range(2):
        build_plan(graph, SMALL, "fp32", trt=trt, timing_cache=cache)
        assert cache.read_bytes()


def assert_mostly_half(layers: Mapping[str, int], exported: Exported) -> None:
    """Assert that a whole network computes in half precision, but for what must stay float32."""
    assert "BF16" not in layers
    # What convolves pixels stays float32: a convolution and its bounds. A head that sees the
    # branch of a picture's stem is mostly that.
    nodes = load_inlined(exported.graph, exported.weights).graph
    convolving = 2 * sum(node.op_type == "Conv" for node in nodes)
    # Summaries of tokens for an embedding are summed in float32, too.
    assert layers["HALF"] > 0.78 * (layers["HALF"] + max(0, layers["FLOAT"] - convolving))


def kernel_bytes(model: ir.Model) -> int:
    """Return the bytes of what convolves pixels, which stays float32."""
    kernels = [node.inputs[1] for node in model.graph if node.op_type == "Conv"]
    constants = [kernel.const_value for kernel in kernels if kernel is not None]
    return sum(constant.nbytes for constant in constants if constant is not None)


def weight_bytes(model: ir.Model) -> int:
    constants = [value.const_value for value in model.graph.initializers.values()]
    return sum(constant.nbytes for constant in constants if constant is not None)


def write_two_nodes(directory: Path, op: str, domain: str) -> Path:
    nodes = [
        helper.make_node("Relu", ["x"], ["first"], name="fine"),
        helper.make_node(op, ["first"], ["y"], name="culprit", domain=domain),
    ]
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    onnx.save(
        helper.make_model(graph, opset_imports=opsets, ir_version=10), directory / "model.onnx"
    )
    return directory / "model.onnx"


@pytest.fixture(scope="module")
def network() -> OmniVec2:
    return load_network(REFERENCE)

"""Measure the seconds of a batch of each size here, for the settings of Triton's batchers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tritonclient.utils import triton_to_np_dtype

from export.repository.assembly import VERSION
from export.repository.layouts import PlannedModel
from export.repository.triton_options import CostTable, OnnxBackend
from omnivec2.arrays import Array, Batch
from omnivec2.atomic_files import write_file
from omnivec2.engines.openvino_core import make_core
from omnivec2.errors import ExportError
from omnivec2.model_config import parse_config
from omnivec2.model_config_messages import model_config_pb2 as triton
from omnivec2.passport import GRAPH_FILE

ROWS = (1, 2, 4, 8, 16, 32)
"""The batch sizes that are measured, up to the largest of a model."""
LENGTH = 40
"""The size of dynamic axes: that of a picture, and of a text of some sentences."""

_RUNS = 3
_CLOCK = 1e-9
"""The shortest time: costs are positive."""

Run = Callable[[Batch], object]


def measure_costs(
    models: Sequence[PlannedModel], repository: Path, engine: OnnxBackend
) -> CostTable:
    """Measure every graph of a repository on one core.

    Args:
        models: The models as ``export.repository.layouts.plan`` plans them for batching.
        repository: The directory they are in.
        engine: The engine to measure with.

    Raises:
        ExportError: The engine is not installed.
    """
    graphs = [model for model in models if GRAPH_FILE in model.files]
    seconds = {}
    for model in graphs:
        run = _ENGINES[engine](repository / model.name / VERSION / GRAPH_FILE)
        config = parse_config(model.config, model.name)
        sizes = [rows for rows in ROWS if rows <= max(1, config.max_batch_size)]
        seconds[model.name] = {rows: _best(run, _zeros(config, rows)) for rows in sizes}
    return CostTable(engine=engine, cores=len(os.sched_getaffinity(0)), seconds=seconds)


def write_cost_table(table: CostTable, path: Path) -> None:
    """Write a cost table, as ``read_cost_table`` reads it."""
    write_file(path, (table.model_dump_json(indent=1) + "\n").encode())


def _zeros(config: triton.ModelConfig, rows: int) -> dict[str, Array]:
    """Return a batch for a graph; every id, index and mask may be 0."""
    return dict(_zero_inputs(config.input, rows))


def _zero_inputs(inputs: Sequence[triton.ModelInput], rows: int) -> Iterator[tuple[str, Array]]:
    for tensor in inputs:
        dtype = triton_to_np_dtype(triton.DataType.Name(tensor.data_type).removeprefix("TYPE_"))
        sizes = tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims
        shape = (rows, *(LENGTH if size < 0 else size for size in sizes))
        yield tensor.name, np.zeros(shape, dtype)


def _best(run: Run, inputs: Batch) -> float:
    """Return the shortest time of a few runs, after one that allocates.

    It is the processor's time, of the one thread that computes, so that other processes do not
    count.
    """
    run(inputs)
    best = float("inf")
    for _ in range(_RUNS):
        started = time.process_time()
        run(inputs)
        best = min(best, time.process_time() - started)
    return max(best, _CLOCK)


def _open_onnxruntime(graph: Path) -> Run:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    names = {node.name for node in session.get_inputs()}
    return lambda inputs: session.run(None, {k: v for k, v in inputs.items() if k in names})


def _open_openvino(graph: Path) -> Run:
    try:
        core = make_core()
    except ImportError as error:
        raise ExportError(f"OpenVINO is not installed, so nothing is measured: {error}") from error
    options = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
    request = core.compile_model(graph, "CPU", options).create_infer_request()

    def run(inputs: Batch) -> object:
        return request.infer(inputs)

    return run


_ENGINES: Mapping[OnnxBackend, Callable[[Path], Run]] = {
    "onnxruntime": _open_onnxruntime,
    "openvino": _open_openvino,
}

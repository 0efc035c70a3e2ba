"""Models written by hand, for what no head of the project has yet but Triton must do."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import onnx

KINDS_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
kinds (bool[batch, 2] flags, int64[batch] count, float16[batch, N] half)
   => (bool[batch, 2] negated, int64[batch] twice, float[batch] total)
{
    negated = Not(flags)
    twice = Add(count, count)
    wide = Cast<to = 1>(half)
    axes = Constant<value = int64[1] {1}>()
    total = ReduceSum<keepdims = 0>(wide, axes)
}
"""
"""Every row alone: booleans, one integer per row, halves of a free length."""

KINDS_CONFIG = """
name: "kinds"
backend: "onnxruntime"
max_batch_size: 8
input { name: "flags" data_type: TYPE_BOOL dims: 2 }
input { name: "count" data_type: TYPE_INT64 dims: 1 reshape { } }
input { name: "half" data_type: TYPE_FP16 dims: -1 }
output { name: "negated" data_type: TYPE_BOOL dims: 2 }
output { name: "twice" data_type: TYPE_INT64 dims: 1 reshape { } }
output { name: "total" data_type: TYPE_FP32 dims: 1 reshape { } }
instance_group { count: 1 kind: KIND_CPU }
dynamic_batching { max_queue_delay_microseconds: 500 }
parameters { key: "intra_op_thread_count" value { string_value: "2" } }
parameters { key: "inter_op_thread_count" value { string_value: "1" } }
model_warmup {
  name: "zeros"
  batch_size: 1
  inputs { key: "flags" value { data_type: TYPE_BOOL dims: 2 zero_data: true } }
  inputs { key: "count" value { data_type: TYPE_INT64 dims: 1 zero_data: true } }
  inputs { key: "half" value { data_type: TYPE_FP16 dims: 5 zero_data: true } }
}
model_warmup {
  name: "full batch"
  batch_size: 8
  count: 2
  inputs { key: "flags" value { data_type: TYPE_BOOL dims: 2 zero_data: true } }
  inputs { key: "count" value { data_type: TYPE_INT64 dims: 1 random_data: true } }
  inputs { key: "half" value { data_type: TYPE_FP16 dims: 7 zero_data: true } }
}
"""

PICKY_GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
picky (int32[batch, 1] index) => (float[batch, 1] value)
{
    table = Constant<value = float[3] {1.5, 2.5, 3.5}>()
    value = Gather(table, index)
}
"""
"""Fails, as only the graph can know, on an index that is not in its table."""

PICKY_CONFIG = """
name: "picky"
backend: "onnxruntime"
max_batch_size: 4
input { name: "index" data_type: TYPE_INT32 dims: 1 }
output { name: "value" data_type: TYPE_FP32 dims: 1 }
instance_group { count: 1 kind: KIND_CPU }
"""


def write_plain(root: Path, name: str, graph: str, config: str) -> Path:
    """Write a model of ONNX's text form, with the least passport that vouches for it."""
    version = root / name / "1"
    version.mkdir(parents=True)
    (root / name / "config.pbtxt").write_text(config)
    onnx.save(onnx.parser.parse_model(graph), version / "model.onnx")
    vouch(version, name)
    return root / name


def vouch(version: Path, model: str) -> None:
    """Write a passport for ``model.onnx`` as it is now."""
    digest = hashlib.sha256((version / "model.onnx").read_bytes()).hexdigest()
    (version / "passport.json").write_text(
        json.dumps({"model": model, "files": {"model.onnx": digest}})
    )

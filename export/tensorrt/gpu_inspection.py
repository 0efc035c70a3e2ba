"""Facts that need a GPU: its fingerprint, and the precisions that a plan really computes in."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from types import ModuleType

from omnivec2.errors import ExportError

_QUERY = ("nvidia-smi", "--query-gpu=name,compute_cap,driver_version", "--format=csv,noheader")
_TIMEOUT_SECONDS = 30


def gpu_fingerprint() -> str:
    """Read name, compute capability and driver of the first GPU.

    Raises:
        ExportError: There is no GPU, or its driver does not answer.
    """
    try:
        answer = subprocess.run(
            _QUERY, capture_output=True, text=True, check=True, timeout=_TIMEOUT_SECONDS
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ExportError(
            "a TensorRT plan is built on the GPU that will run it, and no GPU answers here "
            f"(nvidia-smi: {error})"
        ) from error
    first = answer.stdout.strip().splitlines()[:1]
    fields = [field.strip() for field in first[0].split(",")] if first else []
    if len(fields) != 3:
        raise ExportError(f"nvidia-smi names no GPU: {answer.stdout.strip()!r}")
    name, capability, driver = fields
    return f"{name}, compute capability {capability}, driver {driver}"


def plan_precisions(plan: bytes, trt: ModuleType) -> Counter[str]:
    """Load a plan and count its layers by the dtype of their first result.

    Raises:
        ExportError: The plan does not load, or its inspector names no dtypes.
    """
    engine = trt.Runtime(trt.Logger(trt.Logger.ERROR)).deserialize_cuda_engine(plan)
    if engine is None:
        raise ExportError("the plan that was built does not load on this GPU")
    inspector = engine.create_engine_inspector()
    return layer_precisions(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def layer_precisions(information: str) -> Counter[str]:
    """Count layers by dtype in the JSON of TensorRT's engine inspector.

    It spells a format as "Half", as "FP16 row major" or as "Row major linear FP16 format",
    by version; layers without results (shape arithmetic on the host) are left out.

    Args:
        information: The JSON of the inspector, with one format string per tensor.

    Raises:
        ExportError: No layer names its dtype.
    """
    counts: Counter[str] = Counter()
    for layer in json.loads(information).get("Layers", []):
        outputs = layer.get("Outputs", []) if isinstance(layer, dict) else []
        if outputs:
            spelled = outputs[0].get("Format/Datatype") or outputs[0].get("Datatype") or ""
            counts[_dtype(spelled)] += 1
    if not counts:
        raise ExportError("the engine inspector names no layer's dtype")
    return counts


def _dtype(spelled: str) -> str:
    words = set(re.findall(r"[a-z]+[0-9]*", spelled.lower()))
    for dtype, names in _SPELLINGS.items():
        if words & names:
            return dtype
    return spelled or "unknown"


_SPELLINGS: dict[str, set[str]] = {
    "HALF": {"half", "fp16", "float16"},
    "BF16": {"bf16", "bfloat16"},
    "FLOAT": {"float", "fp32", "float32"},
    "INT8": {"int8"},
    "INT32": {"int32"},
    "INT64": {"int64"},
    "BOOL": {"bool"},
}

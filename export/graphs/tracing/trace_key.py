"""What a trace depends on, as one digest: the structure of a module, not the values of its weights.

The exporter's tracer runs a module with tensors that have shapes but no values, so two modules of
one structure have one trace: a network before and after a training, and one that has got further
heads. Of a network only those modules count that a run of this input calls.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path

import numpy as np
import onnx_ir
import onnxscript
import torch
from pydantic import BaseModel
from torch import Tensor, nn

from export.graphs.traceable import Traceable
from omnivec2.network.config import NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2

_CODE = ("omnivec2/*.py", "omnivec2/network/**/*.py", "export/graphs/**/*.py")
"""The files whose code takes part in a trace."""

_EVERY_MODULE_HAS = frozenset(vars(nn.Module()))


class _NoFingerprintError(Exception):
    """A module has an attribute of which nobody knows what it means for a trace."""


def trace_key(traceable: Traceable, opset: int) -> str | None:
    """Return the digest of all that a trace depends on; None where that is not known.

    Args:
        traceable: The module in eval mode, with its example.
        opset: The ONNX operator set.
    """
    try:
        facts = {
            "versions": [torch.__version__, onnxscript.__version__, onnx_ir.__version__, opset],
            "code": _code_digest(),
            "tensors": [
                [tensor.model_dump(mode="json") for tensor in tensors]
                for tensors in (traceable.inputs, traceable.outputs)
            ],
            "axes": {name: sorted(axes.items()) for name, axes in traceable.axes.items()},
            "bounds": {name: list(bounds) for name, bounds in traceable.bounds.items()},
            "example": {
                name: [list(array.shape), str(array.dtype)]
                for name, array in traceable.example.items()
            },
            "modules": dict(_describe_used(traceable)),
        }
    except (_NoFingerprintError, RuntimeError, ValueError):
        return None  # a module that cannot be run fails in its trace, with the tracer's reason
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _describe_used(traceable: Traceable) -> list[tuple[str, object]]:
    """Describe by path the module itself and all that it calls, with what they consist of."""
    root = traceable.module
    called = {id(root)}
    handle = nn.modules.module.register_module_forward_pre_hook(
        lambda module, _: called.add(id(module))
    )
    try:
        traceable.answer(traceable.example)
    finally:
        handle.remove()
    route = getattr(root, "route", None)

    def walk(path: str, module: nn.Module, used: bool) -> list[tuple[str, object]]:
        # A network has every head among its parts; only what is called counts.
        is_network = isinstance(module, OmniVec2)
        used = not is_network and (used or id(module) in called)
        below = [
            described
            for name, child in module.named_children()
            for described in walk(f"{path}.{name}", child, used)
        ]
        own = [(path, _describe(module, route))] if used or is_network or below else []
        return own + below

    return walk("", root, used=True)


def _describe(module: nn.Module, route: object) -> object:
    kind = type(module)
    attributes = {
        name: _canonical(_of_route(value, route))
        for name, value in vars(module).items()
        if name not in _EVERY_MODULE_HAS
    }
    not_stored = module._non_persistent_buffers_set
    return {
        "type": f"{kind.__module__}.{kind.__qualname__}",
        "code": _file_digest(inspect.getsourcefile(kind)) if _is_foreign(kind) else "",
        "attributes": attributes,
        "parameters": _shapes(module.named_parameters(recurse=False)),
        "buffers": _shapes(module.named_buffers(recurse=False)),
        "constants": {
            name: _canonical(tensor)
            for name, tensor in module.named_buffers(recurse=False)
            if name in not_stored
        },
    }


def _is_foreign(kind: type) -> bool:
    """Whether a class is neither torch's, which has a version, nor ours, which has a digest."""
    return kind.__module__.partition(".")[0] not in ("torch", "omnivec2", "export")


def _of_route(value: object, route: object) -> object:
    """Return of a network's configuration what one head is made of."""
    if not isinstance(value, NetworkConfig):
        return value
    heads = {name: head for name, head in value.heads.items() if name == route}
    names = {head.tokenizer for head in heads.values()}
    tokenizers = {name: value.tokenizers[name] for name in names}
    return value.model_copy(update={"heads": heads, "tokenizers": tokenizers})


def _shapes(tensors: Iterable[tuple[str, Tensor]]) -> dict[str, object]:
    return {name: [list(tensor.shape), str(tensor.dtype)] for name, tensor in tensors}


def _canonical(value: object) -> object:
    """Return an attribute as JSON can hold it.

    Raises:
        _NoFingerprintError: It is neither plain data nor a name.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Enum():
            return _canonical(value.value)
        case BaseModel():
            return value.model_dump(mode="json")
        case Tensor():
            return _canonical(value.detach().cpu().numpy())
        case np.ndarray():
            return [
                str(value.dtype),
                list(value.shape),
                hashlib.sha256(value.tobytes()).hexdigest(),
            ]
        case torch.dtype() | torch.Size():
            return str(value)
        case Mapping():
            return [[_canonical(key), _canonical(item)] for key, item in value.items()]
        case set() | frozenset():
            return sorted(json.dumps(_canonical(item)) for item in value)
        case list() | tuple():
            return [_canonical(item) for item in value]
        case type():
            return f"{value.__module__}.{value.__qualname__}"
    if inspect.isroutine(value) and not inspect.ismethod(value) and "<" not in value.__qualname__:
        return f"{value.__module__}.{value.__qualname__}"
    raise _NoFingerprintError(type(value).__name__)


@functools.cache
def _code_digest() -> str:
    """Return the digest of the code that is traced and that traces."""
    root = Path(__file__).resolve().parents[3]
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _CODE for path in root.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _file_digest(path: str | None) -> str:
    if path is None:
        raise _NoFingerprintError("a class without a file")
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()

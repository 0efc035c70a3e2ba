"""Reading published weights from local files: safetensors and JSON, never pickle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from omnivec2.errors import CheckpointError

_SINGLE = "model.safetensors"
_INDEX = "model.safetensors.index.json"
_CONFIG = "config.json"
_PREPROCESSING = "preprocessor_config.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


@dataclass(frozen=True)
class WeightFiles:
    """The content of a safetensors file, or of a directory as Hugging Face's libraries write it.

    Attributes:
        source: The file or directory.
        tensors: The tensors by name; floats as float32.
        config: The content of ``config.json``; empty if there is none.
        preprocessing: The content of ``preprocessor_config.json``; empty if there is none.
    """

    source: Path
    tensors: Mapping[str, Tensor]
    config: Mapping[str, Any]
    preprocessing: Mapping[str, Any]


def read_weight_files(path: Path) -> WeightFiles:
    """Read weights from a safetensors file, or from a directory with one or several.

    Args:
        path: The file, or a directory with ``model.safetensors`` or with shards that
            ``model.safetensors.index.json`` names; their ``config.json`` may lie beside them.

    Raises:
        CheckpointError: There is nothing to read, it is damaged, or it is a pickle.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: no such file or directory; expected a safetensors file")
    files = _shards(path) if path.is_dir() else [path]
    tensors: dict[str, Tensor] = {}
    for file in files:
        for name, tensor in _read(file):
            if name in tensors:
                raise CheckpointError(f"{file}: {name} is also in another file of {path}")
            tensors[name] = tensor
    directory = path if path.is_dir() else path.parent
    return WeightFiles(
        path,
        tensors,
        _read_json(directory / _CONFIG),
        _read_json(directory / _PREPROCESSING),
    )


def _shards(directory: Path) -> list[Path]:
    """Return the safetensors files of a directory, as its index names them."""
    if (directory / _INDEX).is_file():
        named = _read_json(directory / _INDEX).get("weight_map")
        if not isinstance(named, dict) or not named:
            raise CheckpointError(f"{directory / _INDEX}: expected an object weight_map")
        names = sorted({str(name) for name in named.values()})
        if outside := [name for name in names if Path(name).name != name]:
            raise CheckpointError(f"{directory / _INDEX}: {outside[0]} is not beside it")
        return [directory / name for name in names]
    if (directory / _SINGLE).is_file():
        return [directory / _SINGLE]
    found = sorted(directory.glob("*.safetensors"))
    if len(found) == 1:
        return found
    if len(found) > 1:
        raise CheckpointError(f"{directory} has several safetensors files and no {_INDEX}")
    pickles = sorted(file for file in directory.iterdir() if file.suffix in _PICKLES)
    if pickles:
        raise _is_pickle(pickles[0])
    raise CheckpointError(f"{directory} has neither {_SINGLE} nor {_INDEX}")


def _read(path: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of one file, floats as float32."""
    if path.suffix in _PICKLES:
        raise _is_pickle(path)
    try:
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                tensor: Tensor = file.get_tensor(name)
                yield name, tensor.float() if tensor.is_floating_point() else tensor
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error}") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a whole safetensors file: {error}") from error


def _is_pickle(path: Path) -> CheckpointError:
    """Return the error for a file that could run code when it is read."""
    target = path.with_name(_SINGLE)
    return CheckpointError(
        f"{path}: a pickle can run code when it is read, and is refused. Where you trust it, "
        'convert it once: python -c "import torch, safetensors.torch as s; '
        f"w = torch.load('{path}', weights_only=True); "
        f"s.save_file({{k: v.clone().contiguous() for k, v in w.items()}}, '{target}')\""
    )


def _read_json(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: expected a JSON object")
    return content

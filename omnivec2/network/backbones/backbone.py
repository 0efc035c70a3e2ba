"""A published backbone: its tensors under one set of names, and its sizes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from omnivec2.errors import CheckpointError
from omnivec2.network.backbones.name_tables import layout_of
from omnivec2.network.backbones.weight_files import WeightFiles, read_weight_files
from omnivec2.network.frozen_config import TransformerConfig

_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""The endings that files converted from TensorFlow have, as bert-base-uncased's."""
_ACTIVATIONS = ("gelu", "gelu_python")
_UNSUPPORTED = {
    "use_swiglu_ffn": (False, "its layers are gated (SwiGLU); those here have GELU"),
    "position_embedding_type": ("absolute", "its positions are relative"),
}
"""Fields of config.json -> the value that layers here have, and what another one means."""


class Backbone:
    """The tensors of a backbone by the names of its layout.

    Args:
        files: The content of its files.

    Attributes:
        source: The file or directory.
        layout: The layout of its names.

    Raises:
        CheckpointError: The names are of no known layout, or the layers compute otherwise.
    """

    def __init__(self, files: WeightFiles) -> None:
        self.source = files.source
        self._config = files.config
        self._preprocessing = files.preprocessing
        kind = files.config.get("model_type")
        names = {_modern(name) for name in files.tensors}
        self.layout, prefix = layout_of(files.source, names, kind)
        self.stored_names: dict[str, str] = {}
        self._tensors: dict[str, Tensor] = {}
        for stored, tensor in files.tensors.items():
            name = _modern(stored).removeprefix(prefix)
            self.stored_names[name] = stored
            self._tensors[name] = tensor
        self._require_known_layers()

    @classmethod
    def read(cls, path: Path) -> Backbone:
        """Read a backbone from a safetensors file or a directory.

        Raises:
            CheckpointError: The files are missing, damaged, pickles or of no known layout.
        """
        return cls(read_weight_files(path))

    def __contains__(self, name: str) -> bool:
        """Whether the backbone has a tensor of that name, without a prefix."""
        return name in self._tensors

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all tensors, without a prefix."""
        return iter(self._tensors)

    def __getitem__(self, name: str) -> Tensor:
        """Return a tensor; ``name[1]`` is the second third of a fused projection.

        Raises:
            CheckpointError: There is no such tensor.
        """
        base, part = split_name(name)
        if base not in self._tensors:
            raise CheckpointError(f"{self.source}: {base} is missing")
        tensor = self._tensors[base]
        return tensor if part is None else tensor.chunk(3)[part]

    @property
    def depth(self) -> int:
        """The number of layers."""
        marker = self.layout.marker.removeprefix(self.layout.layer.format(n=0))
        depth = 0
        while f"{self.layout.layer.format(n=depth)}{marker}" in self._tensors:
            depth += 1
        return depth

    def layer_number(self, name: str) -> int | None:
        """Return the number of the layer that a tensor belongs to, or None if it is in none."""
        start = self.layout.layer.partition("{")[0]
        number = name.removeprefix(start).partition(".")[0]
        return int(number) if name.startswith(start) and number.isdigit() else None

    @property
    def width(self) -> int:
        """The width of the tokens."""
        return self[f"{self._module(0, 'down')}.weight"].shape[0]

    def sizes(self, heads: int | None = None) -> TransformerConfig:
        """Return the sizes of the layers, with their norm order and epsilon.

        Args:
            heads: The number of attention heads, where no ``config.json`` says it.

        Raises:
            CheckpointError: Neither says it.
        """
        known = self._config.get("num_attention_heads", heads)
        if known is None:
            raise CheckpointError(
                f"{self.source}: the number of attention heads is in no config.json beside it; "
                "give the sizes of f in the recipe"
            )
        return TransformerConfig(
            depth=self.depth,
            width=self.width,
            heads=known,
            ffn=self[f"{self._module(0, 'up')}.weight"].shape[0],
            norm=self.layout.norm,
            eps=self.eps,
        )

    @property
    def eps(self) -> float:
        """The epsilon of LayerNorm."""
        return float(self._config.get("layer_norm_eps", self.layout.eps))

    def layer_tensors(self, index: int) -> dict[str, tuple[Tensor, list[str], str]]:
        """Return the tensors of a layer by our name: the tensor, their names and a note.

        LayerScale is multiplied into the map before it, and a bias that is absent is 0.
        """
        found: dict[str, tuple[Tensor, list[str], str]] = {}
        for ours in self.layout.layers:
            theirs = self._module(index, ours)
            weight, note = self[f"{theirs}.weight"], ""
            sources = {"weight": [f"{theirs}.weight"], "bias": [f"{theirs}.bias"]}
            bias, bias_note = torch.zeros(weight.shape[0]), "none in the file: 0"
            if split_name(f"{theirs}.bias")[0] in self:
                bias, bias_note = self[f"{theirs}.bias"], ""
            else:
                sources["bias"] = []
            if (scale := self._scale_name(index, ours)) is not None:
                factor = self[scale]
                weight, bias = weight * factor[:, None], bias * factor
                note = bias_note = "LayerScale multiplied in"
                sources = {kind: [*names, scale] for kind, names in sources.items()}
            found[f"{ours}.weight"] = weight, sources["weight"], note
            found[f"{ours}.bias"] = bias, sources["bias"], bias_note
        return found

    def position_grid(self) -> tuple[int, int]:
        """Return the rows and columns of the table of positions of patches.

        Raises:
            CheckpointError: The places are no square, and no ``config.json`` has the size.
        """
        places = self[self.layout.patches["positions"]].reshape(-1, self.width).shape[0]
        patch, size = self.patch, self._config.get("image_size")
        if size is not None:
            height, width = (size, size) if isinstance(size, int) else size
            grid = int(height) // patch, int(width) // patch
            if grid[0] * grid[1] <= places:
                return grid
        side = isqrt(places)
        if places - side**2 > _MOST_LEADING:
            raise CheckpointError(f"{self.source}: {places} positions are no square of patches")
        return side, side

    @property
    def patch(self) -> int:
        """The side of a patch in pixels."""
        return self[self.layout.patches["project.weight"]].shape[-1]

    def colour_scale(self) -> tuple[list[float], list[float]] | None:
        """Return the mean and deviation of the pixels (0 to 1) that it was trained with."""
        own: Mapping[str, Any] = self._config.get("pretrained_cfg") or {}
        mean = self._preprocessing.get("image_mean") or own.get("mean") or self.layout.mean
        std = self._preprocessing.get("image_std") or own.get("std") or self.layout.std
        return None if mean is None or std is None else (list(mean), list(std))

    def _module(self, index: int, ours: str) -> str:
        return f"{self.layout.layer.format(n=index)}{self.layout.layers[ours]}"

    def _scale_name(self, index: int, ours: str) -> str | None:
        if ours not in self.layout.scales:
            return None
        name = f"{self.layout.layer.format(n=index)}{self.layout.scales[ours]}"
        return name if name in self else None

    def _require_known_layers(self) -> None:
        activation = self._config.get("hidden_act", "gelu")
        if activation not in _ACTIVATIONS:
            raise CheckpointError(f"{self.source}: its layers have {activation}; here it is gelu")
        for field, (usual, meaning) in _UNSUPPORTED.items():
            if self._config.get(field, usual) != usual:
                raise CheckpointError(f"{self.source}: {field}: {meaning}")


_MOST_LEADING = 5
"""The most positions of tokens in front of the patches: CLS and registers."""


def split_name(name: str) -> tuple[str, int | None]:
    """Return ``attn.qkv.weight``, 1 for ``attn.qkv[1].weight``; other names without a number."""
    for part in range(3):
        if f"[{part}]" in name:
            return name.replace(f"[{part}]", ""), part
    return name, None


def _modern(name: str) -> str:
    for old, new in _OLD_NAMES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name

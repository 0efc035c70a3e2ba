"""A head's outputs on disk, so that an interrupted measurement goes on where it stopped."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from omnivec2.atomic_files import write_file
from omnivec2.preprocess import Array, Sample
from omnivec2.training.evaluation.graph_sessions import HeadGraph, HeadRunner

_SECONDS_BETWEEN_SAVES = 20.0
_LENGTH = 24
_SEPARATOR = "/"


class KeptGraph(HeadGraph):
    """A head whose outputs are computed once for every batch, and kept in a folder.

    Args:
        model: The head.
        folder: The folder of outputs, which belongs to this head in this engine alone.
    """

    def __init__(self, model: HeadGraph, folder: Path) -> None:
        super().__init__(model.spec, HeadRunner(lambda _: {}))
        self._model, self._folder = model, folder
        self._known: dict[str, dict[str, Array]] = {}
        self._unsaved: dict[str, dict[str, Array]] = {}
        self._saved = time.monotonic()
        for file in sorted(folder.glob("*.safetensors")):
            self._read(file)

    def __call__(self, samples: Sequence[Sample]) -> Mapping[str, Array]:
        """Return the outputs of a batch, computed or read."""
        key = batch_digest(samples)
        if key not in self._known:
            outputs = {name: np.ascontiguousarray(a) for name, a in self._model(samples).items()}
            self._known[key] = self._unsaved[key] = outputs
            if time.monotonic() - self._saved >= _SECONDS_BETWEEN_SAVES:
                self.save()
        return self._known[key]

    def save(self) -> None:
        """Write what is not on disk yet."""
        self._saved = time.monotonic()
        if not self._unsaved:
            return
        content = {
            f"{key}{_SEPARATOR}{name}": array
            for key, outputs in self._unsaved.items()
            for name, array in outputs.items()
        }
        self._folder.mkdir(parents=True, exist_ok=True)
        first = next(iter(self._unsaved))
        write_file(self._folder / f"{first}.safetensors", save(content))
        self._unsaved = {}

    def _read(self, file: Path) -> None:
        try:
            content = load_file(file)
        except (OSError, SafetensorError):
            return  # computed anew
        for name, array in content.items():
            key, _, output = name.partition(_SEPARATOR)
            self._known.setdefault(key, {})[output] = array


def batch_digest(samples: Sequence[Sample]) -> str:
    """Return a name of a batch: a digest of its arrays in their order."""
    digest = hashlib.sha256()
    for sample in samples:
        for name, array in sorted(sample.items()):
            digest.update(f"{name}{array.shape}{array.dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:_LENGTH]

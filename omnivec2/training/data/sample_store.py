"""Prepared samples on disk: one ``.npy`` per tensor, memory-mapped, built once.

Samples whose first axes differ (texts, graphs) are laid end to end, with offsets.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.lib.format import open_memmap

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import PreprocessSpec
from omnivec2.training.data.base import Subset

_LAYOUT = 1
"""Version of the layout, incremented whenever earlier files can no longer be read."""


class StoredSamples(Sequence[Sample]):
    """Samples read from memory-mapped arrays.

    Args:
        arrays: The arrays by tensor name, (samples, ...), or rows of all samples end to end.
        offsets: The offsets of tensors laid end to end, by name, int64 [samples + 1].
    """

    def __init__(self, arrays: dict[str, Array], offsets: dict[str, Array]) -> None:
        self._arrays = arrays
        self._offsets = offsets
        name, array = next(iter(arrays.items()))
        self._count = len(offsets[name]) - 1 if name in offsets else len(array)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Subset[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | Subset[Sample]:
        if isinstance(index, slice):
            return Subset(self, np.arange(self._count)[index])
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return {name: self._row(name, index % self._count) for name in self._arrays}

    def column(self, name: str) -> Array:
        """Return one tensor of all samples, (samples, ...); only for tensors of one shape."""
        return self._arrays[name]

    def _row(self, name: str, index: int) -> Array:
        array = self._arrays[name]
        if name not in self._offsets:
            return np.asarray(array[index])
        start, stop = self._offsets[name][index : index + 2]
        return np.asarray(array[start:stop])


def stored(
    cache: Path,
    name: str,
    spec: PreprocessSpec | None,
    sources: Iterable[Path],
    make: Callable[[], Iterable[Sample]],
) -> StoredSamples:
    """Return samples from the cache; they are made first where they are not there yet.

    Args:
        cache: The cache directory.
        name: The name of the data set and part, e.g. ``infrared-objects-train``.
        spec: The pre-processing; another version or other parameters have other files. None for
            samples kept as they were decoded.
        sources: The files that samples come from; changed ones are read again.
        make: A function that yields the samples in order.
    """
    folder = cache / f"{name}-{_fingerprint(spec, sources)}"
    if not folder.is_dir():
        _write(folder, list(make()))
    arrays: dict[str, Array] = {}
    offsets: dict[str, Array] = {}
    for file in sorted(folder.glob("*.npy")):
        tensor, _, kind = file.stem.partition(".")
        if kind == "offsets":
            offsets[tensor] = np.load(file)
        else:
            arrays[tensor] = np.load(file, mmap_mode="r")
    return StoredSamples(arrays, offsets)


def _fingerprint(spec: PreprocessSpec | None, sources: Iterable[Path]) -> str:
    """Return a digest of everything the samples depend on; files count by size and date."""
    stats = [(path.name, (info := path.stat()).st_size, info.st_mtime_ns) for path in sources]
    settings = spec and spec.model_dump(mode="json")
    text = json.dumps([_LAYOUT, settings, stats], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(folder: Path, samples: list[Sample]) -> None:
    """Write all tensors beside their final place, then move them there in one step."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    try:
        for name in samples[0]:
            _write_tensor(scratch, name, [sample[name] for sample in samples])
        os.replace(scratch, folder)
    except OSError:
        # Two processes may build the same files; the first to finish wins.
        if not folder.is_dir():
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_tensor(folder: Path, name: str, arrays: list[Array]) -> None:
    first = arrays[0]
    path = folder / f"{name}.npy"
    if all(array.shape == first.shape for array in arrays):
        out = open_memmap(path, "w+", first.dtype, (len(arrays), *first.shape))
        for index, array in enumerate(arrays):
            out[index] = array
        out.flush()
        return
    np.save(path, np.concatenate(arrays))
    lengths = [len(array) for array in arrays]
    np.save(folder / f"{name}.offsets.npy", np.cumsum([0, *lengths], dtype=np.int64))

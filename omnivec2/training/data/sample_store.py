"""Prepared samples on disk: one ``.npy`` per tensor, memory-mapped, built once.

Samples whose first axes differ (texts, graphs) are laid end to end, with offsets.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.lib.format import dtype_to_descr
from numpy.lib.format import magic as magic_bytes

from omnivec2.preprocess import Array, Sample
from omnivec2.spec import PreprocessSpec
from omnivec2.training.data.base import DataDirectories, PreparingProgress, Subset

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
    at: DataDirectories,
    name: str,
    spec: PreprocessSpec | None,
    sources: Iterable[Path],
    make: Callable[[], Iterable[Sample]],
) -> StoredSamples:
    """Return samples from the cache; they are made first where they are not there yet.

    Args:
        at: The directories, of which the cache is used; its ``progress`` is told of every sample.
        name: The name of the data set and part, e.g. ``infrared-objects-train``.
        spec: The pre-processing; another version or other parameters have other files. None for
            samples kept as they were decoded.
        sources: The files that samples come from; changed ones are read again.
        make: A function that yields the samples in order.
    """
    folder = at.cache / f"{name}-{_fingerprint(spec, sources)}"
    if not folder.is_dir():
        _write(folder, _counted(make(), at.progress))
    arrays: dict[str, Array] = {}
    offsets: dict[str, Array] = {}
    for file in sorted(folder.glob("*.npy")):
        tensor, _, kind = file.stem.partition(".")
        if kind == "offsets":
            offsets[tensor] = np.load(file)
        else:
            arrays[tensor] = np.load(file, mmap_mode="r")
    return StoredSamples(arrays, offsets)


def _counted(samples: Iterable[Sample], progress: PreparingProgress) -> Iterator[Sample]:
    for number, sample in enumerate(samples, start=1):
        progress(number, None)
        yield sample


def _fingerprint(spec: PreprocessSpec | None, sources: Iterable[Path]) -> str:
    """Return a digest of everything the samples depend on; files count by size and date."""
    stats = [(path.name, (info := path.stat()).st_size, info.st_mtime_ns) for path in sources]
    settings = spec and spec.model_dump(mode="json")
    text = json.dumps([_LAYOUT, settings, stats], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _write(folder: Path, samples: Iterable[Sample]) -> None:
    """Write all tensors beside their final place, then move them there in one step.

    Samples are written as they are made, so that only one of them is in memory.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
    writers: dict[str, _TensorWriter] = {}
    try:
        for sample in samples:
            if not writers:
                writers = {name: _TensorWriter(scratch, name) for name in sample}
            for name, writer in writers.items():
                writer.add(sample[name])
        for writer in writers.values():
            writer.finish()
        os.replace(scratch, folder)
    except OSError:
        # Two processes may build the same files; the first to finish wins.
        if not folder.is_dir():
            raise
    finally:
        for writer in writers.values():
            writer.close()
        shutil.rmtree(scratch, ignore_errors=True)


class _TensorWriter:
    """Writes one tensor of all samples into a ``.npy`` file of any length.

    Args:
        folder: The folder of the file.
        name: The name of the tensor.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name
        self._file = (folder / f"{name}.npy").open("wb")
        self._file.write(bytes(_HEADER_BYTES))
        self._first: Array | None = None
        self._lengths: list[int] = []
        self._is_even = True

    def add(self, array: Array) -> None:
        """Append the tensor of one sample."""
        if self._first is None:
            self._first = array
        first = self._first
        if array.shape != first.shape:
            self._is_even = False
        self._lengths.append(len(array) if array.ndim else 1)
        self._file.write(np.ascontiguousarray(array, dtype=first.dtype).tobytes())

    def finish(self) -> None:
        """Write the header, whose shape is known now, and the offsets of samples if they differ."""
        assert self._first is not None
        count, shape = len(self._lengths), self._first.shape
        whole = (count, *shape) if self._is_even else (sum(self._lengths), *shape[1:])
        self._file.seek(0)
        self._file.write(_npy_header(self._first.dtype, whole))
        self.close()
        if not self._is_even:
            offsets = np.cumsum([0, *self._lengths], dtype=np.int64)
            np.save(self._folder / f"{self._name}.offsets.npy", offsets)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


_HEADER_BYTES = 256
"""Bytes kept for a header, a multiple of 64 as numpy asks for: the shape is not known before."""


def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """Return a header of format 1.0 that fills the bytes kept for it (numpy.lib.format)."""
    fields = {"descr": dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    magic = magic_bytes(1, 0)
    length = _HEADER_BYTES - len(magic) - 2
    return magic + length.to_bytes(2, "little") + f"{fields!r:<{length - 1}}\n".encode("latin-1")

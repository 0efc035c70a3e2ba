"""Summaries on disk: whole passes of the frozen network, and those that were interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from omnivec2.atomic_files import write_file
from omnivec2.network.config import Summary
from omnivec2.preprocess import Array

Summaries = Mapping[Summary, Array]
"""The summaries of samples by name, float32 [samples, width]."""

_SECONDS_BETWEEN_SAVES = 30.0
_DONE = "done"
"""The tensor of a file that marks the samples that are summarised; absent if all are."""


@dataclass
class PartialSummaries:
    """Summaries of some of the samples.

    Attributes:
        values: The summaries by name, float32 [samples, width]; rows that are not done are 0.
        done: A mask of the samples that are summarised, bool [samples].
        save: The function that keeps them.
        saved: The time of the last save, by the monotonic clock.
    """

    values: dict[Summary, Array]
    done: Array
    save: Callable[[], None] = lambda: None
    saved: float = field(default_factory=time.monotonic)

    @classmethod
    def empty(cls, samples: int, widths: Mapping[Summary, int]) -> PartialSummaries:
        """Return summaries of none of the samples."""
        values = {name: np.zeros((samples, size), np.float32) for name, size in widths.items()}
        return cls(values, np.zeros(samples, dtype=bool))

    def save_if_due(self) -> None:
        """Keep what is done if the last time is long ago."""
        if time.monotonic() - self.saved >= _SECONDS_BETWEEN_SAVES:
            self.save()
            self.saved = time.monotonic()


class KeptSummaries:
    """The file of the summaries of some samples by one network.

    Args:
        folder: The folder where summaries are kept.
        digest: The digest of the network and the samples.
        samples: The number of samples.
    """

    def __init__(self, folder: Path, digest: str, samples: int) -> None:
        self.file = folder / f"{digest}.safetensors"
        self.samples = samples

    def load(self, widths: Mapping[Summary, int]) -> PartialSummaries:
        """Return what is kept of the wanted summaries; none are done unless all names are there.

        Args:
            widths: The size of every summary that is wanted.
        """
        kept = self._read()
        shapes = {name: (self.samples, size) for name, size in widths.items()}
        if any(name not in kept or kept[name].shape != shape for name, shape in shapes.items()):
            return PartialSummaries.empty(self.samples, widths)
        done = kept.get(_DONE, np.ones(self.samples, dtype=bool))
        return PartialSummaries({name: kept[name] for name in widths}, done.astype(bool))

    @contextmanager
    def keeping(self, summaries: PartialSummaries) -> Iterator[None]:
        """Write summaries after the body, also when Ctrl-C or an error ends it."""
        summaries.save = lambda: self._write(summaries)
        try:
            yield
        finally:
            if summaries.done.any():
                self._write(summaries)

    def _read(self) -> dict[str, Array]:
        try:
            return dict(load_file(self.file))
        except (OSError, SafetensorError):
            return {}

    def _write(self, summaries: PartialSummaries) -> None:
        content = {str(name): values for name, values in summaries.values.items()}
        if summaries.done.all():
            before = self._read()
            content = content if _DONE in before else before | content
        else:
            content[_DONE] = summaries.done
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_file(self.file, save(content))

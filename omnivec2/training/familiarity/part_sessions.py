"""The exported parts of heads in ONNX Runtime, each loaded once: what the trunk says of samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from omnivec2.arrays import Array
from omnivec2.errors import ArtifactError
from omnivec2.model_config import CONFIG_FILE, read_config, read_passport, read_steps
from omnivec2.parts import TRUNK
from omnivec2.passport import GRAPH_FILE
from omnivec2.preprocess import Sample, collate
from omnivec2.spec import HeadSpec
from omnivec2.training.evaluation.graph_sessions import GraphSession

_BATCH = 32


class PartSessions:
    """The parts of a model repository in the shared layout.

    Args:
        repository: The model repository.
    """

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self._sessions: dict[str, GraphSession] = {}

    def digests(self, head: HeadSpec) -> dict[str, str]:
        """Return the content digests of a head's parts up to the trunk, by name.

        Raises:
            ArtifactError: The head is not in the repository, or not put together from parts.
        """
        config = read_config(self._repository / head.name / CONFIG_FILE)
        passport = read_passport(config)
        names = [step.model for step in read_steps(config)]
        if passport is None or TRUNK not in names:
            raise ArtifactError(f"{head.route}: is not put together from parts with a trunk")
        return {name: passport.parts[name] for name in names[: names.index(TRUNK) + 1]}

    def run(
        self,
        head: HeadSpec,
        samples: Sequence[Sample],
        rows: Sequence[int],
        names: Sequence[str],
        advance: Callable[[int], None] = lambda _: None,
    ) -> dict[str, Array]:
        """Run samples through the parts of a head and return some of the tensors.

        Args:
            head: The head.
            samples: The samples, perhaps a lazy sequence.
            rows: The indices of those to run, which are made batch by batch.
            names: The names of the tensors; those that no part gives are left out.
            advance: A callback that gets the number of samples of every batch.

        Returns:
            The tensors by name, each (rows, ...).
        """
        steps = read_steps(read_config(self._repository / head.name / CONFIG_FILE))
        collected: dict[str, list[Array]] = {}
        for start in range(0, len(rows), _BATCH):
            chosen = [samples[row] for row in rows[start : start + _BATCH]]
            tensors: Mapping[str, Array] = collate(chosen)
            for step in steps:
                given = {name: tensors[known] for name, known in step.inputs.items()}
                tensors = {**tensors, **self._session(step.model, step.version)(given)}
            for name in names:
                if name in tensors:
                    collected.setdefault(name, []).append(tensors[name])
            advance(len(chosen))
        return {name: np.concatenate(arrays) for name, arrays in collected.items()}

    def _session(self, name: str, version: str) -> GraphSession:
        if name not in self._sessions:
            self._sessions[name] = GraphSession(self._repository / name / version / GRAPH_FILE)
        return self._sessions[name]

"""Reading a Triton model repository: its models, their head specs and their graphs."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from omnivec2.canary.canary_state import base_name
from omnivec2.engines.shape_ranges import Limits, head_limits, widest
from omnivec2.errors import ArtifactError, PassportError
from omnivec2.familiarity import Familiarity
from omnivec2.model_config import (
    CONFIG_FILE,
    ONNX_BACKEND,
    Step,
    is_served,
    model_directories,
    read_config,
    read_head_spec,
    read_reference,
    read_steps,
)
from omnivec2.model_config_messages import ModelConfig
from omnivec2.passport import (
    GATE_FILE,
    GRAPH_FILE,
    INT8_GRAPH_FILE,
    EnginePrecision,
    Passport,
    check_claims,
    verify_passport,
)
from omnivec2.spec import HeadSpec, model_name

_LOG = logging.getLogger(__name__)

PlaceFiles = Callable[[Path, Passport], Path]
"""Returns the directory to load a model's files from: (its version directory, its passport)."""


@dataclass(frozen=True)
class StoredGraph:
    """A graph whose files are those of its passport.

    Attributes:
        name: The name of its model or part.
        version: The name of its version directory.
        directory: The directory with ``model.onnx`` and its weights: the version directory, or
            one with copies of its files.
        digest: The sha256 of its passport's claims: what it computes, for caches.
        limits: The smallest and the largest size of each axis that varies, by its name in the
            graph; the batch is left out.
        inputs: The names of the tensors it takes.
        outputs: The names of the tensors it gives.
        max_batch_size: The most rows of one batch.
    """

    name: str
    version: str
    directory: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    max_batch_size: int
    digest: str = ""
    limits: Limits = field(default_factory=dict)

    def graph_file(self, precision: EnginePrecision) -> Path:
        """Return the file to load: that of int8 if it is wanted and there, else ``model.onnx``."""
        quantised = self.directory / INT8_GRAPH_FILE
        if precision == "int8" and quantised.is_file():
            return quantised
        return self.directory / GRAPH_FILE


@dataclass(frozen=True)
class StoredModel:
    """A model of the repository with the graphs it is run with.

    Attributes:
        spec: The head spec.
        version: The name of its newest version directory.
        steps: The steps through its parts; none if it is in one piece.
        graphs: The graph of each step, or its own; then its decoder, if it writes text.
        gate: The file of inputs and reference answers that an engine must reproduce, if there
            is one.
        familiarity: The measure of how far inputs are from its training data, if there is one.
    """

    spec: HeadSpec
    version: str
    steps: tuple[Step, ...]
    graphs: tuple[StoredGraph, ...]
    gate: Path | None = None
    familiarity: Familiarity | None = None


@dataclass(frozen=True)
class Repository:
    """The models of a repository.

    Attributes:
        models: The models that can be served, by name.
        refused: The reasons why other models cannot be served, by name.
    """

    models: dict[str, StoredModel]
    refused: dict[str, str]


def signatures(root: Path) -> dict[str, object]:
    """Return a value per model or part that changes whenever one of its files does.

    Raises:
        ArtifactError: There is no repository.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    except OSError as error:
        raise ArtifactError(f"{root}: cannot be read: {error.strerror}") from error
    return {name: tuple(_stamps(root / name)) for name in names if not name.startswith(".")}


def _stamps(directory: Path) -> Iterator[tuple[str, int, int, int]]:
    """Yield path, inode, size and time of every file below a directory."""
    for file in sorted(directory.rglob("*")):
        try:
            stat = file.stat()
        except OSError:
            continue  # removed a moment ago, which the next poll will see
        yield str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns


def _in_place(version: Path, _: Passport) -> Path:
    return version


def read_repository(
    root: Path, only: Iterable[str] = (), place_files: PlaceFiles = _in_place
) -> Repository:
    """Read every model of a repository, or only some heads.

    A model that cannot be served does not stop the others: it is logged and listed.

    Args:
        root: The directory with one directory per model.
        only: The heads to read, as ``<modality>/<task>``; all if empty.
        place_files: The choice of the directories to load graphs from; by default their own.

    Raises:
        ArtifactError: There is no repository, or a model of ``only`` is not in it.
    """
    if not root.is_dir():
        raise ArtifactError(f"{root}: no model repository; `omnivec2 serve` makes one")
    wanted = {model_name(route): route for route in only}
    found = {directory.name: directory for directory in model_directories(root)}
    if missing := sorted(wanted.keys() - found.keys()):
        heads = ", ".join(repr(wanted[name]) for name in missing)
        close = get_close_matches(missing[0], list(found), 1)
        hint = f"; did you mean {close[0].replace('_', '/', 1)!r}?" if close else ""
        raise ArtifactError(f"{root}: there is no head {heads}{hint}")
    repository = Repository({}, {})
    for name, directory in found.items():
        if wanted and base_name(name) not in wanted:
            continue
        try:
            config = read_config(directory / CONFIG_FILE)
            if is_served(config, name):
                repository.models[name] = read_model(directory, config, place_files)
        except ArtifactError as error:
            _LOG.error("%s is not served: %s", name, error)
            repository.refused[name] = str(error)
    return Repository(_with_limits(repository.models), repository.refused)


def _with_limits(models: Mapping[str, StoredModel]) -> dict[str, StoredModel]:
    """Give every graph the limits of its axes: the widest of all heads that it is part of."""
    limits: dict[Path, Limits] = {}
    for model in models.values():
        own = head_limits(model.spec)
        for graph in model.graphs:
            limits[graph.directory] = widest(limits.get(graph.directory, {}), own)
    return {
        name: replace(
            model,
            graphs=tuple(replace(graph, limits=limits[graph.directory]) for graph in model.graphs),
        )
        for name, model in models.items()
    }


def read_model(
    directory: Path, config: ModelConfig, place_files: PlaceFiles = _in_place
) -> StoredModel:
    """Read one model's spec and check its files against its passport.

    Args:
        directory: The directory of the model in the repository.
        config: The content of its ``config.pbtxt``.
        place_files: The choice of the directories to load graphs from.

    Raises:
        ArtifactError: The configuration or its head spec cannot be read.
        PassportError: The files, or those of a part, are not those the passport was
            written for.
    """
    spec = read_head_spec(config, str(directory / CONFIG_FILE))
    if spec.name != directory.name:
        raise ArtifactError(f"{directory}: holds the head spec of {spec.name}")
    version = _newest(directory)
    passport = verify_passport(version)
    check_claims(passport, spec)
    steps = read_steps(config)
    root = directory.parent
    needed = passport.dependencies(spec)
    parts = [(step.model, step.version) for step in steps]
    if (generation := spec.generation) is not None:
        parts.append((generation.decoder, generation.version))
    graphs = [_read_part(root, *part, passport, needed, place_files) for part in parts]
    if not steps:
        graphs.insert(0, _graph(version, config, passport, place_files))
    gate = version / GATE_FILE if GATE_FILE in passport.files else None
    reference = read_reference(config)
    familiarity = None if reference is None else Familiarity(reference)
    return StoredModel(spec, version.name, steps, tuple(graphs), gate, familiarity)


def _newest(directory: Path) -> Path:
    versions = [path for path in directory.iterdir() if path.is_dir() and path.name.isdigit()]
    if not versions:
        raise ArtifactError(f"{directory}: no version directory")
    return max(versions, key=lambda path: int(path.name))


def _read_part(
    root: Path,
    name: str,
    number: str,
    head: Passport,
    digests: Mapping[str, str],
    place_files: PlaceFiles,
) -> StoredGraph:
    """Read a version of a part and check that it is the one a head was exported with."""
    version = root / name / number
    config = read_config(root / name / CONFIG_FILE)
    passport = verify_passport(version)
    if passport.model != name:
        raise PassportError(f"{version}: the passport of {passport.model}")
    if passport.content_digest != digests.get(name):
        raise PassportError(
            f"{head.model}: was exported with another {name} than version {number} in {root}"
        )
    return _graph(version, config, passport, place_files)


def _graph(
    version: Path, config: ModelConfig, passport: Passport, place_files: PlaceFiles
) -> StoredGraph:
    if config.backend != ONNX_BACKEND:
        raise ArtifactError(f"{version}: is for Triton's backend {config.backend!r} only")
    return StoredGraph(
        version.parent.name,
        version.name,
        place_files(version, passport),
        tuple(tensor.name for tensor in config.input),
        tuple(tensor.name for tensor in config.output),
        config.max_batch_size,
        passport.files_digest,
    )

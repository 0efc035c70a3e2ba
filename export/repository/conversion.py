"""A model repository in another precision, or of TensorRT plans.

The graphs are those of the checkpoint, converted; nothing is traced again and torch is not
needed. Each is compared with the graph it was made from, with every half value rounded as an
engine rounds it (``export.precision.rounding``); the error of that graph is added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import onnxruntime as ort
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn

from export.exported_checkpoint import ExportedCheckpoint
from export.graphs.exported_graphs import (
    TRUNK_BATCHES,
    Chain,
    ExportedGraph,
    ExportedHead,
    ExportedParts,
    exported_decoder,
    whole_graph,
)
from export.parity.decoder_searches import decoder_cases
from export.parity.parity_gate import Case, Reference, cases_of, check_parity
from export.passport_writer import write_passport
from export.precision.half_precision import convert
from export.precision.rounding import rounded_session
from export.repository.assembly import locked, write_repository
from export.repository.build_target import BuildTarget, served_head, served_part
from export.repository.config_writer import ensemble_config, model_config, part_config
from export.repository.layouts import Layout, PlannedModel
from export.tensorrt.optimization_profiles import make_profile
from export.tensorrt.plan_builder import write_plan
from export.tensorrt.plan_inputs import plan_tensor
from omnivec2.atomic_files import staging_directory
from omnivec2.digests import file_digest
from omnivec2.parts import PartSpec
from omnivec2.passport import (
    GRAPH_FILE,
    MODEL_FILES,
    NO_DEPENDENCIES,
    PARITY_TOLERANCES,
    PASSPORT_FILE,
    Dependencies,
    ParityEntry,
    Passport,
    check_bounds,
)
from omnivec2.spec import HeadSpec
from omnivec2.terminal import LoggedProgress, make_console


def build_repository(
    source: ExportedCheckpoint,
    out: Path,
    layout: Layout,
    target: BuildTarget,
    console: Console | None = None,
) -> list[Path]:
    """Build every head of a checkpoint and write them as a model repository.

    Args:
        source: The checkpoint, exported in this layout.
        out: The repository; it is made if need be.
        layout: The layout of the repository.
        target: The engine and precision.
        console: The console that shows progress.

    Returns:
        The model directories, each after those it needs.

    Raises:
        ExportError: A graph cannot be converted or built.
        ParityError: A graph answers too far from the one it was made from.
        PassportError: A graph answers too far from PyTorch, or is not exported in this layout.
    """
    out.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    shown = console or make_console()
    with locked(out), staging_directory(out) as staging:
        builder = _Builder(source, target, staging)
        models: list[PlannedModel] = []
        with LoggedProgress(
            *columns, TimeElapsedColumn(), console=shown, transient=True
        ) as progress:
            bar = progress.add_task("build", total=None)
            for model in _BUILDS[layout](builder):
                models.append(model)
                progress.update(bar, description=f"built {model.name}", advance=1)
        write_repository(
            models, out, layout=layout, engine=target.engine, precision=target.precision
        )
    return [out / model.name for model in models]


class _Builder:
    """Builds graphs of a checkpoint into a directory."""

    def __init__(self, source: ExportedCheckpoint, target: BuildTarget, root: Path) -> None:
        self.source, self.target = source, target
        self._root = root
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._tolerance = PARITY_TOLERANCES[target.precision]

    def graph(
        self,
        exported: ExportedGraph,
        parity: tuple[ParityEntry, ...],
        dependencies: Dependencies = NO_DEPENDENCIES,
    ) -> tuple[Passport, dict[str, Path]]:
        """Convert one exported graph, and build its plan if the engine is TensorRT.

        Args:
            exported: The graph as it was exported.
            parity: The comparisons of the converted graph with the exported one.
            dependencies: The other models that a head is run with, as they were built.

        Returns:
            The passport, and the files by their names in the repository.

        Raises:
            ExportError: The graph cannot be converted or built.
        """
        target, before = self.target, exported.passport
        directory = self._root / before.model
        directory.mkdir()
        path = directory / MODEL_FILES[target.engine]
        changes: dict[str, object] = {"storage": {}, "int8": None, "decoder": dependencies.decoder}
        if target.trt is None:
            convert(exported.directory / GRAPH_FILE, exported.weights, path, target.precision)
        else:
            changes |= self._plan(exported, path, target.trt)
        passport = self._passport(
            before, parity, {**changes, "files": {path.name: file_digest(path)}}
        )
        written = write_passport(passport, directory / PASSPORT_FILE)
        return passport, {path.name: path, PASSPORT_FILE: written}

    def parity(self, exported: ExportedGraph, cases: Iterable[Case]) -> tuple[ParityEntry, ...]:
        """Compare a converted graph with the one it is made from.

        Raises:
            ParityError: The difference is larger than the precision allows.
        """
        run = self.session(exported).run
        return check_parity(exported, run, cases, tolerance=self._tolerance)

    def trunk_parity(self, parts: ExportedParts) -> tuple[ParityEntry, ...]:
        """Measure what converting the trunk alone changes in the answers of every head.

        The outputs of the trunk are not compared: single features move further than any answer.

        Raises:
            ParityError: The difference is larger than the precision allows.
        """
        entries: list[ParityEntry] = []
        for head in parts.heads:
            tokenizer, trunk, own = head.parts
            run = Chain([tokenizer.session, self.session(trunk), own.session])
            cases = (case for case in cases_of(head.spec) if case.size in TRUNK_BATCHES)
            entries += check_parity(head, run, cases, tolerance=self._tolerance)
        return tuple(entries)

    def session(self, exported: ExportedGraph) -> ort.InferenceSession:
        """Return a session that answers as the target does; it is opened once."""
        if exported.name not in self._sessions:
            self._sessions[exported.name] = rounded_session(
                exported.directory / GRAPH_FILE, exported.weights, self.target.precision
            )
        return self._sessions[exported.name]

    def ensemble(
        self,
        head: ExportedHead,
        run: Chain,
        dependencies: Dependencies,
    ) -> tuple[Passport, dict[str, Path]]:
        """Measure a head that is put together from built parts, and issue its passport.

        Args:
            head: The head as it was exported.
            run: The built parts, one after the other.
            dependencies: The built parts, and the built decoder of a head that writes text.
        """
        parity = check_parity(head, run, cases_of(head.spec), tolerance=self._tolerance)
        changes: dict[str, object] = {
            "files": {},  # gate files are for the engines of the service
            "parts": dict(dependencies.parts),
            "decoder": dependencies.decoder,
        }
        passport = self._passport(head.passport, parity, changes)
        directory = self._root / head.name
        directory.mkdir()
        return passport, {PASSPORT_FILE: write_passport(passport, directory / PASSPORT_FILE)}

    def _plan(self, exported: ExportedGraph, path: Path, trt: ModuleType) -> dict[str, object]:
        """Build a plan and return the entries of its passport that only a plan has."""
        target = self.target
        plan = write_plan(
            exported.directory / GRAPH_FILE,
            exported.weights,
            path,
            make_profile(
                [plan_tensor(tensor) for tensor in exported.inputs],
                exported.axes,
                {**exported.bounds, "batch": (1, exported.max_batch_size)},
            ),
            target.precision,
            trt=trt,
            gpu=target.gpu,
            version_compatible=target.version_compatible,
            timing_cache=target.timing_cache,
        )
        return {
            "layer_precisions": dict(plan.layer_precisions),
            "gpu": plan.gpu,
            "versions": exported.passport.versions | {"tensorrt": plan.tensorrt_version},
        }

    def _passport(
        self, before: Passport, parity: tuple[ParityEntry, ...], changes: Mapping[str, object]
    ) -> Passport:
        digest = before.content_digest
        if digest is not None:
            # A part in another precision is another part.
            text = f"{digest} {self.target.engine} {self.target.precision}"
            digest = hashlib.sha256(text.encode()).hexdigest()
        passport = before.model_copy(
            update={
                "engine": self.target.engine,
                "precision": self.target.precision,
                "tolerance": self._tolerance,
                "parity": tuple(_from_pytorch(entry, before) for entry in parity),
                "content_digest": digest,
                **changes,
            }
        )
        check_bounds(passport)
        return passport


def _from_pytorch(entry: ParityEntry, before: Passport) -> ParityEntry:
    """Return the largest possible error from PyTorch: the reference has an error as well."""
    error = entry.max_relative_error + before.max_relative_error
    return entry.model_copy(update={"max_relative_error": error})


def _build_decoder(
    builder: _Builder, head: HeadSpec, whole: Reference
) -> tuple[PlannedModel, str | None]:
    """Build the decoder of a head that writes text.

    Args:
        builder: The builder of the repository.
        head: A head with ``generation``.
        whole: The same head as it was exported.

    Returns:
        The model, and the content digest of the decoder.
    """
    spec, exported = exported_decoder(builder.source, head)
    cases = decoder_cases(head, whole, exported)
    passport, files = builder.graph(exported, builder.parity(exported, cases))
    config = part_config(served_part(spec, builder.target), passport)
    return PlannedModel(spec.name, config, files, passport), passport.content_digest


def _build_fused(builder: _Builder) -> Iterator[PlannedModel]:
    for head in builder.source.heads:
        exported = whole_graph(builder.source, head)
        decoder = None
        if head.generation is not None:
            planned, decoder = _build_decoder(builder, head, exported)
            yield planned
        parity = builder.parity(exported, cases_of(head))
        passport, files = builder.graph(exported, parity, Dependencies(decoder=decoder))
        served = served_head(head, builder.target)
        config = model_config(served, passport)
        yield PlannedModel(head.name, config, files, passport, served)


def _build_shared(builder: _Builder) -> Iterator[PlannedModel]:
    parts = ExportedParts(builder.source)
    built: dict[str, tuple[PartSpec, Passport]] = {}
    for exported, parity in _measured(builder, parts):
        name = exported.name
        passport, files = builder.graph(exported, parity)
        spec = served_part(parts.specs[name], builder.target)
        built[name] = spec, passport
        yield PlannedModel(name, part_config(spec, passport), files, passport)
    for head in parts.heads:
        decoder = None
        if head.spec.generation is not None:
            planned, decoder = _build_decoder(builder, head.spec, head)
            yield planned
        used = [built[part.name] for part in head.parts]
        digests = {spec.name: passport.content_digest or "" for spec, passport in used}
        run = Chain([builder.session(part) for part in head.parts])
        passport, files = builder.ensemble(head, run, Dependencies(digests, decoder))
        served = served_head(head.spec, builder.target)
        source = builder.source
        reference = source.training_reference(head.spec, source.ensemble_passport(head.spec))
        specs = [spec for spec, _ in used]
        config = ensemble_config(served, specs, passport, reference=reference)
        yield PlannedModel(head.name, config, files, passport, served)


def _measured(
    builder: _Builder, parts: ExportedParts
) -> Iterator[tuple[ExportedGraph, tuple[ParityEntry, ...]]]:
    """Yield every part with the comparisons of the converted graph and the exported one."""
    for exported, cases in parts.tokenizers_and_heads():
        yield exported, builder.parity(exported, cases)
    yield parts.trunk, builder.trunk_parity(parts)


_BUILDS: dict[Layout, Callable[[_Builder], Iterator[PlannedModel]]] = {
    Layout.FUSED: _build_fused,
    Layout.SHARED: _build_shared,
}

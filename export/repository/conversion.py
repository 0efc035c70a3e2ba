"""A model repository in another precision, or of TensorRT plans: built, not assembled.

The graphs are those of the checkpoint, converted; nothing is traced again and torch is not
needed. Each is compared with the graph it was made from, with every half value rounded as an
engine rounds it (``export.precision.rounding``); what that graph errs from PyTorch is added.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import onnxruntime as ort
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from export.graphs.exported_graphs import (
    TRUNK_BATCHES,
    Chain,
    ExportedGraph,
    ExportedParts,
    Route,
    exported_decoder,
    whole_graph,
)
from export.parity.decoder_searches import decoder_cases
from export.parity.parity_gate import Answering, Case, cases_of, check_parity
from export.passport_writer import write_passport
from export.precision.half_precision import convert, require_runnable
from export.precision.rounding import rounded_session
from export.repository.assembly import locked, write_repository
from export.repository.config_writer import ensemble_config, model_config, part_config
from export.repository.layouts import Layout, PlannedModel
from export.tensorrt.optimization_profiles import make_profile
from export.tensorrt.plan_builder import load_tensorrt, write_plan
from export.tensorrt.plan_inputs import plan_spec, plan_tensor
from omnivec2.atomic_files import staging_directory
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.digests import file_digest
from omnivec2.parts import PartSpec
from omnivec2.passport import (
    GRAPH_FILE,
    MODEL_FILES,
    PARITY_TOLERANCES,
    PASSPORT_FILE,
    Engine,
    ParityEntry,
    Passport,
    Precision,
    check_bounds,
)
from omnivec2.spec import HeadSpec
from omnivec2.terminal import make_console


@dataclass(frozen=True)
class Target:
    """What to build for.

    Attributes:
        engine: ONNX Runtime or TensorRT.
        precision: the graphs compute in.
        trt: the TensorRT module; None for ONNX Runtime.
        gpu: fingerprint of the GPU plans are built on; empty where there is none to ask.
        version_compatible: plans that later TensorRT releases load too.
        timing_cache: file of kernels' timings, for TensorRT.
    """

    engine: Engine
    precision: Precision
    trt: ModuleType | None = None
    gpu: str = ""
    version_compatible: bool = False
    timing_cache: Path | None = None


def make_target(
    engine: Engine,
    precision: Precision,
    *,
    version_compatible: bool = False,
    timing_cache: Path | None = None,
) -> Target:
    """A target that this machine can build for.

    Raises:
        ExportError: the engine cannot run the precision; TensorRT or a GPU is missing.
    """
    require_runnable(engine, precision)
    if engine == "onnx":
        return Target(engine, precision)
    trt, gpu = load_tensorrt()
    return Target(engine, precision, trt, gpu, version_compatible, timing_cache)


def build_repository(
    checkpoint: Path, out: Path, layout: Layout, target: Target, console: Console | None = None
) -> list[Path]:
    """Build every head of a checkpoint and write them as a model repository.

    Args:
        checkpoint: exported in this layout.
        out: the repository; made if need be.
        layout: fused or shared.
        target: engine and precision.
        console: where progress is shown.

    Returns:
        The model directories, each after those it needs.

    Raises:
        ExportError: a graph cannot be converted or built.
        ParityError: a graph answers too far from the one it was made from.
        PassportError: too far from PyTorch, or not exported in this layout.
    """
    source = read_checkpoint(checkpoint)
    out.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    shown = console or make_console()
    with locked(out), staging_directory(out) as staging:
        builder = _Builder(source, target, staging)
        models: list[PlannedModel] = []
        with Progress(*columns, TimeElapsedColumn(), console=shown, transient=True) as progress:
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

    def __init__(self, source: Checkpoint, target: Target, root: Path) -> None:
        self.source, self.target = source, target
        self._root = root
        self._sessions: dict[str, ort.InferenceSession] = {}
        self._tolerance = PARITY_TOLERANCES[target.precision]

    def graph(
        self,
        exported: ExportedGraph,
        parity: tuple[ParityEntry, ...],
        decoder: str | None = None,
    ) -> tuple[Passport, dict[str, Path]]:
        """Convert one exported graph, and build its plan if asked for.

        Args:
            exported: by the exporter.
            parity: how far the converted graph lies from it.
            decoder: content digest of the one it is asked with, as it was built.

        Returns:
            Its passport, and its files by their names in the repository.

        Raises:
            ExportError: see ``build_repository``.
        """
        target, before = self.target, exported.passport
        directory = self._root / before.model
        directory.mkdir()
        path = directory / MODEL_FILES[target.engine]
        changes: dict[str, object] = {"storage": {}, "decoder": decoder}
        if target.trt is None:
            convert(exported.directory / GRAPH_FILE, exported.weights, path, target.precision)
        else:
            changes |= self._plan(exported, path, target.trt)
        passport = self._passport(
            before, parity, changes | {"files": {path.name: file_digest(path)}}
        )
        written = write_passport(passport, directory / PASSPORT_FILE)
        return passport, {path.name: path, PASSPORT_FILE: written}

    def parity(self, exported: ExportedGraph, cases: Iterable[Case]) -> tuple[ParityEntry, ...]:
        """How far a converted graph lies from the one it is made from.

        Raises:
            ParityError: further than the precision allows.
        """
        run = self.session(exported).run
        return check_parity(exported, run, cases, tolerance=self._tolerance)

    def trunk_parity(self, parts: ExportedParts) -> tuple[ParityEntry, ...]:
        """What converting the trunk alone changes in the answers of every head.

        Its own outputs are no answers: single features move further than any answer does.

        Raises:
            ParityError: further than the precision allows.
        """
        entries: list[ParityEntry] = []
        for route in parts.routes:
            tokenizer, trunk, own = route.parts
            run = Chain([tokenizer.session, self.session(trunk), own.session])
            cases = (case for case in cases_of(route.head) if case.size in TRUNK_BATCHES)
            entries += check_parity(route, run, cases, tolerance=self._tolerance)
        return tuple(entries)

    def session(self, exported: ExportedGraph) -> ort.InferenceSession:
        """A session that answers as the target does; made once."""
        if exported.name not in self._sessions:
            self._sessions[exported.name] = rounded_session(
                exported.directory / GRAPH_FILE, exported.weights, self.target.precision
            )
        return self._sessions[exported.name]

    def ensemble(
        self,
        route: Route,
        built: Sequence[Passport],
        run: Chain,
        decoder: str | None = None,
    ) -> tuple[Passport, dict[str, Path]]:
        """The passport of a head put together from built parts, measured end to end."""
        parity = check_parity(route, run, cases_of(route.head), tolerance=self._tolerance)
        digests = {part.model: part.content_digest for part in built}
        passport = self._passport(route.passport, parity, {"parts": digests, "decoder": decoder})
        directory = self._root / route.name
        directory.mkdir()
        return passport, {PASSPORT_FILE: write_passport(passport, directory / PASSPORT_FILE)}

    def _plan(self, exported: ExportedGraph, path: Path, trt: ModuleType) -> dict[str, object]:
        """Build a plan; what its passport says besides."""
        target = self.target
        plan = write_plan(
            exported.directory / GRAPH_FILE,
            exported.weights,
            path,
            make_profile(
                [plan_tensor(tensor) for tensor in exported.inputs],
                exported.axes,
                {**exported.bounds, "batch": (1, exported.rows)},
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
        self, before: Passport, parity: tuple[ParityEntry, ...], changes: dict[str, object]
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
    """The most that a graph can err from PyTorch: its reference errs as well."""
    error = entry.max_relative_error + before.max_relative_error
    return entry.model_copy(update={"max_relative_error": error})


def _build_decoder(
    builder: _Builder, head: HeadSpec, whole: Answering
) -> tuple[PlannedModel, str | None]:
    """The decoder of a head that writes text, and its content digest.

    Args:
        builder: of the repository.
        head: one with ``generation``.
        whole: the same head as it was exported.
    """
    spec, exported = exported_decoder(builder.source, head)
    cases = decoder_cases(head, whole, exported)
    passport, files = builder.graph(exported, builder.parity(exported, cases))
    config = part_config(_taken(spec, builder.target), passport)
    return PlannedModel(spec.name, config, files), passport.content_digest


def _build_fused(builder: _Builder) -> Iterator[PlannedModel]:
    for head in builder.source.heads:
        exported = whole_graph(builder.source, head)
        decoder = None
        if head.generation is not None:
            planned, decoder = _build_decoder(builder, head, exported)
            yield planned
        passport, files = builder.graph(exported, builder.parity(exported, cases_of(head)), decoder)
        yield PlannedModel(head.name, model_config(_served(head, builder.target), passport), files)


def _build_shared(builder: _Builder) -> Iterator[PlannedModel]:
    parts = ExportedParts(builder.source)
    built: dict[str, tuple[PartSpec, Passport]] = {}
    for exported, parity in _measured(builder, parts):
        name = exported.name
        passport, files = builder.graph(exported, parity)
        spec = _taken(parts.specs[name], builder.target)
        built[name] = spec, passport
        yield PlannedModel(name, part_config(spec, passport), files)
    for route in parts.routes:
        names = [part.name for part in route.parts]
        run = Chain([builder.session(part) for part in route.parts])
        decoder = None
        if route.head.generation is not None:
            planned, decoder = _build_decoder(builder, route.head, route)
            yield planned
        passport, files = builder.ensemble(route, [built[name][1] for name in names], run, decoder)
        head = _served(route.head, builder.target)
        chain = [built[name][0] for name in names]
        yield PlannedModel(head.name, ensemble_config(head, chain, passport), files)


def _measured(
    builder: _Builder, parts: ExportedParts
) -> Iterator[tuple[ExportedGraph, tuple[ParityEntry, ...]]]:
    """Every part with how far it lies from the exported one, converted."""
    for exported, cases in parts.around_the_trunk():
        yield exported, builder.parity(exported, cases)
    yield parts.trunk, builder.trunk_parity(parts)


_BUILDS: dict[Layout, Callable[[_Builder], Iterator[PlannedModel]]] = {
    Layout.FUSED: _build_fused,
    Layout.SHARED: _build_shared,
}


def _served(head: HeadSpec, target: Target) -> HeadSpec:
    """A head's spec as its engine takes it."""
    return plan_spec(head) if target.engine == "tensorrt" else head


def _taken(part: PartSpec, target: Target) -> PartSpec:
    if target.engine == "onnx":
        return part
    return part.model_copy(update={"inputs": tuple(plan_tensor(t) for t in part.inputs)})

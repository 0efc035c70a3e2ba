"""A model repository in another precision, or of TensorRT plans: built, not assembled.

The graphs are those of the checkpoint, converted; nothing is traced again. Each is compared
with PyTorch with every half value rounded as an engine rounds it (``export.rounding``).
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

from export.config import ensemble_config, model_config, part_config
from export.layouts import Layout, PlannedModel, ensemble_path, part_directory
from export.parity import Case, cases_of, check_parity
from export.parts import Composition, Cutting
from export.passport import write_passport
from export.plan_inputs import plan_spec, plan_tensor
from export.precision import convert, require_runnable
from export.profiles import make_profile
from export.repository import locked, write_repository
from export.rounding import rounded_session
from export.shared import Bench, Chain
from export.tensorrt import load_tensorrt, write_plan
from export.traceable import Traceable, traceable_route
from omnivec2.atomic import staging_directory
from omnivec2.checkpoint import Checkpoint, read_checkpoint
from omnivec2.digest import file_digest
from omnivec2.network.load import load_network
from omnivec2.parts import PartSpec
from omnivec2.passport import (
    GRAPH_FILE,
    MODEL_FILES,
    PARITY_TOLERANCES,
    PASSPORT_FILE,
    Engine,
    Passport,
    Precision,
    load_passport,
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
        ExportError: a graph cannot be converted or built, or answers too far from PyTorch.
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
        self.network = load_network(source.directory)
        self._root = root
        self._tolerance = PARITY_TOLERANCES[target.precision]

    def session(self, exported: Path) -> ort.InferenceSession:
        """A session that answers as the target does."""
        return rounded_session(
            exported / GRAPH_FILE, self.source.weights_path, self.target.precision
        )

    def graph(
        self,
        traceable: Traceable,
        cases: Iterable[Case],
        exported: Path,
        rows: int,
        session: ort.InferenceSession,
    ) -> tuple[Passport, dict[str, Path]]:
        """Convert one exported graph, and build its plan if asked for.

        Args:
            traceable: what it was traced from.
            cases: batches to compare at.
            exported: directory of the checkpoint with its graph and passport.
            rows: most rows of one batch.
            session: as ``session`` makes it.

        Returns:
            Its passport, and its files by their names in the repository.
        """
        target = self.target
        parity = check_parity(traceable, session.run, cases, tolerance=self._tolerance)
        before = load_passport(exported / PASSPORT_FILE)
        directory = self._root / before.model
        directory.mkdir()
        path = directory / MODEL_FILES[target.engine]
        changes: dict[str, object] = {"storage": {}}
        weights = self.source.weights_path
        if target.trt is None:
            convert(exported / GRAPH_FILE, weights, path, target.precision)
        else:
            limits = {**traceable.bounds, "batch": (1, rows)}
            inputs = [plan_tensor(tensor) for tensor in traceable.inputs]
            plan = write_plan(
                exported / GRAPH_FILE,
                weights,
                path,
                make_profile(inputs, traceable.axes, limits),
                target.precision,
                trt=target.trt,
                gpu=target.gpu,
                version_compatible=target.version_compatible,
                timing_cache=target.timing_cache,
            )
            changes |= {
                "layer_precisions": dict(plan.layer_precisions),
                "gpu": plan.gpu,
                "versions": before.versions | {"tensorrt": plan.tensorrt_version},
            }
        passport = self._passport(
            before, parity, changes | {"files": {path.name: file_digest(path)}}
        )
        written = write_passport(passport, directory / PASSPORT_FILE)
        return passport, {path.name: path, PASSPORT_FILE: written}

    def ensemble(
        self,
        composition: Composition,
        sessions: Sequence[ort.InferenceSession],
        parts: Sequence[Passport],
    ) -> tuple[Passport, dict[str, Path]]:
        """The passport of a head put together from built parts, measured end to end."""
        head = composition.head
        parity = check_parity(
            traceable_route(self.network, head),
            Chain(sessions),
            cases_of(head),
            tolerance=self._tolerance,
        )
        before = load_passport(ensemble_path(self.source, head))
        digests = {part.model: part.content_digest for part in parts}
        passport = self._passport(before, parity, {"parts": digests})
        directory = self._root / head.name
        directory.mkdir()
        return passport, {PASSPORT_FILE: write_passport(passport, directory / PASSPORT_FILE)}

    def _passport(
        self, before: Passport, parity: tuple[object, ...], changes: dict[str, object]
    ) -> Passport:
        digest = before.content_digest
        if digest is not None:
            # A part in another precision is another part.
            text = f"{digest} {self.target.engine} {self.target.precision}"
            digest = hashlib.sha256(text.encode()).hexdigest()
        return before.model_copy(
            update={
                "engine": self.target.engine,
                "precision": self.target.precision,
                "tolerance": self._tolerance,
                "parity": parity,
                "content_digest": digest,
                **changes,
            }
        )


def _build_fused(builder: _Builder) -> Iterator[PlannedModel]:
    for head in builder.source.heads:
        exported = builder.source.model_directory(head)
        passport, files = builder.graph(
            traceable_route(builder.network, head),
            cases_of(head),
            exported,
            head.max_batch_size,
            builder.session(exported),
        )
        yield PlannedModel(head.name, model_config(_served(head, builder.target), passport), files)


def _build_shared(builder: _Builder) -> Iterator[PlannedModel]:
    cutting = Cutting(builder.network, builder.source.heads)
    compositions = list(cutting.compositions.values())
    sessions: dict[str, ort.InferenceSession] = {}
    built: dict[str, tuple[PartSpec, Passport]] = {}
    for part, cases in Bench(compositions).parts():
        name = part.spec.name
        exported = part_directory(builder.source, name)
        sessions[name] = builder.session(exported)
        passport, files = builder.graph(
            part.traceable, cases(), exported, part.spec.max_batch_size, sessions[name]
        )
        spec = _taken(part.spec, builder.target)
        built[name] = spec, passport
        yield PlannedModel(name, part_config(spec, passport), files)
    for composition in compositions:
        names = [part.spec.name for part in composition.parts]
        passports = [built[name][1] for name in names]
        passport, files = builder.ensemble(
            composition, [sessions[name] for name in names], passports
        )
        head = _served(composition.head, builder.target)
        chain = [built[name][0] for name in names]
        yield PlannedModel(head.name, ensemble_config(head, chain, passport), files)


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

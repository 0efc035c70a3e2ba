"""Export of the shared layout: its parts, and every head put together from them.

Each part is compared with PyTorch on what really reaches it: the tokens and features of
random inputs of the modalities it serves. Every head is then compared end to end, parts
one behind the other against the network in one piece, where nothing is padded.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import onnxruntime as ort
import torch

from export.graphs.export_graph import Exporter, ExportResult
from export.graphs.exported_graphs import TRUNK_BATCHES, Chain
from export.graphs.network_parts import Composition, Cutting, Part
from export.graphs.traceable import Array, Batch, traceable_route
from export.parity.parity_gate import Case, cases_of, check_parity
from export.parity.random_samples import longest_input
from export.repository.layouts import PART_FILE, decoder_digest, ensemble_path, part_directory
from omnivec2.atomic_files import link_or_copy, write_file
from omnivec2.checkpoint import Checkpoint
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.passport import (
    GRAPH_FILE,
    PASSPORT_FILE,
    WEIGHTS_FILE,
    ParityEntry,
    load_passport,
)
from omnivec2.spec import HeadSpec


def export_shared(
    network: OmniVec2,
    exporter: Exporter,
    heads: Sequence[HeadSpec],
    on_result: Callable[[ExportResult], None],
) -> None:
    """Export the parts that some heads of a checkpoint need, then the heads as ensembles.

    Args:
        network: loaded from the exporter's checkpoint, in eval mode.
        exporter: where graphs go.
        heads: which heads; a head whose parts fail is not exported.
        on_result: told every result as it comes.
    """
    # All heads are cut, because how parts are named depends on all of them.
    compositions = Cutting(network, exporter.source.heads).compositions
    wanted = [compositions[head.route] for head in heads]
    bench = Bench(wanted)
    done: dict[str, bool] = {}
    for part, cases in bench.parts():
        result = export_part(exporter, part, cases())
        done[part.spec.name] = result.ok
        on_result(result)
    with _sessions(exporter.source) as session:
        for composition in wanted:
            if all(done[part.spec.name] for part in composition.parts):
                on_result(_certify(network, exporter, composition, session))


def export_part(exporter: Exporter, part: Part, cases: Iterator[Case]) -> ExportResult:
    """Export one part into the checkpoint, its spec beside its graph."""
    target = part_directory(exporter.source, part.spec.name)
    target.mkdir(parents=True, exist_ok=True)
    spec = part.spec.model_dump_json()
    write_file(target / PART_FILE, f"{part.spec.model_dump_json(indent=1)}\n".encode())
    return exporter.export(part.traceable, part.spec.name, cases, target, spec)


class Bench:
    """Parts in the order they run, with the batches that reach them."""

    def __init__(self, compositions: Sequence[Composition]) -> None:
        self._compositions = compositions
        self._tokens: dict[str, list[tuple[Case, Batch]]] = {}

    def parts(self) -> Iterator[tuple[Part, Callable[[], Iterator[Case]]]]:
        """Every distinct part once: tokenizers, the trunk, heads."""
        # Each is compared on the longest inputs that any of its heads takes.
        longest = sorted(self._compositions, key=lambda c: longest_input(c.head))
        tokenizers = {c.tokenizer.spec.name: c for c in longest}
        for composition in tokenizers.values():
            yield composition.tokenizer, lambda c=composition: cases_of(c.head)  # type: ignore[misc]
        yield self._compositions[0].trunk, lambda: self._of_trunk(list(tokenizers.values()))
        heads: dict[str, list[Composition]] = {}
        for composition in self._compositions:
            heads.setdefault(composition.own.spec.name, []).append(composition)
        for users in heads.values():
            yield users[0].own, lambda users=users: self._of_head(users)  # type: ignore[misc]

    def _tokenized(self, composition: Composition) -> list[tuple[Case, Batch]]:
        """Each case with all tensors up to the features; computed once per tokenizer."""
        name = composition.tokenizer.spec.name
        if name not in self._tokens:
            self._tokens[name] = [
                (case, _behind(composition, case.batch)) for case in cases_of(composition.head)
            ]
        return self._tokens[name]

    def _of_trunk(self, compositions: Sequence[Composition]) -> Iterator[Case]:
        for composition in compositions:
            for case, tensors in self._tokenized(composition):
                if case.size in TRUNK_BATCHES:
                    yield _case(composition.trunk, case, tensors)

    def _of_head(self, users: Sequence[Composition]) -> Iterator[Case]:
        for composition in users:
            for case, tensors in self._tokenized(composition):
                yield _case(composition.own, case, tensors)


def _behind(composition: Composition, batch: Batch) -> Batch:
    tensors: dict[str, Array] = {**composition.tokenizer.traceable.answer(batch)}
    return tensors | composition.trunk.traceable.answer(tensors)


def _case(part: Part, case: Case, tensors: Batch) -> Case:
    return replace(case, batch={tensor.name: tensors[tensor.name] for tensor in part.spec.inputs})


def _certify(
    network: OmniVec2,
    exporter: Exporter,
    composition: Composition,
    session: Callable[[str], ort.InferenceSession],
) -> ExportResult:
    head = composition.head
    names = [part.spec.name for part in composition.parts]

    def measure() -> tuple[ParityEntry, ...]:
        chain = Chain([session(name) for name in names])
        return check_parity(traceable_route(network, head), chain, cases_of(head))

    digests = {name: _content_digest(exporter.source, name) for name in names}
    return exporter.certify(
        f"{head.route} in parts",
        measure,
        head.name,
        digests,
        ensemble_path(exporter.source, head),
        decoder_digest(exporter.source, head),
    )


def _content_digest(source: Checkpoint, name: str) -> str:
    digest = load_passport(part_directory(source, name) / PASSPORT_FILE).content_digest
    assert digest is not None, "every part is exported with one"
    return digest


@contextmanager
def _sessions(source: Checkpoint) -> Iterator[Callable[[str], ort.InferenceSession]]:
    """Sessions on exported parts by name, each made once."""
    made: dict[str, ort.InferenceSession] = {}
    with tempfile.TemporaryDirectory(dir=source.directory, prefix=".export-") as directory:
        root = Path(directory)
        link_or_copy(source.weights_path, root / WEIGHTS_FILE)

        def session(name: str) -> ort.InferenceSession:
            if name not in made:
                graph = root / f"{name}.onnx"
                link_or_copy(part_directory(source, name) / GRAPH_FILE, graph)
                made[name] = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
            return made[name]

        with torch.inference_mode():
            yield session

"""Export of the shared layout: its parts, and every head put together from them.

Each part is compared with PyTorch on what really reaches it: the tokens and features of
random inputs of the modalities it serves. Every head is then compared end to end, the parts
one after the other against the network in one piece, where nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace

import onnxruntime as ort
import torch

from export.exported_checkpoint import (
    PART_FILE,
    ensemble_path,
    part_directory,
    read_exported_checkpoint,
)
from export.graphs.export_graph import Exporter, ExportResult, directory_with_weights
from export.graphs.exported_graphs import TRUNK_BATCHES, Chain
from export.graphs.network_parts import NetworkPart, PartitionedHead, PartitionedNetwork
from export.graphs.traceable import traceable_head
from export.parity.parity_gate import Case, cases_of, check_parity
from export.parity.random_samples import longest_input
from export.repository.layouts import current_part
from omnivec2.arrays import Array, Batch
from omnivec2.atomic_files import link_or_copy, write_file
from omnivec2.checkpoint import Checkpoint
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.passport import GRAPH_FILE, Dependencies, ParityEntry, Passport
from omnivec2.spec import HeadSpec


def export_shared(
    network: OmniVec2,
    exporter: Exporter,
    heads: Sequence[HeadSpec],
    on_result: Callable[[ExportResult], None],
    decoders: Mapping[str, Passport] | None = None,
    *,
    force: bool = True,
) -> None:
    """Export the parts that some heads of a checkpoint need, then the heads as ensembles.

    Args:
        network: The network of the exporter's checkpoint, in eval mode.
        exporter: The exporter of the checkpoint.
        heads: The heads to export; a head whose parts fail is not exported.
        on_result: A callback for every result as it comes.
        decoders: A map from the names of heads that write text to the passports of their
            decoders, which are exported already.
        force: Whether parts that are up to date are exported, too.
    """
    # All heads are partitioned, because how parts are named depends on all of them.
    partitioned = PartitionedNetwork(network, exporter.checkpoint.heads).heads
    wanted = [partitioned[head.route] for head in heads]
    passports: dict[str, Passport] = {}
    source = read_exported_checkpoint(exporter.checkpoint.directory)
    for part, cases in PartCases(wanted).parts():
        if (current := None if force else current_part(source, part.spec)) is not None:
            passports[part.spec.name] = current
            continue
        result = export_part(exporter, part, cases())
        if result.passport is not None:
            passports[part.spec.name] = result.passport
        on_result(result)
    with _sessions(exporter.checkpoint) as session:
        for head in wanted:
            if all(part.spec.name in passports for part in head.parts):
                decoder = (decoders or {}).get(head.spec.name)
                dependencies = Dependencies(
                    {
                        part.spec.name: _content_digest(passports[part.spec.name])
                        for part in head.parts
                    },
                    _content_digest(decoder) if decoder else None,
                )
                on_result(_export_ensemble(network, exporter, head, session, dependencies))


def export_part(exporter: Exporter, part: NetworkPart, cases: Iterator[Case]) -> ExportResult:
    """Export one part into the checkpoint, its spec beside its graph."""
    target = part_directory(exporter.checkpoint, part.spec.name)
    target.mkdir(parents=True, exist_ok=True)
    spec = part.spec.model_dump_json()
    write_file(target / PART_FILE, f"{part.spec.model_dump_json(indent=1)}\n".encode())
    return exporter.export(part.traceable, part.spec.name, cases, target, spec)


class PartCases:
    """Parts in the order they run, with the batches that reach them.

    Args:
        heads: The heads whose parts are compared.
    """

    def __init__(self, heads: Sequence[PartitionedHead]) -> None:
        self._heads = heads
        self._tensors: dict[str, list[tuple[Case, Batch]]] = {}

    def parts(self) -> Iterator[tuple[NetworkPart, Callable[[], Iterator[Case]]]]:
        """Yield every distinct part once: tokenizers, the trunk, heads."""
        # Each is compared on the longest inputs that any of its heads takes.
        longest = sorted(self._heads, key=lambda head: longest_input(head.spec))
        tokenizers = {head.tokenizer.spec.name: head for head in longest}
        for head in tokenizers.values():
            yield head.tokenizer, lambda head=head: cases_of(head.spec)  # type: ignore[misc]
        yield self._heads[0].trunk, lambda: self._trunk_cases(list(tokenizers.values()))
        users: dict[str, list[PartitionedHead]] = {}
        for head in self._heads:
            users.setdefault(head.own.spec.name, []).append(head)
        for sharing in users.values():
            yield sharing[0].own, lambda sharing=sharing: self._head_cases(sharing)  # type: ignore[misc]

    def _tensors_of(self, head: PartitionedHead) -> list[tuple[Case, Batch]]:
        """Return each case with all tensors up to the features; computed once per tokenizer."""
        name = head.tokenizer.spec.name
        if name not in self._tensors:
            self._tensors[name] = [
                (case, _run_through_trunk(head, case.batch)) for case in cases_of(head.spec)
            ]
        return self._tensors[name]

    def _trunk_cases(self, heads: Sequence[PartitionedHead]) -> Iterator[Case]:
        for head in heads:
            for case, tensors in self._tensors_of(head):
                if case.size in TRUNK_BATCHES:
                    yield _case(head.trunk, case, tensors)

    def _head_cases(self, heads: Sequence[PartitionedHead]) -> Iterator[Case]:
        for head in heads:
            for case, tensors in self._tensors_of(head):
                yield _case(head.own, case, tensors)


def _run_through_trunk(head: PartitionedHead, batch: Batch) -> Batch:
    tensors: dict[str, Array] = {**head.tokenizer.traceable.answer(batch)}
    return tensors | head.trunk.traceable.answer(tensors)


def _case(part: NetworkPart, case: Case, tensors: Batch) -> Case:
    return replace(case, batch={tensor.name: tensors[tensor.name] for tensor in part.spec.inputs})


def _export_ensemble(
    network: OmniVec2,
    exporter: Exporter,
    head: PartitionedHead,
    session: Callable[[str], ort.InferenceSession],
    dependencies: Dependencies,
) -> ExportResult:
    def measure() -> tuple[ParityEntry, ...]:
        chain = Chain([session(part.spec.name) for part in head.parts])
        return check_parity(traceable_head(network, head.spec), chain, cases_of(head.spec))

    return exporter.certify(
        f"{head.spec.route} in parts",
        measure,
        head.spec.name,
        dependencies,
        ensemble_path(exporter.checkpoint, head.spec),
    )


def _content_digest(passport: Passport) -> str:
    assert passport.content_digest is not None, "every part is exported with one"
    return passport.content_digest


@contextmanager
def _sessions(checkpoint: Checkpoint) -> Iterator[Callable[[str], ort.InferenceSession]]:
    """Yield a function that opens sessions on exported parts by name, each once."""
    opened: dict[str, ort.InferenceSession] = {}
    with directory_with_weights(checkpoint) as root:

        def session(name: str) -> ort.InferenceSession:
            if name not in opened:
                graph = root / f"{name}.onnx"
                link_or_copy(part_directory(checkpoint, name) / GRAPH_FILE, graph)
                opened[name] = ort.InferenceSession(graph, providers=["CPUExecutionProvider"])
            return opened[name]

        with torch.inference_mode():
            yield session

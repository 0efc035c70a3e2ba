"""A head that writes in checkpoints and repositories: its decoder comes, goes and is compared."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tensorrt_rtx_bindings as trt

from export.exported_checkpoint import part_directory, read_exported_checkpoint
from export.graphs.export_graph import ExportResult
from export.parity.decoder_searches import decoder_axes
from export.repository.build_target import make_target
from export.repository.conversion import build_repository
from export.repository.layouts import Layout, is_current, plan
from export.tensorrt.optimization_profiles import make_profile
from export.tensorrt.plan_builder import write_plan
from export.tensorrt.plan_inputs import plan_tensor
from omnivec2.checkpoint import read_checkpoint
from omnivec2.errors import PassportError
from omnivec2.passport import GRAPH_FILE, PASSPORT_FILE, Precision, load_passport
from omnivec2.spec import HeadSpec
from rollout.change_heads import add_head, remove_head
from service.runtimes.embedded.repository_reader import read_repository
from tests.support.checkpoints.exported_writer import DECODER, ExportedWriter
from tests.support.networks.writing import ROUTE

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def checkpoint(writer: ExportedWriter) -> Path:
    return writer.checkpoint


@pytest.fixture(scope="module")
def head(writer: ExportedWriter) -> HeadSpec:
    return writer.head


@pytest.fixture(scope="module")
def results(writer: ExportedWriter) -> dict[str, ExportResult]:
    return writer.results


@pytest.fixture(scope="module")
def repositories(writer: ExportedWriter) -> dict[Layout, Path]:
    return writer.repositories


def test_the_decoder_is_compared_over_steps_lengths_batches_and_beams(
    results: dict[str, ExportResult],
) -> None:
    parity = results[DECODER].parity
    assert {entry.lengths["step"] for entry in parity} == {0, 1, 7, 17}
    assert {entry.lengths["places"] for entry in parity} == {16, 32}
    assert {entry.lengths["beams"] for entry in parity} == {1, 4}
    assert {entry.lengths["tokens"] for entry in parity} == {2, 19, 48}
    assert {entry.batch_size for entry in parity} == {1, 3}
    assert results[DECODER].graph_bytes < 60_000


def test_a_tokenizer_is_traced_for_the_longest_text_of_its_heads(
    results: dict[str, ExportResult],
) -> None:
    assert {e.lengths["tokens"] for e in results["tokenizer_text"].parity} == {2, 19, 48}


def test_both_layouts_hold_the_same_decoder_before_the_head(
    checkpoint: Path, repositories: dict[Layout, Path]
) -> None:
    source = read_exported_checkpoint(checkpoint)
    for layout, root in repositories.items():
        names = [model.name for model in plan(source, layout)]
        assert names.index(DECODER) < names.index("text_summarization")
        passports = [load_passport(root / n / "1" / PASSPORT_FILE) for n in (DECODER, names[-1])]
        assert passports[1].model == "text_summarization"
        assert passports[1].decoder == passports[0].content_digest


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_decoder_is_built_by_nvidias_parser(
    checkpoint: Path,
    results: dict[str, ExportResult],
    head: HeadSpec,
    precision: Precision,
    tmp_path: Path,
) -> None:
    assert results[DECODER].ok
    assert head.generation is not None
    source = read_checkpoint(checkpoint)
    axes, bounds = decoder_axes(head.generation)
    inputs = [plan_tensor(tensor) for tensor in head.generation.inputs]
    profile = make_profile(inputs, axes, {**bounds, "batch": (1, 8)})
    graph = part_directory(source, DECODER) / GRAPH_FILE
    plan = write_plan(
        graph, source.weights_path, tmp_path / "model.plan", profile, precision, trt=trt
    )
    assert ("HALF" in plan.layer_precisions) == (precision == "fp16")


@pytest.fixture(scope="module")
def in_half_precision(
    checkpoint: Path, results: dict[str, ExportResult], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The shared repository, whose graphs compute in half precision."""
    assert results[DECODER].ok
    root = tmp_path_factory.mktemp("half")
    source = read_exported_checkpoint(checkpoint)
    build_repository(source, root, Layout.SHARED, make_target("onnx", "fp16"))
    return root


def test_a_repository_in_half_precision_holds_the_decoder_too(
    in_half_precision: Path, head: HeadSpec
) -> None:
    stored = read_repository(in_half_precision)
    assert not stored.refused
    assert stored.models[head.name].graphs[-1].name == DECODER
    assert load_passport(in_half_precision / DECODER / "1" / PASSPORT_FILE).precision == "fp16"


def test_a_head_beside_another_decoder_is_refused(
    in_half_precision: Path, repositories: dict[Layout, Path], tmp_path: Path
) -> None:
    root = tmp_path / "repository"
    shutil.copytree(repositories[Layout.FUSED], root)
    shutil.rmtree(root / DECODER)
    # In another precision it is another decoder, as one of other weights is.
    shutil.copytree(in_half_precision / DECODER, root / DECODER)
    found = read_repository(root)
    assert sorted(found.models) == ["text_embedding"]
    assert "another decoder" in found.refused["text_summarization"]


def test_a_checkpoint_whose_decoder_is_gone_is_not_up_to_date(
    checkpoint: Path, results: dict[str, ExportResult], tmp_path: Path, head: HeadSpec
) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, copy)
    source = read_exported_checkpoint(copy)
    assert all(is_current(source, head, layout) for layout in Layout)
    shutil.rmtree(part_directory(source.checkpoint, DECODER))
    source = read_exported_checkpoint(copy)
    assert not any(is_current(source, head, layout) for layout in Layout)
    with pytest.raises(PassportError, match="decoder"):
        plan(source, Layout.FUSED, [head])


@pytest.mark.parametrize("layout", list(Layout))
def test_a_head_comes_and_goes_with_its_decoder(
    checkpoint: Path, repositories: dict[Layout, Path], tmp_path: Path, layout: Layout
) -> None:
    root = tmp_path / "repository"
    shutil.copytree(repositories[layout], root)
    gone = remove_head(ROUTE, root)
    assert DECODER in gone
    assert not (root / DECODER).exists()
    assert sorted(read_repository(root).models) == ["text_embedding"]
    added = add_head(checkpoint, ROUTE, root)
    assert added.written[DECODER] == 1
    again = add_head(checkpoint, ROUTE, root)
    assert DECODER not in again.written
    assert again.version == 2
    stored = read_repository(root).models["text_summarization"]
    assert stored.spec.generation is not None
    assert stored.spec.generation.version == "1"
    assert stored.graphs[-1].name == DECODER

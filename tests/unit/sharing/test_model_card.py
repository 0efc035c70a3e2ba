"""The model card: metadata that the hub reads, and tables from the head specs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from omnivec2.checkpoint import read_checkpoint
from omnivec2.sharing.model_card import write_card
from tests.support.checkpoints.shared_checkpoints import small_checkpoint
from tests.support.documents import ROOT

REFERENCE = ROOT / "checkpoints" / "reference"


def metadata_of(text: str) -> ModelCardData:
    """The metadata as the hub's library reads them; wrong ones are errors."""
    data = ModelCard(text, ignore_metadata_errors=False).data
    assert isinstance(data, ModelCardData)
    return data


def test_the_hubs_library_reads_the_metadata_and_the_figures(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(small_checkpoint(tmp_path / "mine"))
    data = metadata_of(write_card(checkpoint, "Mine", "apache-2.0"))
    assert data.license == "apache-2.0"
    assert data.library_name == "omnivec2"
    assert {"image", "text", "onnx"} <= set(data.tags or ())
    results = data.eval_results
    assert results is not None
    assert {(r.task_type, r.task_name, r.dataset_name, r.metric_value) for r in results} == {
        ("object-detection", "image/detection", "made up", 0.5),
        ("text-classification", "text/sentiment", "made up", 0.5),
    }


def test_experimental_heads_are_marked(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(small_checkpoint(tmp_path / "mine"))
    first, *others = checkpoint.heads
    marked = replace(checkpoint, heads=(first.model_copy(update={"experimental": True}), *others))
    assert write_card(checkpoint, "Mine", None).count("Experimental: ") == 0
    assert write_card(marked, "Mine", None).count("Experimental: ") == 1


def test_the_card_of_the_network_that_ships_has_every_head_figure_licence_and_limit() -> None:
    checkpoint = read_checkpoint(REFERENCE)
    text = write_card(checkpoint, "OmniVec2 reference")
    assert checkpoint.digest in text
    for head in checkpoint.heads:
        assert f"`{head.route}`" in text
        assert all(f"{metric.value:.4g}" in text for metric in head.metrics)
        assert all(source.licence.replace("<", "&lt;") in text for source in head.data)
    assert "license: other" in text
    assert "20,971,520 bytes" in text
    assert len(metadata_of(text).eval_results or ()) == sum(
        len(head.metrics) for head in checkpoint.heads
    )


def test_a_head_without_figures_or_data_is_said_to_have_none(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(small_checkpoint(tmp_path / "mine"))
    bare = [head.model_copy(update={"metrics": (), "data": ()}) for head in checkpoint.heads]
    text = write_card(
        type(checkpoint)(checkpoint.directory, checkpoint.config, tuple(bare), checkpoint.digest),
        "Mine",
    )
    assert "Not measured: `image/detection`, `text/sentiment`." in text
    assert "the training data are not stated" in text
    assert metadata_of(text).eval_results is None


def test_labels_cannot_break_the_table(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(small_checkpoint(tmp_path / "mine"))
    head = checkpoint.heads[1].model_copy(update={"labels": ("a|b", "<script>\nx")})
    text = write_card(
        type(checkpoint)(checkpoint.directory, checkpoint.config, (head,), checkpoint.digest),
        "Mine",
    )
    assert "a\\|b, &lt;script> x" in text

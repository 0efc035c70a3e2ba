"""Graphs of an earlier export, taken over by a checkpoint that another head was added to."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from export.export_run import export_checkpoint, require_ok
from export.exported_checkpoint import read_exported_checkpoint
from export.graphs.carried_graphs import carry_graphs
from export.repository.assembly import assemble
from export.repository.layouts import Layout, is_current
from omnivec2.checkpoint import load_stored_tensors, read_checkpoint, write_checkpoint
from omnivec2.digests import file_digest
from omnivec2.familiarity.training_reference import REFERENCE_FILE
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2, module_name
from omnivec2.passport import verify_passport
from omnivec2.spec import TaskFamily, TensorSpec
from tests.support.checkpoints.sensor_export import EXPORTED, copy_of_one_head

pytestmark = pytest.mark.long

ROUTE = EXPORTED
ADDED = "imu/another"


@pytest.fixture(scope="module")
def earlier(sensor_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of one head, exported in both layouts."""
    directory = copy_of_one_head(sensor_export, tmp_path_factory.mktemp("earlier") / "checkpoint")
    require_ok(export_checkpoint(directory, layouts=list(Layout), force=False))
    return directory


def with_another_head(earlier: Path, directory: Path, *, changed: str = "") -> Path:
    """Write the checkpoint with a head more, whose weights come first in the file."""
    before = read_checkpoint(earlier)
    added = HeadConfig(
        family=TaskFamily.CLASSIFICATION, tokenizer="imu", layers="fc", hidden=4, outputs=2
    )
    config = NetworkConfig.model_validate(before.config)
    config = config.model_copy(update={"heads": {**config.heads, ADDED: added}})
    own = f"heads.{module_name(ADDED)}."
    tensors = {
        name: value.numpy()
        for name, value in OmniVec2(config).state_dict().items()
        if name.startswith(own)
    }
    stored = dict(load_stored_tensors(earlier))
    if changed:
        # The bias of keys adds the same to every score, so no graph reads it.
        read = ("query.bias", "project.bias")
        name = next(key for key in stored if key.startswith(changed) and key.endswith(read))
        stored[name] = stored[name] + np.ones(1, stored[name].dtype)
    [head] = before.heads
    another = head.model_copy(
        update={
            "task": "another",
            "labels": ("a", "b"),
            "outputs": (TensorSpec(name="logits", dtype="float32", shape=(2,)),),
        }
    )
    write_checkpoint(
        directory, config=config.model_dump(mode="json"), tensors=tensors, stored=stored,
        heads=[head, another],
    )  # fmt: skip
    return directory


def answers(checkpoint: Path, folder: Path) -> list[np.ndarray]:
    """Return what the graph in one piece answers."""
    [head] = [head for head in read_checkpoint(checkpoint).heads if head.route == ROUTE]
    target = folder / "1"
    target.mkdir(parents=True)
    source = read_exported_checkpoint(checkpoint)
    for name, path in source.graph_files(source.checkpoint.model_directory(head)).items():
        shutil.copyfile(path, target / name)
    session = ort.InferenceSession(target / "model.onnx", providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    batch = {
        tensor.name: generator.normal(size=(2, *tensor.shape)).astype(tensor.dtype)
        for tensor in head.inputs
    }
    return [np.asarray(output) for output in session.run(None, batch)]


def test_graphs_of_unchanged_heads_come_along_and_answer_the_same(
    earlier: Path, tmp_path: Path
) -> None:
    later = with_another_head(earlier, tmp_path / "later")
    assert read_checkpoint(later).digest != read_checkpoint(earlier).digest
    assert carry_graphs(earlier, later) == [ROUTE]
    source = read_exported_checkpoint(later)
    heads = {head.route: head for head in source.heads}
    for layout in Layout:
        assert is_current(source, heads[ROUTE], layout)
        assert not is_current(source, heads[ADDED], layout)
    for before, after in zip(
        answers(earlier, tmp_path / "a"), answers(later, tmp_path / "b"), strict=True
    ):
        np.testing.assert_array_equal(before, after)
    results = export_checkpoint(later, layouts=list(Layout), force=False)
    require_ok(results)
    names = [result.name for result in results]
    assert ADDED in names
    assert not {ROUTE, "trunk", "tokenizer_imu"} & set(names)
    for layout in Layout:
        repository = tmp_path / layout
        assemble(later, repository, layout)
        for passport in repository.glob("*/1/passport.json"):
            verify_passport(passport.parent)


@pytest.mark.parametrize("changed", ["trunk.", "tokenizers.", "heads."])
def test_a_head_that_reads_a_changed_weight_is_exported_anew(
    earlier: Path, tmp_path: Path, changed: str
) -> None:
    assert carry_graphs(earlier, with_another_head(earlier, tmp_path / "x", changed=changed)) == []


def test_the_record_of_training_data_comes_along_with_its_head(
    earlier: Path, tmp_path: Path
) -> None:
    of_head = Path("models") / "imu_activity" / REFERENCE_FILE
    copied = shutil.copytree(earlier, tmp_path / "copied")
    (copied / of_head).write_text("a record")
    later = with_another_head(copied, tmp_path / "later")
    carry_graphs(copied, later)
    assert (later / of_head).read_text() == "a record"
    changed = with_another_head(copied, tmp_path / "changed", changed="heads.")
    carry_graphs(copied, changed)
    assert not (changed / of_head).exists()


def test_a_head_with_another_spec_or_an_altered_graph_is_exported_anew(
    earlier: Path, tmp_path: Path
) -> None:
    later = with_another_head(earlier, tmp_path / "later")
    path = later / "models" / "imu_activity" / "head.json"
    text = path.read_text()
    path.write_text(text.replace('"max_batch_size": ', '"max_batch_size": 1'))
    assert carry_graphs(earlier, later) == []
    path.write_text(text)
    altered = shutil.copytree(earlier, tmp_path / "altered")
    with (altered / "models" / "imu_activity" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert carry_graphs(altered, later) == []


def test_names_of_nodes_stay_behind_but_in_parts_which_are_known_by_their_bytes(
    earlier: Path, tmp_path: Path
) -> None:
    named = shutil.copytree(earlier, tmp_path / "named")
    for directory in (named / "models" / "imu_activity", named / "parts" / "trunk"):
        path, passport = directory / "model.onnx", directory / "passport.json"
        before = file_digest(path)
        graph = onnx.load(path, load_external_data=False)
        for number, node in enumerate(graph.graph.node):
            node.name = f"node_{number}"
        path.write_bytes(graph.SerializeToString())
        passport.write_text(passport.read_text().replace(before, file_digest(path)))
    later = with_another_head(earlier, tmp_path / "later")
    assert carry_graphs(named, later) == [ROUTE]
    whole, part = (
        onnx.load(later / kind / name / "model.onnx", load_external_data=False)
        for kind, name in (("models", "imu_activity"), ("parts", "trunk"))
    )
    assert not any(node.name for node in whole.graph.node)
    assert all(node.name for node in part.graph.node)

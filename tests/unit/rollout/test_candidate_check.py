"""What a head must show before requests reach it: shapes, agreement, and answers of a server."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx.external_data_helper import set_external_data

from omnivec2.arrays import Array, Batch
from omnivec2.errors import ParityError
from omnivec2.spec import HeadSpec, TensorSpec
from rollout.candidate_check import BATCH_SIZES, CandidateCheck, ServedGraph
from tests.support.checkpoints.tiny_exports import decoder_part, writer_graph
from tests.support.model_repositories.tiny_graphs import (
    head_part,
    tiny_graph,
    tokenizer_part,
    trunk_part,
)
from tests.support.model_repositories.tiny_models import classification
from tests.support.networks.writing import head_that_writes

HEAD = classification("imu/activity", "walking", "sitting")
WRITER = head_that_writes(range(100, 110))
NOWHERE = Path("nowhere")


@dataclass
class Server:
    """Runs graphs of a folder by name, and multiplies what it answers by a factor."""

    folder: Path
    factor: float = 1.0
    calls: list[tuple[str, int, int]] = field(default_factory=list)
    address: str = "made-up:8001"

    def infer(self, name: str, version: int, inputs: Batch, outputs: Sequence[str]) -> list[Array]:
        self.calls.append((name, version, len(next(iter(inputs.values())))))
        session = ort.InferenceSession(self.folder / name / "model.onnx")
        answers = session.run(list(outputs), dict(inputs))
        return [np.asarray(answer * np.float32(self.factor)) for answer in answers]


def write(folder: Path, graph: onnx.ModelProto, name: str, version: int = 1) -> ServedGraph:
    (folder / name).mkdir()
    onnx.save(graph, folder / name / "model.onnx")
    return ServedGraph(name, version, folder / name)


def write_whole(folder: Path, head: HeadSpec = HEAD, scale: float = 1.0) -> ServedGraph:
    return write(folder, tiny_graph(head, scale), "whole")


def write_parts(folder: Path) -> list[ServedGraph]:
    parts = [tokenizer_part("tokenizer", HEAD), trunk_part(), head_part(HEAD)]
    return [write(folder, graph, spec.name) for spec, graph in parts]


# --- here, with ONNX Runtime --------------------------------------------------------------


def test_parts_that_answer_like_the_head_in_one_piece_pass(tmp_path: Path) -> None:
    whole = write_whole(tmp_path)
    check = CandidateCheck(HEAD, write_parts(tmp_path), whole.directory)
    assert check.in_parts
    assert 0 <= check.error < 1e-5


def test_the_weights_of_the_parts_are_those_of_the_head_in_one_piece(tmp_path: Path) -> None:
    whole = write_whole(tmp_path)
    graph = onnx.load(whole.directory / "model.onnx")
    [weight] = [each for each in graph.graph.initializer if each.name == "logits_weight"]
    set_external_data(weight, "weights.safetensors")
    onnx.save(graph, whole.directory / "model.onnx")
    parts = write_parts(tmp_path)
    weights = (whole.directory / "weights.safetensors").rename(
        parts[-1].directory / "weights.safetensors"
    )
    assert CandidateCheck(HEAD, parts, whole.directory).error < 1e-5
    assert weights.exists()
    assert not (whole.directory / "weights.safetensors").exists()


def test_a_head_whose_graph_in_one_piece_is_not_at_hand_is_not_compared_with_it(
    tmp_path: Path,
) -> None:
    assert CandidateCheck(HEAD, write_parts(tmp_path), NOWHERE).error == 0.0


def test_parts_that_answer_unlike_the_head_in_one_piece_are_refused(tmp_path: Path) -> None:
    whole = write_whole(tmp_path, scale=1.1)
    message = r"imu/activity: with the parts that are deployed it answers .* by 9\.1e-02"
    with pytest.raises(ParityError, match=message):
        CandidateCheck(HEAD, write_parts(tmp_path), whole.directory)


def test_a_part_that_lacks_what_it_takes_is_named_with_the_tensors(tmp_path: Path) -> None:
    _, trunk, _ = write_parts(tmp_path)
    with pytest.raises(
        ParityError, match="trunk: takes tokens, mask, which no graph before it gives"
    ):
        CandidateCheck(HEAD, [trunk], NOWHERE)


def test_a_graph_that_cannot_be_loaded_is_reported_with_the_head(tmp_path: Path) -> None:
    location = write_whole(tmp_path)
    (location.directory / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(ParityError, match="imu/activity: cannot be run: "):
        CandidateCheck(HEAD, [location], NOWHERE)


def test_a_graph_of_other_input_shapes_cannot_be_run(tmp_path: Path) -> None:
    short = HEAD.model_copy(
        update={"inputs": (TensorSpec(name="signal", dtype="float32", shape=(8, 9)),)}
    )
    with pytest.raises(ParityError, match=r"imu/activity: cannot be run: .*invalid dimensions"):
        CandidateCheck(HEAD, [write_whole(tmp_path, short)], NOWHERE)


def test_outputs_of_another_shape_than_the_spec_names_are_refused(tmp_path: Path) -> None:
    other = classification("imu/activity", "walking", "sitting", "lying")
    with pytest.raises(ParityError, match=r"logits has shape \(1, 3\), expected \(1, 2\)"):
        CandidateCheck(HEAD, [write_whole(tmp_path, other)], NOWHERE)


def test_an_output_that_is_missing_is_refused(tmp_path: Path) -> None:
    other = HEAD.model_copy(
        update={"outputs": (TensorSpec(name="scores", dtype="float32", shape=(2,)),)}
    )
    with pytest.raises(ParityError, match=r"logits has shape None, expected \(1, 2\)"):
        CandidateCheck(HEAD, [write_whole(tmp_path, other)], NOWHERE)


def test_a_decoder_of_other_tensors_is_refused(tmp_path: Path) -> None:
    writer = write(tmp_path, writer_graph(), "writer")
    trunk = write(tmp_path, trunk_part()[1], "decoder")
    message = "decoder: its tensors are not those of text/summarization"
    with pytest.raises(ParityError, match=message):
        CandidateCheck(WRITER, [writer], NOWHERE, trunk)


# --- on a server --------------------------------------------------------------------------


def test_a_server_that_answers_alike_passes_at_every_batch_size(tmp_path: Path) -> None:
    server = Server(tmp_path)
    check = CandidateCheck(HEAD, [write_whole(tmp_path)], NOWHERE)
    assert not check.in_parts
    check.compare(server, "whole", 7)
    assert server.calls == [("whole", 7, size) for size in BATCH_SIZES]


def test_a_server_that_answers_otherwise_is_named_with_the_output(tmp_path: Path) -> None:
    check = CandidateCheck(HEAD, [write_whole(tmp_path)], NOWHERE)
    message = r"whole 7 on made-up:8001 answers unlike here: logits differs by 1\.0e-02"
    with pytest.raises(ParityError, match=message):
        check.compare(Server(tmp_path, 1.01), "whole", 7)


def test_answers_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    check = CandidateCheck(HEAD, [write_whole(tmp_path)], NOWHERE)
    with pytest.raises(ParityError, match="logits differs by inf"):
        check.compare(Server(tmp_path, float("nan")), "whole", 1)


def test_every_part_is_compared_on_what_reaches_it_here(tmp_path: Path) -> None:
    server = Server(tmp_path)
    parts = write_parts(tmp_path)
    check = CandidateCheck(HEAD, parts, NOWHERE)
    check.compare_parts(server)
    assert server.calls == [(part.name, 1, size) for size in BATCH_SIZES for part in parts]
    with pytest.raises(ParityError, match="tokenizer 1 on made-up:8001 answers unlike here"):
        check.compare_parts(Server(tmp_path, 1.01))


def test_the_decoder_is_compared_on_the_first_step_of_a_search(tmp_path: Path) -> None:
    server = Server(tmp_path)
    writer = write(tmp_path, writer_graph(), "writer")
    decoder = write(tmp_path, decoder_part(WRITER)[1], "decoder", version=3)
    check = CandidateCheck(WRITER, [writer], NOWHERE, decoder)
    check.compare_decoder(server)
    assert {call[:2] for call in server.calls} == {("decoder", 3)}
    assert {call[2] for call in server.calls} == set(BATCH_SIZES)
    with pytest.raises(ParityError, match="decoder 3 on made-up:8001 answers unlike here"):
        check.compare_decoder(Server(tmp_path, 1.01))


def test_a_head_without_a_decoder_asks_a_server_for_none(tmp_path: Path) -> None:
    server = Server(tmp_path)
    CandidateCheck(HEAD, [write_whole(tmp_path)], NOWHERE).compare_decoder(server)
    assert server.calls == []

"""Requests to a Triton server, and the errors that its refusals become."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from omnivec2.errors import ArtifactError, ExportError
from rollout.triton_control import TritonControl
from tests.support.model_repositories.tiny_models import classification, write_repository
from tests.support.triton.repository_triton import RepositoryTriton, repository_triton

ACTIVITY = classification("imu/activity", "walking", "sitting")
NAME = ACTIVITY.name


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RepositoryTriton]:
    with repository_triton(write_repository(tmp_path, [ACTIVITY])) as server:
        yield server


@pytest.fixture
def control(server: RepositoryTriton) -> Iterator[TritonControl]:
    with closing(TritonControl(server.address)) as control:
        yield control


def test_a_live_server_passes_the_check(control: TritonControl) -> None:
    control.check()


def test_a_server_that_is_not_live_fails_the_check(
    server: RepositoryTriton, control: TritonControl
) -> None:
    server.is_live = False
    with pytest.raises(ArtifactError, match=f"the Triton server at {server.address} is not live"):
        control.check()


def test_an_address_without_a_server_fails_the_check() -> None:
    with (
        closing(TritonControl("127.0.0.1:1")) as control,
        pytest.raises(ArtifactError, match=r"no Triton server at 127\.0\.0\.1:1: "),
    ):
        control.check()


def test_models_are_loaded_and_unloaded_by_name(
    server: RepositoryTriton, control: TritonControl
) -> None:
    control.load(NAME)
    assert server.loaded == {NAME: {1}}
    control.unload(NAME)
    control.unload(NAME)  # once more does nothing
    assert server.loaded == {}


def test_a_refusal_is_reported_by_the_first_line_of_its_message(
    server: RepositoryTriton, control: TritonControl
) -> None:
    server.refused[NAME] = "\nout of memory\nTraceback of a backend"
    with pytest.raises(ExportError) as refusal:
        control.load(NAME)
    assert str(refusal.value) == f"Triton at {server.address} refuses {NAME}: out of memory"


def test_a_refusal_without_a_message_gives_its_status(
    server: RepositoryTriton, control: TritonControl
) -> None:
    server.refused[NAME] = ""
    with pytest.raises(ExportError, match=rf"refuses {NAME}: StatusCode\.INTERNAL$"):
        control.load(NAME)


def test_a_model_that_cannot_be_unloaded_is_named(
    server: RepositoryTriton, control: TritonControl
) -> None:
    server.pinned[NAME] = "it is busy"
    with pytest.raises(ExportError, match=f"does not unload {NAME}: it is busy"):
        control.unload(NAME)


def test_a_batch_is_answered_in_the_order_of_the_requested_outputs(
    server: RepositoryTriton, control: TritonControl, tmp_path: Path
) -> None:
    signal = np.random.default_rng(0).normal(size=(3, *ACTIVITY.inputs[0].shape)).astype(np.float32)
    control.load(NAME)
    answers = control.infer(NAME, 1, {"signal": signal}, ["logits", "logits"])
    session = ort.InferenceSession(tmp_path / NAME / "1" / "model.onnx")
    [wanted] = session.run(["logits"], {"signal": signal})
    assert len(answers) == 2
    for answer in answers:
        np.testing.assert_array_equal(answer, wanted)


def test_a_version_that_is_not_loaded_does_not_run(
    server: RepositoryTriton, control: TritonControl
) -> None:
    control.load(NAME)
    signal = np.zeros((1, *ACTIVITY.inputs[0].shape), np.float32)
    message = f"Triton at {server.address} does not run {NAME}: .* version 2 is not found"
    with pytest.raises(ExportError, match=message):
        control.infer(NAME, 2, {"signal": signal}, ["logits"])

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from export.repository.assembly import assemble
from export.repository.layouts import Layout
from omnivec2.errors import ArtifactError
from omnivec2.familiarity import REFERENCE_FILE, read_training_reference
from omnivec2.preprocess.notes import NoteCode
from omnivec2.spec import HeadSpec, Modality
from omnivec2.training.data.base import TaskData
from omnivec2.training.familiarity import measure_reference
from omnivec2.training.familiarity.drawn_nonsense import draw_nonsense
from omnivec2.training.familiarity.measure_reference import ReferenceMeasurement
from service.pipeline.answers import Answer
from service.pipeline.data_plane import DataPlane
from service.pipeline.host_stages import JsonInput
from service.runtimes.embedded.runtime import EmbeddedRuntime
from service.settings import Settings
from tests.support.checkpoints.tiny_exports import write_tiny_export
from tests.support.command_line import run
from tests.support.data_sets.device_data import HEAD, as_json, device_task
from tests.support.model_repositories.tiny_models import tiny_heads


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_tiny_export(tmp_path / "checkpoint", [HEAD], f_mean=True)


def measurement(
    checkpoint: Path, repository: Path, data: TaskData | None = None, most_rows: int = 400
) -> ReferenceMeasurement:
    assemble(checkpoint, repository, Layout.SHARED)
    found = data or device_task()
    return ReferenceMeasurement(
        checkpoint, repository, Path(), load=lambda _: found, most_rows=most_rows
    )


def test_a_reference_is_written_beside_the_head_and_tells_its_data_from_others(
    checkpoint: Path, tmp_path: Path
) -> None:
    measured = measurement(checkpoint, tmp_path / "repository")
    (head,) = measured.heads()
    rows: list[int] = []
    reference = measured.fit(head, rows.append).reference
    assert (reference.rows, reference.held_out, reference.data) == (100, 60, "Device")
    assert sum(rows) == 160 + len(draw_nonsense(head))
    assert list(reference.parts) == ["tokenizer_imu", "trunk"]
    assert sum(reference.label_shares) == pytest.approx(1)
    path = checkpoint / "models" / head.name / REFERENCE_FILE
    assert read_training_reference(path) == reference
    known, strange = (
        measured.count_far(head, reference, split, rows.append) for split in ("test", "elsewhere")
    )
    assert (known.far <= 0.04, known.rows) == (True, 50)
    assert strange.far == 1


def test_a_fifth_of_the_training_rows_stands_in_for_a_missing_validation_part(
    checkpoint: Path, tmp_path: Path
) -> None:
    measured = measurement(checkpoint, tmp_path / "repository", device_task(val=3))
    reference = measured.fit(HEAD, lambda _: None).reference
    assert (reference.rows, reference.held_out) == (80, 20)


def test_a_slow_head_may_be_measured_on_fewer_rows(checkpoint: Path, tmp_path: Path) -> None:
    measured = measurement(checkpoint, tmp_path / "repository", most_rows=60)
    reference = measured.fit(HEAD, lambda _: None).reference
    assert (reference.rows, reference.held_out) == (60, 45)
    assert measured.count_far(HEAD, reference, "test", lambda _: None).rows == 45


def test_a_trunk_without_summaries_says_what_to_do(tmp_path: Path) -> None:
    checkpoint = write_tiny_export(tmp_path / "checkpoint", [HEAD])
    measured = measurement(checkpoint, tmp_path / "repository")
    with pytest.raises(ArtifactError, match="export a network whose trunk has f_mean"):
        measured.fit(HEAD, lambda _: None)


def test_the_command_writes_and_checks_and_a_service_then_doubts_what_is_strange(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure_reference, "load_task", lambda *_, **__: device_task())
    repository = tmp_path / "repository"
    options = ("--checkpoint", checkpoint, "--model-repo", repository, "--data", tmp_path)
    written = run("familiarity", *options)
    assert written.exit_code == 0, written.output
    checked = run("familiarity", *options, "--check", "elsewhere")
    assert "100.0%" in checked.output
    assemble(checkpoint, repository)
    usual, strange = (asyncio.run(_ask(repository, level)) for level in (1.0, 9.0))
    assert NoteCode.FAR_FROM_TRAINING not in [note.code for note in usual.notes]
    assert NoteCode.FAR_FROM_TRAINING in [note.code for note in strange.notes]


async def _ask(repository: Path, level: float) -> Answer:
    settings = Settings(model_repo=repository, engine="onnxruntime", engine_precision="fp32")
    runtime = EmbeddedRuntime(settings)
    await runtime.start()
    plane = DataPlane(runtime, 1)
    try:
        head = plane.head("imu", "activity")
        return await plane.predict(head, [JsonInput(as_json(level))], {}, batched=False)
    finally:
        plane.close()
        await runtime.close()


@pytest.mark.parametrize("modality", list(Modality))
def test_nonsense_is_drawn_for_every_modality_and_always_the_same(modality: Modality) -> None:
    head: HeadSpec = next(
        head for head in tiny_heads() if head.modality is modality and not head.is_embedding
    )
    first, again = draw_nonsense(head, 6), draw_nonsense(head, 6)
    assert len(first) >= 4
    for one, other in zip(first, again, strict=True):
        for tensor in head.inputs:
            assert one[tensor.name].dtype == np.dtype(tensor.dtype)
            np.testing.assert_array_equal(one[tensor.name], other[tensor.name])

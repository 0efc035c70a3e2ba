"""The work on one job: its body becomes an answer, in turns that requests leave over.

A short input is answered as a request for it would be. A recording that is over the limits of
requests is cut, and every piece takes a turn of its own. Other inputs have wider limits than those
of requests, and take one turn.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue
from pydantic_core import to_json
from starlette.datastructures import Headers

from omnivec2.errors import (
    ForbiddenError,
    TooLargeError,
    UnsupportedMediaTypeError,
)
from omnivec2.preprocess import Preprocessor
from omnivec2.preprocess.notes import Note
from omnivec2.spec import Limits
from service.access.access_control import AccessControl, authorize_heads
from service.access.api_keys import Key
from service.access.key_limits import KeyUse
from service.access.priority import Priority
from service.admission.admission_control import AdmissionControl
from service.http.forms.content_type import MULTIPART, ContentType
from service.http.forms.form_on_disk import FormOnDisk, read_form_on_disk
from service.http.forms.json_requests import JsonRequests
from service.http.request_forms import RequestReader
from service.jobs.cutting.answer_in_pieces import PieceWay, answer_pieces, check_pieces
from service.jobs.cutting.kept_pieces import KeptPieces, maker_of
from service.jobs.cutting.piece_reader import CutSettings, cut_recording
from service.jobs.file_body import FileBody
from service.jobs.job import Job, JobState, Outcome, Progress
from service.jobs.turns import Turns
from service.monitoring.monitor import Monitor
from service.pipeline.answers import Answer, RequestNotes
from service.pipeline.data_plane import DataPlane
from service.pipeline.explanations.explainer import without_explanations
from service.pipeline.host_stages import Head
from service.request_context import RequestContext, in_request
from service.settings import Settings

_WIDENED = ("bytes", "decoded_bytes", "pixels", "rows", "points", "frames")
"""The limits of a head that are wider for jobs; the others bound the memory of the network."""

_FORM_BYTES = 2**16
"""What a form adds to its file at most, as for requests."""


class JobWork:
    """Answers jobs.

    Args:
        settings: The settings of the gateway.
        plane: A function that returns the data plane; it raises ``ModelNotReadyError``.
        admission: The admission control, which knows what requests leave over.
        access: The API keys; None where none are required.
        monitor: The monitor of answers; None where nothing is watched.
        directory: The directory of what is only needed while a job is worked on.
    """

    def __init__(
        self,
        settings: Settings,
        plane: Callable[[], DataPlane],
        admission: AdmissionControl,
        access: AccessControl | None,
        monitor: Monitor | None,
        directory: Path,
    ) -> None:
        self._settings = settings
        self._plane = plane
        self._admission = admission
        self._access = access
        self._monitor = monitor
        self._directory = directory

    async def answer(
        self, job: Job, body: Path, report: Callable[[Progress], None], kept: KeptPieces
    ) -> Outcome:
        """Return the answer to a job.

        Args:
            job: The job.
            body: The file with its body.
            report: The callback for progress.
            kept: The pieces that earlier attempts have computed, to be added to.

        Raises:
            OmniVecError: It cannot be answered, now or at all; the kind of error tells.
            NoBudgetError: Its key has no compute-seconds left, and nothing was computed yet.
        """
        key = self._key(job.owner)
        budget = KeyUse(self._limits_of_keys, key) if key is not None else None
        turns = Turns(self._admission, budget)
        context = RequestContext(
            request_id=job.request.request_id,
            key=key,
            deadline=time.monotonic() + self._settings.jobs_timeout_seconds,
            work=turns.meter,
            priority=Priority.LOW,
        )
        with in_request(context):
            plane = self._plane()
            heads = [plane.head(job.request.modality, task) for task in job.request.tasks]
            authorize_heads([head.spec for head in heads])
            monitor, is_by_task = self._monitor, job.request.is_several
            observed = None if monitor is None else monitor.begin(heads, is_by_task=is_by_task)
            answer = await self._answer(plane, heads, job, body, turns, report, kept)
            if monitor is not None and observed is not None:
                # Its inputs are not logged: they may be larger than memory.
                monitor.finish(observed, (), without_explanations(answer))
        return Outcome(
            JobState.DONE,
            200,
            answer.body,
            tuple((model.name, model.version) for model in answer.models),
            tuple(note.to_json() for note in answer.notes),
        )

    async def _answer(
        self,
        plane: DataPlane,
        heads: Sequence[Head],
        job: Job,
        body: Path,
        turns: Turns,
        report: Callable[[Progress], None],
        kept: KeptPieces,
    ) -> Answer:
        if heads[0].preprocessor.piece_seconds is None:
            heads = [self._widened(head) for head in heads]
            return await self._answer_whole(plane, heads, job, body, turns, report)
        kind = ContentType.parse(job.request.content_type)
        if kind.is_json or _may_be_short(heads, job):
            try:
                return await self._answer_whole(plane, heads, job, body, turns, report)
            except TooLargeError:
                if kind.is_json:
                    raise
        with tempfile.TemporaryDirectory(dir=self._directory, prefix="form-") as directory:
            recording = FormOnDisk(body, job.request.content_type, None)
            if kind.media_type == MULTIPART:
                chunks = FileBody(body).chunks(job.nbytes)
                form = await read_form_on_disk(job.request.content_type, chunks, Path(directory))
                if form is None:  # several files, each of which may be short
                    return await self._answer_whole(plane, heads, job, body, turns, report)
                recording = form
            return await self._answer_in_pieces(plane, heads, job, recording, turns, report, kept)

    async def _answer_whole(
        self,
        plane: DataPlane,
        heads: Sequence[Head],
        job: Job,
        body: Path,
        turns: Turns,
        report: Callable[[Progress], None],
    ) -> Answer:
        """Return the answer to a body as a request for it would have got it."""
        report(Progress(0, 1))
        settings, request = self._settings, job.request
        strictest = min(heads, key=lambda head: head.preprocessor.limits.bytes).preprocessor
        most = min(
            int(settings.max_body_bytes * settings.jobs_limits_factor), settings.jobs_max_body_bytes
        )
        reader = RequestReader(strictest, most, settings.max_json_values)
        notes = RequestNotes(strict=request.is_strict)
        async with turns.turn():
            headers = Headers({"content-type": request.content_type})
            read = await reader.read(headers, FileBody(body))
            notes.add(read.notes)
            if request.is_several:
                answer = await plane.predict_tasks(
                    heads, read.inputs, read.parameters, batched=read.batched, notes=notes
                )
            else:
                answer = await plane.predict(
                    heads[0], read.inputs, read.parameters, batched=read.batched, notes=notes
                )
        report(Progress(1, 1))
        return answer

    async def _answer_in_pieces(
        self,
        plane: DataPlane,
        heads: Sequence[Head],
        job: Job,
        recording: FormOnDisk,
        turns: Turns,
        report: Callable[[Progress], None],
        kept: KeptPieces,
    ) -> Answer:
        """Return the answer to a long recording, of which one piece at a time is in memory."""
        settings, spec = self._settings, heads[0].spec
        check_pieces([head.spec for head in heads])
        _check_type(heads[0].preprocessor, recording.content_type)
        parameters: Mapping[str, JsonValue] = {}
        if recording.parameters is not None:
            requests = JsonRequests(heads[0].preprocessor, settings.max_json_values)
            parameters = requests.parameters(recording.parameters)
        total: list[int] = []
        notes = RequestNotes(strict=job.request.is_strict)

        def note_all(found: Sequence[Note]) -> None:
            notes.add(found)

        cut = CutSettings(
            settings.jobs_max_recording_seconds,
            min(head.preprocessor.piece_seconds or math.inf for head in heads),
            min(head.spec.limits.bytes for head in heads),
            settings.decoder_memory_mb * 2**20,
        )
        async with cut_recording(
            spec.modality, recording.file, self._directory, cut, total.append, note_all
        ) as pieces:
            count = 0

            def report_done(done: int) -> None:
                nonlocal count
                count = done
                stated = max(total[-1], done) if total and total[-1] else None
                report(Progress(done, stated))

            way = PieceWay(turns.turn, report_done, kept, maker_of(heads, cut))
            answers = await answer_pieces(plane, heads, parameters, pieces, notes, way)
        report(Progress(count, count))
        values = {head.spec.task: answer.value for head, answer in zip(heads, answers, strict=True)}
        value = values if job.request.is_several else answers[0].value
        models = [model for answer in answers for model in answer.models]
        body_json = to_json(value, inf_nan_mode="null")
        return Answer(body_json, models, answers[0].timings, notes.in_order())

    @property
    def _limits_of_keys(self) -> Any:
        assert self._access is not None, "there are keys"
        return self._access.limits

    def _key(self, owner: str) -> Key | None:
        if self._access is None:
            return None
        key = self._access.key_named(owner)
        if key is None:
            raise ForbiddenError("the API key of the job has been revoked or has expired")
        return key

    def _widened(self, head: Head) -> Head:
        """Return a head with the limits of jobs."""
        factor, limits = self._settings.jobs_limits_factor, head.preprocessor.limits
        wider = {
            name: int(value * factor)
            for name in _WIDENED
            if (value := getattr(limits, name)) is not None
        }
        changed: Limits = limits.model_copy(update=wider)
        preprocessor = type(head.preprocessor)(head.preprocessor.parameters, changed)
        return replace(head, preprocessor=preprocessor)


def _may_be_short(heads: Sequence[Head], job: Job) -> bool:
    """Whether a recording may be within the limits of requests; its size may say that it is not."""
    return job.nbytes <= min(head.spec.limits.bytes for head in heads) + _FORM_BYTES


def _check_type(preprocessor: Preprocessor[Any, Any], content_type: str) -> None:
    """Refuse a recording that is declared to be something else."""
    kind = ContentType.parse(content_type).media_type
    if kind.partition("/")[0] in ("audio", "video") and kind not in preprocessor.media_types:
        raise UnsupportedMediaTypeError(
            f"{preprocessor.modality.value} does not take {kind[:80]}; it takes"
            f" {preprocessor.accepts}",
            field="Content-Type",
            known=list(preprocessor.media_types),
        )

"""Decoder processes, one for each thread that decodes, and what happens when one is lost."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from omnivec2 import errors
from omnivec2.errors import (
    DeadlineExceededError,
    InputError,
    InvalidInputError,
    ModelNotReadyError,
    TooLargeError,
    UndecodableError,
)
from omnivec2.preprocess import Array, Prepared, Preprocessor, Sample
from omnivec2.preprocess.formats.modality_libraries import LIBRARIES, missing_libraries
from omnivec2.preprocess.notes import Note, NoteCode, collect_notes
from omnivec2.preprocess.source_options import SourceOptions, state
from omnivec2.spec import Modality
from service.decoding.decoder_process import DecoderLostError, DecoderProcess, Nursery
from service.pipeline.abandonment import AbandonedError, Abandonment
from service.pipeline.host_stages import FileInput, PreparedInput, RawInput
from service.request_context import REQUEST

_LOG = logging.getLogger(__name__)

_ANSWER_BYTES = 2**30

_RARELY_NATIVE = frozenset({Modality.TEXT, Modality.TABULAR, Modality.TIMESERIES, Modality.IMU})
"""Modalities whose files are text as a rule: the first that is not starts a process."""


_CRASH, _TIME = "crash", "time"
_LOSSES = (_CRASH, _TIME)
"""What a process that does not answer has failed by; what one that answers failed by, it names."""


class DecoderPool:
    """Prepares inputs in processes of their own.

    Args:
        workers: The number of processes.
        memory_bytes: The memory that one input may take, besides what the process has at rest.
        seconds: The longest time that one input may take.

    Attributes:
        lost: The number of processes that died or had to be ended.
    """

    def __init__(self, workers: int, memory_bytes: int, seconds: float) -> None:
        self._nursery = Nursery(memory_bytes, _ANSWER_BYTES)
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        # None stands for a process that is yet to be started.
        self._idle: queue.LifoQueue[DecoderProcess | None] = queue.LifoQueue()
        for _ in range(workers):
            self._idle.put(None)
        self._descriptions: WeakKeyDictionary[Preprocessor[Any, Any], Mapping[str, str]] = (
            WeakKeyDictionary()
        )
        self.lost = 0
        self._closing = threading.Lock()
        self._closed = False

    def start(self, modalities: Iterable[Modality]) -> None:
        """Start the processes, so that no request has to wait for them.

        Args:
            modalities: The modalities whose libraries they have imported from the start.
        """
        usual = [m for m in modalities if m not in _RARELY_NATIVE and not missing_libraries(m)]
        names = [f"omnivec2.preprocess.{modality.value}" for modality in usual]
        libraries = [name for modality in usual for name in LIBRARIES.get(modality, ())]
        self._nursery.modules = tuple(dict.fromkeys([*names, *libraries]))
        if not usual:
            return
        for process in self._take_all():
            self._give_back(process or self._replace())

    def prepare(
        self,
        preprocessor: Preprocessor[Any, Any],
        raw: RawInput,
        max_batch_size: int,
        source: SourceOptions | None = None,
        abandonment: Abandonment | None = None,
    ) -> PreparedInput:
        """Decode and prepare one input; as ``host_stages.prepare`` does.

        Args:
            preprocessor: The preprocessor.
            raw: The input.
            max_batch_size: The most samples that are made into one batch.
            source: The statements of the caller on the input.
            abandonment: The way in which another thread ends the decoder of this input, once nobody
                waits for it; None if nobody will.

        Raises:
            AbandonedError: Nobody waits for it any more.
            InputError: The input is wrong, or its decoder died, hung or took too much memory.
            DeadlineExceededError: The request's time is over.
            ModelNotReadyError: No process can be started.
        """
        seconds = min(self._seconds, REQUEST.get().seconds_left)
        if seconds <= 0:
            raise DeadlineExceededError("the deadline passed before decoding")
        request = {
            **self._describe(preprocessor),
            **_describe_input(raw),
            "max_rows": max_batch_size,
            "source": source.model_dump(mode="json", exclude_unset=True) if source else None,
            "seconds": seconds,
        }
        started = time.perf_counter()
        abandonment = abandonment or Abandonment()
        answer = self._ask(request, preprocessor.modality.value, abandonment)
        if "refused" in answer:
            raise _restore_error(answer["refused"])
        if "failed" in answer:
            raise self._failure(answer, preprocessor, seconds)
        prepared = answer["prepared"]
        if "native" in prepared:
            return _prepare_here(preprocessor, prepared, max_batch_size, source, started)
        return _restore(prepared, max_batch_size, started)

    def close(self) -> None:
        """End all processes."""
        with self._closing:
            self._closed = True
        self._nursery.close()
        for process in self._take_all():
            if process is not None:
                process.kill()
            # Whoever still comes is told that there are no more.
            self._idle.put(None)

    def _give_back(self, process: DecoderProcess | None) -> None:
        """Let others have a process, or end it if it comes back after all others were ended."""
        with self._closing:
            if self._closed and process is not None:
                process.kill()
                process = None
            self._idle.put(process)

    def _take_all(self) -> list[DecoderProcess | None]:
        """Take all processes that are idle."""
        taken: list[DecoderProcess | None] = []
        with contextlib.suppress(queue.Empty):
            while True:
                taken.append(self._idle.get_nowait())
        return taken

    def _ask(
        self, request: Mapping[str, Any], modality: str, abandonment: Abandonment
    ) -> dict[str, Any]:
        """Ask a process; and a new one, if one that had other inputs before fails.

        An input may damage a codec's memory, which costs the process only at a later input. So an
        input is to blame only if a process that had no other could not read it.
        """
        until = time.monotonic() + request["seconds"]
        process = self._idle.get()
        answer: dict[str, Any] = {}
        try:
            for _ in range(2):
                process = process or self._nursery.start_decoder()
                had_others = process.had_inputs
                with abandonment.ended_by(process.interrupt):
                    answer = _outcome(process, request, until - time.monotonic())
                if "failed" not in answer and not abandonment.is_abandoned:
                    break
                process.kill()
                process = None
                # One that was still at work when the request's time was over may hang.
                if abandonment.is_abandoned and REQUEST.get().seconds_left > 0:
                    raise AbandonedError
                if answer.get("failed") in _LOSSES:
                    self.lost += 1
                    _LOG.warning("a decoder of %s was lost: %s", modality, answer["trace"])
                if not had_others or answer.get("failed") == _TIME:
                    break
        finally:
            self._give_back(process or self._replace())
        return answer

    def _replace(self) -> DecoderProcess | None:
        try:
            return self._nursery.start_decoder()
        except ModelNotReadyError:
            return None  # the next request tries again, and says why it fails

    def _failure(
        self, answer: Mapping[str, Any], preprocessor: Preprocessor[Any, Any], seconds: float
    ) -> InputError | DeadlineExceededError:
        if answer["failed"] == _CRASH:
            return InvalidInputError(
                "the decoder of this file crashed, so the file cannot be read; it is damaged, or a "
                "kind that the decoder does not handle. Save it anew with another program",
                field="inputs",
            )
        if answer["failed"] == _TIME and seconds < self._seconds:
            return DeadlineExceededError("the deadline passed while decoding")
        if answer["failed"] == _TIME:
            return TooLargeError(
                f"the file takes longer than {self._seconds:g} s to decode", field="inputs"
            )
        if answer["failed"] == "memory":
            return TooLargeError(
                f"the input needs more than {self._memory_bytes / 2**20:,.0f} MiB of memory to be "
                "decoded",
                field="inputs",
            )
        modality = preprocessor.modality.value
        _LOG.error("a defect in decoding %s: %s", modality, answer["trace"])
        return UndecodableError(
            f"the file cannot be read ({answer['failed']} in its decoder); expected "
            f"{preprocessor.accepts}",
            field="inputs",
        )

    def _describe(self, preprocessor: Preprocessor[Any, Any]) -> Mapping[str, str]:
        known = self._descriptions.get(preprocessor)
        if known is None:
            kind = type(preprocessor)
            known = {
                "preprocessor": f"{kind.__module__}:{kind.__qualname__}",
                "parameters": preprocessor.parameters.model_dump_json(),
                "limits": preprocessor.limits.model_dump_json(),
            }
            self._descriptions[preprocessor] = known
        return known


def _outcome(process: DecoderProcess, request: Mapping[str, Any], seconds: float) -> dict[str, Any]:
    """Return what a process answers, or by what it was lost."""
    try:
        return process.ask(request, seconds)
    except TimeoutError as error:
        return {"failed": _TIME, "trace": repr(error)}
    except DecoderLostError as error:
        return {"failed": _CRASH, "trace": repr(error)}


class _Rows(Sequence[Sample]):
    """The samples of an input: the rows of one batch."""

    def __init__(self, batch: Mapping[str, Array], rows: int) -> None:
        self._batch, self._rows = batch, rows

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._rows))]
        return {name: array[index] for name, array in self._batch.items()}


def _describe_input(raw: RawInput) -> dict[str, Any]:
    if isinstance(raw, FileInput):
        return {"file": raw.data, "media_type": raw.media_type}
    return {"json": json.dumps(raw.value).encode()}


def _restore(prepared: Mapping[str, Any], max_batch_size: int, started: float) -> PreparedInput:
    batch, rows = prepared["batch"], prepared["rows"]
    if rows == 0:
        raise InvalidInputError("the input holds no samples", field="inputs")
    return PreparedInput(
        Prepared(_Rows(batch, rows), prepared["context"]),
        batch if rows <= max_batch_size else None,
        prepared["decode_seconds"],
        prepared["preprocess_seconds"],
        started,
        _restore_notes(prepared["notes"]),
    )


def _prepare_here(
    preprocessor: Preprocessor[Any, Any],
    decoded: Mapping[str, Any],
    max_batch_size: int,
    source: SourceOptions | None,
    started: float,
) -> PreparedInput:
    """Prepare an array that was decoded in a process: more samples than fit in one batch."""
    begun = time.perf_counter()
    native: np.ndarray[Any, Any] = decoded["native"]
    with state(source), collect_notes() as notes:
        prepared = preprocessor.prepare(native)
    return PreparedInput(
        prepared,
        None,
        decoded["decode_seconds"],
        time.perf_counter() - begun,
        started,
        (*_restore_notes(decoded["notes"]), *notes),
    )


def _restore_notes(notes: Sequence[Sequence[Any]]) -> tuple[Note, ...]:
    return tuple(Note(NoteCode(code), text, field, count) for code, text, field, count in notes)


def _restore_error(described: Mapping[str, Any]) -> InputError:
    kind = getattr(errors, described["name"], InvalidInputError)
    if not (isinstance(kind, type) and issubclass(kind, InputError)):
        kind = InvalidInputError
    error: InputError = kind(
        described["message"], field=described["field"], known=described["known"]
    )
    return error

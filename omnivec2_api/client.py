"""A client of a running service, with the verbs of a network in this process."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import httpx2

from omnivec2.errors import ModelNotReadyError
from omnivec2_api.answers.answer import Answer
from omnivec2_api.feedback_messages import Feedback, feedback_message, feedback_of
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.http_messages import (
    PredictMessage,
    predict_message,
    task_answers,
)
from omnivec2_api.input_values import read_input
from omnivec2_api.predictor import Predictor, TaskAnswers
from omnivec2_api.remote_jobs import RemoteJob, job_answer, job_message, post_job
from omnivec2_api.service_connection import ServiceConnection


class Client(ServiceConnection[httpx2.Client, httpx2.BaseTransport], Predictor):
    """A client of a running service, whose verbs are those of a network in this process."""

    _lock: threading.Lock
    _pool: ThreadPoolExecutor | None = None

    def _open(self, **options: Any) -> httpx2.Client:
        self._lock = threading.Lock()
        return httpx2.Client(**options)

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        """The heads of the service now, by their names ``<modality>/<task>``."""
        return self._keep_heads(self._send(partial(self._client.get, "models")).json())

    @property
    def concurrency(self) -> int:
        """The number of requests of a batch that are under way at the same time."""
        return self._concurrency

    def submit(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        parameters: Mapping[str, Any],
        *,
        strict: bool = False,
    ) -> Future[TaskAnswers]:
        """Start to answer one input in a thread; see ``Predictor.submit``."""
        with self._lock:
            if self._client.is_closed:
                raise ModelNotReadyError("the client is closed")
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._concurrency, "omnivec2-client")
            return self._pool.submit(self._answer, modality, tasks, value, parameters, strict)

    def start_job(
        self,
        route: str,
        value: Any,
        *,
        webhook: str | None = None,
        strict: bool = False,
        **parameters: Any,
    ) -> RemoteJob:
        """Start a job: an input that takes long, or is larger than requests may be.

        Args:
            route: The name of the head, ``<modality>/<task>``.
            value: The input. A path, without parameters, is sent piece by piece, so that it may be
                larger than memory.
            webhook: The address that the service tells when the job is over.
            strict: Whether notes on the input are errors.
            **parameters: The parameters of the head's family.

        Raises:
            SwitchedOffError: The service has no store of jobs.
            OmniVecError: The service does not take the job, or does not answer.
        """
        job = job_message(route, value, parameters, webhook, strict=strict)
        response = self._send(partial(post_job, self._client, job))
        return self.job(route, response.headers["Location"])

    def job(self, route: str, location: str) -> RemoteJob:
        """Return a job that was started before.

        Args:
            route: The name of its head, ``<modality>/<task>``.
            location: The path of the job; see ``RemoteJob.location``.
        """

        def answer_of(document: Mapping[str, Any]) -> Answer:
            if route not in self._heads:
                _ = self.heads
            return job_answer(route, document, self._heads)

        return RemoteJob(location, self._client, self._send, answer_of)

    def give_feedback(
        self,
        answer: Answer | str,
        label: Any = None,
        *,
        labels: Sequence[Any] | None = None,
        task: str | None = None,
    ) -> Feedback:
        """Tell the service what the right answer is; it counts once for each answer of a head.

        Args:
            answer: The answer, or the id of its request.
            label: The name or index of the true class; a list of them for a head that gives any
                number of labels; the true number, or target -> number.
            labels: The labels of an answer to several samples, one for each, in place of ``label``.
            task: The task that the label is of, if an id names a request that several answered.

        Raises:
            UnknownRequestError: The answer is not remembered, or feedback is switched off.
            FeedbackGivenError: It has had its feedback.
            InvalidInputError: The label is none of the head's.
        """
        message = feedback_message(answer, label, labels, task)
        post = partial(self._client.post, message.path, json=message.json)
        return feedback_of(self._send(post).json())

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(cancel_futures=True)
        self._client.close()

    def _answer(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        parameters: Mapping[str, Any],
        strict: bool,
    ) -> TaskAnswers:
        read = read_input(modality, value)
        message = predict_message(modality, tasks, read, parameters, strict=strict)
        response = self._send(partial(self._post, message))
        if not self._knows(modality, tasks):
            _ = self.heads
        return task_answers(modality, tasks, response.json(), response.headers, self._heads)

    def _post(self, message: PredictMessage) -> httpx2.Response:
        return self._client.post(**message.as_arguments())

    def _send(self, request: Callable[[], httpx2.Response]) -> httpx2.Response:
        """Return the response to a request, which may have to be sent more than once.

        Raises:
            OmniVecError: The service refuses it, or does not answer.
        """
        for attempt in itertools.count():
            outcome: httpx2.Response | Exception
            try:
                outcome = request()
            except (httpx2.TransportError, httpx2.InvalidURL) as error:
                outcome = error
            wait = self._policy.wait_after(attempt, outcome)
            if wait is None:
                break
            time.sleep(wait)
        assert isinstance(outcome, httpx2.Response), "only a response can be a success"
        return outcome

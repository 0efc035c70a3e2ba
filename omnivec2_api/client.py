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
from omnivec2_api.head_info import HeadInfo, make_head_info
from omnivec2_api.http_messages import (
    PredictMessage,
    RetryPolicy,
    predict_message,
    task_answers,
)
from omnivec2_api.input_values import read_input
from omnivec2_api.predictor import Predictor, TaskAnswers

DEFAULT_TIMEOUT_SECONDS = 60.0
DEFAULT_RETRIES = 5
DEFAULT_CONCURRENCY = 16


class Client(Predictor):
    """A client of a running service. Close it, or use it in a ``with`` block.

    Requests that the service refuses for now (429, 503) or that find no connection are sent again,
    after the time that its ``Retry-After`` names. All others fail with the exception that the
    service raised: those of ``omnivec2.errors``, as in this process.

    Args:
        url: The address of the service, such as ``http://127.0.0.1:8080``.
        api_key: The API key, if the service requires one.
        timeout: The longest time that an answer may take, in seconds.
        retries: The most times that a request is sent again.
        concurrency: The number of requests of a batch that are under way at the same time.
        headers: The further headers of every request.
        transport: A transport of httpx, such as one for tests.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        retries: int = DEFAULT_RETRIES,
        concurrency: int = DEFAULT_CONCURRENCY,
        headers: Mapping[str, str] | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._policy, self._concurrency = RetryPolicy(self.url, timeout, retries), concurrency
        self._client = httpx2.Client(
            base_url=f"{self.url}/",
            headers=request_headers(api_key, headers),
            timeout=timeout,
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=concurrency),
            transport=transport,
        )
        self._heads: Mapping[str, HeadInfo] = {}
        self._lock = threading.Lock()
        self._pool: ThreadPoolExecutor | None = None

    @property
    def heads(self) -> Mapping[str, HeadInfo]:
        """The heads of the service now, by their names ``<modality>/<task>``."""
        listed = self._send(partial(self._client.get, "models")).json()
        self._heads = heads_of_list(listed)
        return self._heads

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
        if any(f"{modality}/{task}" not in self._heads for task in tasks):
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


def request_headers(api_key: str | None, headers: Mapping[str, str] | None) -> dict[str, str]:
    """Return the headers of every request of a client."""
    key = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    return {"User-Agent": "omnivec2", **key, **(headers or {})}


def heads_of_list(listed: Mapping[str, Any]) -> dict[str, HeadInfo]:
    """Return the heads in the answer to ``GET /models``, by their names."""
    heads = [make_head_info(description) for description in listed["models"]]
    return {head.route: head for head in heads}

"""The client of a running service for programs with an event loop."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import httpx2

from omnivec2.errors import OmniVecError
from omnivec2_api.answers.answer import Answer
from omnivec2_api.answers.answer_types import Embedding, as_embedding
from omnivec2_api.feedback_messages import Feedback, feedback_message, feedback_of
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.http_messages import (
    PredictMessage,
    predict_message,
    task_answers,
)
from omnivec2_api.input_values import many_inputs, read_input
from omnivec2_api.predictor import TaskAnswers, embedding_route, split_route
from omnivec2_api.progress_lines import Progress
from omnivec2_api.remote_jobs import AsyncRemoteJob, job_answer, job_message, post_job_async
from omnivec2_api.service_connection import ServiceConnection


class AsyncClient(ServiceConnection[httpx2.AsyncClient, httpx2.AsyncBaseTransport]):
    """A client of a running service, as ``Client`` is, whose verbs are coroutines."""

    def _open(self, **options: Any) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(**options)

    async def heads(self) -> Mapping[str, HeadInfo]:
        """Return the heads of the service now, by their names ``<modality>/<task>``."""
        response = await self._send(partial(self._client.get, "models"))
        return self._keep_heads(response.json())

    async def predict(
        self, route: str, value: Any, *, strict: bool = False, **parameters: Any
    ) -> Answer:
        """Answer one input with one head; see ``Client.predict``."""
        modality, task = split_route(route)
        answers = await self._answer(modality, [task], value, parameters, strict)
        return answers[task]

    async def predict_tasks(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        *,
        strict: bool = False,
        **parameters: Any,
    ) -> TaskAnswers:
        """Answer one input with several heads of a modality; see ``Client.predict_tasks``."""
        return await self._answer(modality, tasks, value, parameters, strict)

    async def embed(
        self,
        modality: str,
        value: Any,
        *,
        task: str = "embedding",
        strict: bool = False,
        **parameters: Any,
    ) -> Embedding:
        """Return the vector of one input, or one for each of its rows; see ``Client.embed``."""
        route = embedding_route(modality, task)
        return as_embedding(await self.predict(route, value, strict=strict, **parameters))

    async def predict_batch(
        self,
        route: str,
        values: Iterable[Any],
        *,
        progress: bool = False,
        return_exceptions: bool = False,
        concurrency: int | None = None,
        strict: bool = False,
        **parameters: Any,
    ) -> AsyncIterator[Any]:
        """Answer many inputs, several at a time, in their order; see ``Client.predict_batch``."""
        modality, task = split_route(route)
        total = len(values) if isinstance(values, Sequence) else None
        waiting: deque[asyncio.Task[TaskAnswers]] = deque()
        rest = iter(many_inputs(values))
        window = concurrency or self._concurrency

        def start_more() -> None:
            while len(waiting) < window:
                try:
                    value = next(rest)
                except StopIteration:
                    return
                call = self._answer(modality, [task], value, parameters, strict)
                waiting.append(asyncio.create_task(call))

        try:
            with Progress(total, shown=progress, title=route) as shown:
                start_more()
                while waiting:
                    try:
                        answers = await waiting.popleft()
                    except OmniVecError as error:
                        if not return_exceptions:
                            raise
                        shown.advance(failed=True)
                        yield error
                    else:
                        shown.advance()
                        yield answers[task]
                    start_more()
        finally:
            for call in waiting:
                call.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    async def start_job(
        self,
        route: str,
        value: Any,
        *,
        webhook: str | None = None,
        strict: bool = False,
        **parameters: Any,
    ) -> AsyncRemoteJob:
        """Start a job: an input that takes long; see ``Client.start_job``."""
        make = partial(job_message, route, value, parameters, webhook, strict=strict)
        job = await asyncio.to_thread(make)
        response = await self._send(partial(post_job_async, self._client, job))
        return self.job(route, response.headers["Location"])

    def job(self, route: str, location: str) -> AsyncRemoteJob:
        """Return a job that was started before; see ``Client.job``."""

        async def answer_of(document: Mapping[str, Any]) -> Answer:
            if route not in self._heads:
                await self.heads()
            return job_answer(route, document, self._heads)

        return AsyncRemoteJob(location, self._client, self._send, answer_of)

    async def give_feedback(
        self,
        answer: Answer | str,
        label: Any = None,
        *,
        labels: Sequence[Any] | None = None,
        task: str | None = None,
    ) -> Feedback:
        """Tell the service what the right answer is; see ``Client.give_feedback``."""
        message = feedback_message(answer, label, labels, task)
        post = partial(self._client.post, message.path, json=message.json)
        return feedback_of((await self._send(post)).json())

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _answer(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        parameters: Mapping[str, Any],
        strict: bool,
    ) -> TaskAnswers:
        # A large file, or an array that is encoded, would hold up the event loop.
        read = await asyncio.to_thread(read_input, modality, value)
        message = predict_message(modality, tasks, read, parameters, strict=strict)
        response = await self._send(partial(self._post, message))
        if not self._knows(modality, tasks):
            await self.heads()
        return task_answers(modality, tasks, response.json(), response.headers, self._heads)

    async def _post(self, message: PredictMessage) -> httpx2.Response:
        return await self._client.post(**message.as_arguments())

    async def _send(self, request: Callable[[], Awaitable[httpx2.Response]]) -> httpx2.Response:
        """Return the response to a request; see ``Client``."""
        for attempt in itertools.count():
            outcome: httpx2.Response | Exception
            try:
                outcome = await request()
            except (httpx2.TransportError, httpx2.InvalidURL) as error:
                outcome = error
            wait = self._policy.wait_after(attempt, outcome)
            if wait is None:
                break
            await asyncio.sleep(wait)
        assert isinstance(outcome, httpx2.Response), "only a response can be a success"
        return outcome

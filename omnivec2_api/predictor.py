"""The verbs that a network in this process and a client of a service have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import closing
from types import TracebackType
from typing import Any, Literal, Self, cast, overload

from pydantic import JsonValue

from omnivec2.errors import InvalidParameterError, OmniVecError
from omnivec2_api.answers.answer import Answer
from omnivec2_api.answers.answer_types import Embedding, as_embedding
from omnivec2_api.head_info import HeadInfo
from omnivec2_api.input_values import many_inputs
from omnivec2_api.progress_lines import Progress

TaskAnswers = dict[str, Answer]
"""Task -> the answer of its head to one input."""


class Predictor(ABC):
    """Answers inputs with heads. May be used from several threads, and as a context manager.

    An input is a path, bytes, an open file, a picture of PIL, an array, a data frame, a record or,
    of texts and molecules, a string; ``omnivec2_api.input_values`` has the table.
    """

    @property
    @abstractmethod
    def heads(self) -> Mapping[str, HeadInfo]:
        """The heads that can be asked now, by their names ``<modality>/<task>``."""

    @property
    @abstractmethod
    def concurrency(self) -> int:
        """The number of inputs of a batch that are under way at the same time by default."""

    @abstractmethod
    def submit(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        parameters: Mapping[str, Any],
        *,
        strict: bool = False,
    ) -> Future[TaskAnswers]:
        """Start to answer one input, and return the future of its answers.

        Args:
            modality: The modality of the input.
            tasks: The tasks, each once; what their heads share is computed once.
            value: The input.
            parameters: The parameters of the request; of several tasks, for all or by task.
            strict: Whether notes on the input are errors.
        """

    @abstractmethod
    def close(self) -> None:
        """Free what is held; no more inputs are answered."""

    def predict(self, route: str, value: Any, *, strict: bool = False, **parameters: Any) -> Answer:
        """Answer one input with one head.

        Args:
            route: The name of the head, ``<modality>/<task>``.
            value: The input.
            strict: Whether notes on the input are errors.
            **parameters: The parameters of the head's family, such as ``top_k=3``.

        Raises:
            InputError: The input, a parameter or the head's name is wrong.
            OmniVecError: The head cannot answer now.
        """
        modality, task = split_route(route)
        return self.submit(modality, [task], value, parameters, strict=strict).result()[task]

    def predict_tasks(
        self,
        modality: str,
        tasks: Sequence[str],
        value: Any,
        *,
        strict: bool = False,
        **parameters: Any,
    ) -> TaskAnswers:
        """Answer one input with several heads of a modality, which share their work.

        Args:
            modality: The modality of the input.
            tasks: The tasks, each once.
            value: The input.
            strict: Whether notes on the input are errors.
            **parameters: The parameters for all heads, or ``task={…}`` for each.

        Returns:
            Task -> answer.

        Raises:
            InputError: As for ``predict``, and so are the other errors.
        """
        return self.submit(modality, tasks, value, parameters, strict=strict).result()

    def embed(
        self,
        modality: str,
        value: Any,
        *,
        task: str = "embedding",
        strict: bool = False,
        **parameters: Any,
    ) -> Embedding:
        """Return the vector of one input; of a table or a file of several, one for each row.

        Args:
            modality: The modality of the input, or the name of the head.
            value: The input.
            task: The name of an embedding head, for modalities that have several.
            strict: Whether notes on the input are errors.
            **parameters: The parameters of embeddings, such as ``normalize=False``.

        Raises:
            InvalidParameterError: The head is of another family.
            InputError: As for ``predict``, and so are the other errors.
        """
        route = embedding_route(modality, task)
        return as_embedding(self.predict(route, value, strict=strict, **parameters))

    @overload
    def predict_batch(
        self,
        route: str,
        values: Iterable[Any],
        *,
        progress: bool = ...,
        return_exceptions: Literal[False] = ...,
        concurrency: int | None = ...,
        strict: bool = ...,
        **parameters: Any,
    ) -> Generator[Answer, None, None]: ...

    @overload
    def predict_batch(
        self,
        route: str,
        values: Iterable[Any],
        *,
        progress: bool = ...,
        return_exceptions: bool,
        concurrency: int | None = ...,
        strict: bool = ...,
        **parameters: Any,
    ) -> Generator[Answer | OmniVecError, None, None]: ...

    def predict_batch(
        self,
        route: str,
        values: Iterable[Any],
        *,
        progress: bool = False,
        return_exceptions: bool = False,
        concurrency: int | None = None,
        strict: bool = False,
        **parameters: Any,
    ) -> Generator[Answer | OmniVecError, None, None]:
        """Answer many inputs, several at a time, and yield the answers in their order.

        Inputs are read as they are needed, so that memory does not grow with their number.

        Args:
            route: The name of the head, ``<modality>/<task>``.
            values: The inputs.
            progress: Whether progress is shown on standard error.
            return_exceptions: Whether an error takes the place of its answer; otherwise the first
                one ends the batch.
            concurrency: The number of inputs under way at the same time; None for the default.
            strict: Whether notes on an input are errors.
            **parameters: The parameters of the head's family.

        Yields:
            The ``Answer`` to each input; with ``return_exceptions`` perhaps an ``OmniVecError``.

        Raises:
            OmniVecError: As for ``predict``, while the answers are read.
        """
        modality, task = split_route(route)
        results = self.run_tasks(
            modality,
            [task],
            many_inputs(values),
            parameters,
            concurrency=concurrency,
            strict=strict,
        )
        total = len(cast(Any, values)) if hasattr(values, "__len__") else None
        with closing(results), Progress(total, shown=progress, title=route) as shown:
            for result in results:
                if isinstance(result, OmniVecError) and not return_exceptions:
                    raise result
                shown.advance(failed=isinstance(result, OmniVecError))
                yield result if isinstance(result, OmniVecError) else result[task]

    def run_tasks(
        self,
        modality: str,
        tasks: Sequence[str],
        values: Iterable[Any],
        parameters: Mapping[str, Any],
        *,
        concurrency: int | None = None,
        strict: bool = False,
    ) -> ResultIterator:
        """Answer many inputs with several heads, in order; an error takes the place of its answers.

        Args:
            modality: The modality of the inputs.
            tasks: The tasks, each once.
            values: The inputs.
            parameters: The parameters for all heads, or task -> those for its head.
            concurrency: The number of inputs under way at the same time; None for the default.
            strict: Whether notes on an input are errors.
        """

        def submit(value: Any) -> Future[TaskAnswers]:
            return self.submit(modality, tasks, value, parameters, strict=strict)

        return ResultIterator(submit, values, concurrency or self.concurrency)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ResultIterator:
    """The results of many inputs in their order; a window of them is under way.

    Args:
        submit: A call that starts to answer an input.
        values: The inputs.
        window: The number of inputs under way.
    """

    def __init__(
        self, submit: Callable[[Any], Future[TaskAnswers]], values: Iterable[Any], window: int
    ) -> None:
        self._submit = submit
        self._values = iter(values)
        self._window = max(1, window)
        self._waiting: deque[Future[TaskAnswers]] = deque()

    def __iter__(self) -> ResultIterator:
        return self

    def __next__(self) -> TaskAnswers | OmniVecError:
        while len(self._waiting) < self._window:
            try:
                value = next(self._values)
            except StopIteration:
                break
            self._waiting.append(self._submit(value))
        if not self._waiting:
            raise StopIteration
        try:
            return self._waiting.popleft().result()
        except OmniVecError as error:
            return error

    def close(self) -> None:
        """Drop what is under way."""
        while self._waiting:
            self._waiting.popleft().cancel()


def embedding_route(modality: str, task: str) -> str:
    """Return the name of an embedding head, of which a caller may give the whole."""
    return modality if "/" in modality else f"{modality}/{task}"


def split_route(route: str) -> tuple[str, str]:
    """Return the modality and the task of a head's name.

    Raises:
        InvalidParameterError: It is not ``<modality>/<task>``.
    """
    modality, slash, task = route.partition("/")
    if not (modality and slash and task) or "/" in task:
        raise InvalidParameterError(
            f"expected the name of a head, such as image/classification, got {route!r}",
            field="route",
        )
    return modality, task


def failed_future(error: BaseException) -> Future[TaskAnswers]:
    """Return a future that has failed already."""
    future: Future[TaskAnswers] = Future()
    future.set_exception(error)
    return future


def checked_parameters(parameters: Mapping[str, Any]) -> dict[str, JsonValue]:
    """Return the parameters that are given: None stands for the default."""
    return {name: value for name, value in parameters.items() if value is not None}

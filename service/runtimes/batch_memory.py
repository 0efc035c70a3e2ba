"""The memory of a batch: attention compares all tokens of a row with each other.

So a batch takes memory by its rows and by the *square* of their length. Limits on rows and on bytes
of requests say little of that: 32 graphs of 1,500 tokens are 400 kB of JSON and 7 GB of attention.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from omnivec2.parts import MASK, TRUNK, is_part
from omnivec2.preprocess import Array
from omnivec2.spec import HeadSpec

Axes = Mapping[str, tuple[int | str | None, ...]]
"""Tensor -> its axes, of which the first is the batch; names are of sizes that vary."""


def tokens_in_graph(name: str, axes: Axes, inputs: Mapping[str, Array]) -> int:
    """Return how many tokens of one row a graph compares with each other.

    Args:
        name: The name of the model or part.
        axes: The tensors that the graph takes.
        inputs: Some rows of them: name -> array (batch, ...).

    Returns:
        The number; 0 for a part without attention between the tokens, and for inputs of one fixed
        shape, whose number of tokens is not known here but does not vary either.
    """
    if name == TRUNK and MASK in inputs:
        return int(inputs[MASK].shape[1])
    if is_part(name):
        return 0
    sizes = {
        axis: size
        for tensor, array in inputs.items()
        for axis, size in zip(axes.get(tensor, ())[1:], array.shape[1:], strict=False)
        if isinstance(axis, str)
    }
    return sum(sizes.values())


def tokens_in_head(spec: HeadSpec, inputs: Mapping[str, Array]) -> int:
    """Return how many tokens of one row a head compares with each other, by its inputs alone.

    Every kind of token has a mask if their number varies, and they are joined: nodes and edges.
    Without a mask it is the largest product of axes that vary.

    Args:
        spec: The spec of the head.
        inputs: Some rows of its inputs: name -> array (batch, ...).
    """
    lengths = {
        tensor.name: math.prod(
            size
            for size, wanted in zip(inputs[tensor.name].shape[1:], tensor.shape, strict=True)
            if wanted < 0
        )
        for tensor in spec.inputs
        if any(wanted < 0 for wanted in tensor.shape)
    }
    masks = [length for name, length in lengths.items() if name.endswith(MASK)]
    return sum(masks) if masks else max(lengths.values(), default=0)


def rows_within(token_pairs: int, tokens: int, most: int) -> int:
    """Return how many rows of so many tokens a batch may have: at least 1, at most ``most``."""
    return most if tokens == 0 else max(1, min(most, token_pairs // tokens**2))


_SMALL_SHARE = 32
"""A call of less than one such part of what may be under way passes without a wait: a batch has
at most as many rows, and short requests must not queue behind long ones."""


class MemoryGate:
    """Bounds what is under way at a server whose batches only know rows; on the event loop only.

    Args:
        most_pairs: The most pairs of tokens of long calls that are under way at the same time.
    """

    def __init__(self, most_pairs: int) -> None:
        self._most = most_pairs
        self._held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, pairs: int) -> AsyncIterator[None]:
        """Wait until a call of so many pairs may be made, and hold them until it has ended."""
        if pairs * _SMALL_SHARE <= self._most:
            yield
            return
        pairs = min(pairs, self._most)
        if self._waiting or self._held + pairs > self._most:
            await self._wait(pairs)
        else:
            self._held += pairs
        try:
            yield
        finally:
            self._held -= pairs
            self._admit()

    async def _wait(self, pairs: int) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = pairs, turn
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._held -= pairs
            elif entry in self._waiting:
                self._waiting.remove(entry)
            self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._held + self._waiting[0][0] <= self._most:
            pairs, turn = self._waiting.popleft()
            if not turn.done():
                self._held += pairs
                turn.set_result(None)

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
import pytest

from omnivec2.preprocess import Array
from omnivec2.spec import TensorSpec
from service.runtimes.batch_memory import MemoryGate, rows_within, tokens_in_graph, tokens_in_head
from tests.support.service_parts.service_fakes import letters_spec

GRAPH = {
    "nodes": ("batch", "nodes", 9),
    "node_mask": ("batch", "nodes"),
    "edges": ("batch", "edges", 2),
    "edge_mask": ("batch", "edges"),
}


def arrays(**shapes: tuple[int, ...]) -> Mapping[str, Array]:
    return {name: np.zeros(shape, np.int8) for name, shape in shapes.items()}


def test_the_trunk_compares_the_tokens_of_its_mask() -> None:
    axes = {"tokens": ("batch", "length", 8), "mask": ("batch", "length")}
    inputs = arrays(tokens=(2, 20, 8), mask=(2, 20))
    assert tokens_in_graph("trunk", axes, inputs) == 20
    assert tokens_in_graph("head_text_sentiment", axes, inputs) == 0


def test_a_whole_graph_compares_all_that_varies_in_length() -> None:
    inputs = arrays(nodes=(2, 5, 9), node_mask=(2, 5), edges=(2, 7, 2), edge_mask=(2, 7))
    assert tokens_in_graph("graph_solubility", GRAPH, inputs) == 12
    pixels = {"pixels": ("batch", 8, 8, 3)}
    assert tokens_in_graph("image_classification", pixels, arrays(pixels=(2, 8, 8, 3))) == 0


def test_a_head_compares_the_tokens_of_all_its_masks() -> None:
    sizes = {"nodes": (-1, 9), "node_mask": (-1,), "edges": (-1, 2), "edge_mask": (-1,)}
    tensors = [TensorSpec(name=name, dtype="uint8", shape=sizes[name]) for name in sizes]
    spec = letters_spec().model_copy(update={"inputs": tuple(tensors)})
    inputs = arrays(nodes=(2, 5, 9), node_mask=(2, 5), edges=(2, 7, 2), edge_mask=(2, 7))
    assert tokens_in_head(spec, inputs) == 12


def test_a_head_without_masks_compares_what_varies_in_length_if_anything_does() -> None:
    spec = letters_spec()
    varying = TensorSpec(name="x", dtype="uint8", shape=(-1, 3, -1))
    of_two = spec.model_copy(update={"inputs": (varying,)})
    assert tokens_in_head(of_two, arrays(x=(1, 4, 3, 5))) == 20
    fixed = spec.model_copy(update={"inputs": (varying.model_copy(update={"shape": (4, 4)}),)})
    assert tokens_in_head(fixed, arrays(x=(1, 4, 4))) == 0


@pytest.mark.parametrize(
    ("pairs", "tokens", "rows"), [(100, 0, 8), (100, 1, 8), (100, 5, 4), (100, 6, 2), (100, 11, 1)]
)
def test_the_square_of_their_length_bounds_rows(pairs: int, tokens: int, rows: int) -> None:
    assert rows_within(pairs, tokens, 8) == rows


def test_long_calls_wait_for_each_other_and_short_ones_for_nobody() -> None:
    async def main() -> None:
        gate = MemoryGate(100)
        begun: list[int] = []
        release = asyncio.Event()

        async def call(pairs: int) -> None:
            async with gate.hold(pairs):
                begun.append(pairs)
                await release.wait()

        async def settle() -> None:
            for _ in range(5):
                await asyncio.sleep(0)

        calls = [asyncio.create_task(call(pairs)) for pairs in (60, 50, 30, 3, 1000)]
        await settle()
        assert begun == [60, 3]
        calls[1].cancel()
        await settle()
        assert begun == [60, 3, 30]
        release.set()
        await asyncio.wait(calls)
        assert begun == [60, 3, 30, 1000]
        async with asyncio.timeout(1), gate.hold(100):
            pass

    asyncio.run(main())


def test_a_call_that_is_cancelled_as_it_gets_its_turn_holds_nothing() -> None:
    async def main() -> None:
        gate = MemoryGate(100)

        async def call() -> None:
            async with gate.hold(100):
                pass

        async with gate.hold(100):
            waiting = asyncio.create_task(call())
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
        async with asyncio.timeout(1), gate.hold(100):
            pass

    asyncio.run(main())

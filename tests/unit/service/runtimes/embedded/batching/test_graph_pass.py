"""Jobs with tokenizers, one trunk and heads, on their way through one worker."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from omnivec2.errors import ModelNotReadyError, RefusedTensorsError
from service.runtimes.embedded.batching.batch_cost import BatchCost
from tests.support.service_parts.batched_network import BUCKET, Network, hold, queued, run, values


def test_requests_of_all_tokenizers_and_heads_share_a_batch_of_the_trunk() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        trunk = network.graphs["trunk"]
        busy = await hold(trunk, network.infer("a", "a", [1, 1]))
        tasks = await queued(
            network.infer("a", "a", [1, 2], [3, 4]),
            network.infer("b", "a", [5, 6]),
            network.infer("a", "b", [7, 8]),
        )
        trunk.gate.set()
        await busy
        assert values(await asyncio.gather(*tasks)) == [[23, 27], [1120], [-35]]
        batches = {name: [rows for rows, _ in g.batches] for name, g in network.graphs.items()}
        assert batches == {
            "tokenizer_a": [1, 3],
            "tokenizer_b": [1],
            "trunk": [1, 4],
            "head_a": [1, 3],
            "head_b": [1],
        }

    run(test)


def test_who_arrives_while_a_tokenizer_runs_joins_the_batch_of_the_trunk() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        tokenizer = network.graphs["tokenizer_a"]
        first = await hold(tokenizer, network.infer("a", "a", [1, 2]))
        tasks = await queued(
            network.infer("b", "b", [3, 4]), network.infer("a", "a", [1] * (BUCKET + 1))
        )
        tokenizer.gate.set()
        assert values(await asyncio.gather(first, *tasks)) == [[23], [-720], [99]]
        assert [rows for rows, _ in network.graphs["trunk"].batches] == [2, 1]

    run(test)


def test_nobody_joins_beyond_the_rows_of_the_trunk() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        tokenizer = network.graphs["tokenizer_a"]
        first = await hold(tokenizer, network.infer("a", "a", *[[1, 2]] * 6))
        tasks = await queued(*[network.infer("b", "b", [3, 4]) for _ in range(3)])
        tokenizer.gate.set()
        await asyncio.gather(first, *tasks)
        assert [rows for rows, _ in network.graphs["trunk"].batches] == [8, 1]

    run(test)


def test_lengths_that_a_tokenizer_pads_to_the_same_meet_once_it_is_known() -> None:
    async def test(network: Network) -> None:
        for length in (2, 7):
            await network.learn_lengths(length)
        trunk = network.graphs["trunk"]
        busy = await hold(trunk, network.infer("a", "a", [1, 1]))
        tasks = await queued(network.infer("a", "a", [1, 2]), network.infer("b", "a", [0.01] * 7))
        trunk.gate.set()
        await busy
        np.testing.assert_allclose(values(await asyncio.gather(*tasks)), [[23], [77]], rtol=1e-6)
        assert trunk.batches == [(1, 2), (2, 7)]

    run(test)


def test_the_trunk_does_not_compute_what_is_padding_in_every_row() -> None:
    async def test(network: Network) -> None:
        (answer,) = values([await network.infer("a", "a", [1, 2, 3], [4, 0, 0])])
        assert answer == [36, 14]
        assert network.graphs["trunk"].batches == [(2, 3)]
        assert network.graphs["head_a"].batches == [(2, BUCKET)]
        assert network.tokens == [("trunk", 4, 2)]

    run(test)


def test_models_of_one_request_run_their_common_parts_once() -> None:
    async def test(network: Network) -> None:
        models = [network.model("a", "a"), network.model("a", "b")]
        answers = await network.infer_all(models, [1, 2])
        assert values(answers) == [[23], [-23]]
        assert all(len(network.graphs[name].batches) == 1 for name in ("tokenizer_a", "trunk"))
        assert answers[0].compute_seconds > answers[1].compute_seconds > 0

    run(test)


def test_a_part_that_takes_fewer_rows_runs_several_times() -> None:
    async def test(network: Network) -> None:
        network.graphs["head_a"].max_rows = 2
        await network.learn_lengths()
        trunk = network.graphs["trunk"]
        busy = await hold(trunk, network.infer("a", "b", [1, 1]))
        tasks = await queued(*[network.infer("a", "a", [n, n]) for n in range(1, 6)])
        trunk.gate.set()
        await busy
        assert values(await asyncio.gather(*tasks)) == [[20 + 2 * n] for n in range(1, 6)]
        assert [rows for rows, _ in trunk.batches] == [1, 5]
        assert [rows for rows, _ in network.graphs["head_a"].batches] == [2, 2, 1]

    run(test)


@pytest.mark.parametrize("failure", [RefusedTensorsError("no"), ModelNotReadyError("broken")])
def test_a_failing_part_fails_only_those_who_need_it(failure: Exception) -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        trunk = network.graphs["trunk"]
        busy = await hold(trunk, network.infer("a", "a", [1, 1]))
        network.graphs["head_b"].failure = failure
        calls = [network.infer(*names, [1, 2]) for names in ("ab", "bb", "ba")]
        tasks = await queued(*calls)
        trunk.gate.set()
        await busy
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(answer, type(failure)) for answer in answers] == [True, True, False]
        assert values(answers[2:]) == [[320]]
        assert [rows for rows, _ in trunk.batches] == [1, 3]

    run(test)


def test_values_that_a_tokenizer_refuses_fail_their_own_request_only() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        trunk = network.graphs["trunk"]
        busy = await hold(trunk, network.infer("a", "a", [1, 1]))
        tasks = await queued(*[network.infer("a", "a", row) for row in ([1, 2], [-1, 2], [3, 4])])
        trunk.gate.set()
        await busy
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(answers[1], RefusedTensorsError)
        assert values([answers[0], answers[2]]) == [[23], [27]]
        assert [rows for rows, _ in trunk.batches] == [1, 2]

    run(test)


def test_who_leaves_during_the_tokenizer_is_not_computed_further() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        tokenizer = network.graphs["tokenizer_a"]
        leaving = await hold(tokenizer, network.infer("a", "a", [1, 2]))
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        tokenizer.gate.set()
        assert values([await network.infer("b", "b", [3, 4])]) == [[-720]]
        assert [rows for rows, _ in network.graphs["trunk"].batches] == [1]
        assert network.batcher.waiting_rows == 0

    run(test)


def test_a_part_without_an_output_that_is_needed_fails_the_request_and_not_the_worker() -> None:
    async def test(network: Network) -> None:
        tokenizer = network.graphs["tokenizer_a"]
        tokenizer.compute = lambda inputs: {"tokens": inputs["x"]}
        with pytest.raises(KeyError, match="mask"):
            await network.infer("a", "a", [1, 2])
        assert values([await network.infer("b", "b", [3, 4])]) == [[-720]]

    run(test)


def test_the_time_of_a_request_is_its_wait_and_its_runs() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        tokenizer = network.graphs["tokenizer_a"]
        first = await hold(tokenizer, network.infer("a", "a", [1, 2], [3, 4]))
        (second,) = await queued(network.infer("b", "b", [3, 4]))
        tokenizer.gate.set()
        one, other = await first, await second
        # The second has waited while the first was held up; both were in the trunk's batch.
        assert other.queue_seconds > 0
        assert other.own_seconds < other.compute_seconds
        assert one.own_seconds < one.compute_seconds

    run(test)


def test_a_batch_is_closed_at_the_rows_that_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def worthwhile_rows(_: BatchCost, most: int) -> int:
        asked.append(most)
        return 3

    monkeypatch.setattr(BatchCost, "worthwhile_rows", worthwhile_rows)

    async def test(network: Network) -> None:
        await network.learn_lengths()
        await network.infer("a", "a", [1, 1])
        trunk = network.graphs["trunk"]
        trunk.batches.clear()
        busy = await hold(trunk, network.infer("a", "a", [1, 1]))
        tasks = await queued(*[network.infer("ab"[n % 2], "a", [n, n]) for n in range(1, 8)])
        trunk.gate.set()
        await asyncio.gather(busy, *tasks)
        assert [rows for rows, _ in trunk.batches] == [1, 3, 3, 1]
        assert set(asked) == {8}

    run(test)


def test_nobody_joins_beyond_an_even_share_with_a_worker_that_computes_such_rows() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        trunk, tokenizer = network.graphs["trunk"], network.graphs["tokenizer_a"]
        other = await hold(trunk, network.infer("b", "b", [3, 4], [5, 6]))
        first = await hold(tokenizer, network.infer("a", "a", [1, 2]))
        tasks = await queued(*[network.infer("a", "a", [1, 2]) for _ in range(5)])
        tokenizer.gate.set()
        trunk.gate.set()
        await asyncio.gather(other, first, *tasks)
        # Of eight rows in all, four each: the two that were computed already, one, five waiting.
        assert max(rows for rows, _ in trunk.batches) <= 4

    run(test, workers=2)


# --- memory -------------------------------------------------------------------------------


def test_rows_that_would_take_too_much_memory_together_are_computed_one_after_the_other() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        trunk = network.graphs["trunk"]
        trunk.max_token_pairs = 2 * BUCKET**2
        busy = await hold(trunk, network.infer("a", "a", [1, 1]))
        tasks = await queued(*[network.infer("a", "a", [1, n]) for n in range(1, 6)])
        trunk.gate.set()
        await busy
        assert values(await asyncio.gather(*tasks)) == [[21 + n] for n in range(1, 6)]
        assert [rows for rows, _ in trunk.batches] == [1, 2, 2, 1]
        assert [rows for rows, _ in network.graphs["head_a"].batches] == [1, 5]

    run(test)


def test_one_row_over_the_limit_of_memory_is_computed_by_itself() -> None:
    async def test(network: Network) -> None:
        trunk = network.graphs["trunk"]
        trunk.max_token_pairs = 1
        assert values([await network.infer("a", "a", [1, 2])]) == [[23]]

    run(test)


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    async def test(network: Network) -> None:
        await network.learn_lengths()
        trunk = network.graphs["trunk"]
        trunk.max_token_pairs = 1
        # All four jobs are in one pass, which is held up in the first of their batches.
        tokenizer = network.graphs["tokenizer_a"]
        busy = await hold(tokenizer, network.infer("a", "a", [1, 1]))
        tasks = await queued(*[network.infer("a", "a", [1, n]) for n in range(1, 4)])
        trunk.gate.clear()
        trunk.entered.clear()
        tokenizer.gate.set()
        await asyncio.to_thread(trunk.entered.wait, 5)
        before = len(trunk.batches)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        trunk.gate.set()
        await busy
        await network.infer("a", "a", [1, 1])
        assert len(trunk.batches) == before + 2

    run(test)

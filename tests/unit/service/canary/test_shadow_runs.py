from __future__ import annotations

import asyncio

from service.canary.shadow_runs import ShadowRuns


def test_shadows_run_one_after_the_other_and_those_beyond_the_queue_are_dropped() -> None:
    ran: list[int] = []
    dropped: list[str] = []

    async def main() -> None:
        runs = ShadowRuns(lambda: True)

        async def run(number: int) -> None:
            await asyncio.sleep(0)
            ran.append(number)
            if number == 3:
                raise ValueError("not comparable")

        for number in range(20):
            runs.submit(lambda n=number: run(n), dropped.append, 10)  # type: ignore[misc]
        runs.submit(lambda: run(99), dropped.append, 2**30)
        while len(ran) < 16:
            await asyncio.sleep(0.001)
        runs.submit(lambda: run(16), dropped.append, 10)
        while len(ran) < 17:
            await asyncio.sleep(0.001)
        await runs.close()
        await runs.close()

    asyncio.run(main())
    assert ran == list(range(17))
    assert dropped == ["queue"] * 5


def test_no_shadow_runs_under_load() -> None:
    is_idle = [True, False, False]
    dropped: list[str] = []

    async def main() -> None:
        runs = ShadowRuns(lambda: is_idle.pop(0))

        async def run() -> None:
            raise AssertionError("must not run")

        runs.submit(run, dropped.append, 1)
        async with asyncio.timeout(20):
            while not dropped:
                await asyncio.sleep(0.001)
        runs.submit(run, dropped.append, 1)
        await runs.close()

    asyncio.run(main())
    assert dropped == ["load", "load"]

"""Shapes of batch that come often get a graph of their own, if it is faster and answers alike."""

from __future__ import annotations

import numpy as np
import pytest

from omnivec2.errors import ArtifactError
from service.runtimes.embedded.engines.openvino_graph import static_shapes
from service.runtimes.embedded.engines.openvino_graph.static_shapes import StaticGraph, StaticShapes
from tests.support.service_parts.pretend_graph import PretendGraph, pretend_clock

OFTEN = 5
OWNER = 7


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five batches are often, and a pretended clock shows what they take."""
    pretend_clock(monkeypatch)
    monkeypatch.setattr(static_shapes, "_OFTEN", OFTEN)


SLOW = 0.004


def rows(number: int, length: int = 3) -> dict[str, np.ndarray]:
    return {"x": np.arange(1.0, 1 + number * length).reshape(number, length)}


def observe(
    shapes: StaticShapes, batch: dict[str, np.ndarray], static: PretendGraph, times: int = OFTEN
) -> None:
    key = tuple(array.shape for array in batch.values())
    for _ in range(times):
        shapes.observe(OWNER, key, batch, lambda: static, PretendGraph(SLOW))  # type: ignore[return-value]
    shapes.wait()


def find(shapes: StaticShapes, number: int, length: int = 3) -> StaticGraph | None:
    return shapes.find(OWNER, ((number, length),))


def test_a_shape_that_comes_often_gets_a_graph_of_its_own() -> None:
    shapes = StaticShapes(2)
    observe(shapes, rows(4), PretendGraph(SLOW / 4), OFTEN - 1)
    assert find(shapes, 4) is None
    observe(shapes, rows(4), PretendGraph(SLOW / 4), 1)
    found = find(shapes, 4)
    assert found is not None
    assert shapes.count(OWNER) == 1
    np.testing.assert_array_equal(found.run(rows(4))["y"], 2 * rows(4)["x"])
    assert find(shapes, 4, length=5) is None
    assert shapes.find(OWNER + 1, ((4, 3),)) is None


def test_a_batch_with_a_row_less_uses_it_where_that_is_faster() -> None:
    shapes = StaticShapes(2)
    static = PretendGraph(SLOW / 2)
    observe(shapes, rows(8), static)
    found = find(shapes, 7)
    assert found is not None
    np.testing.assert_array_equal(found.run(rows(7))["y"], 2 * rows(7)["x"])
    assert static.rows[-1] == 8
    assert find(shapes, 2) is None
    assert find(shapes, 9) is None


@pytest.mark.parametrize(
    "useless",
    [PretendGraph(1.5 * SLOW), PretendGraph(SLOW / 4, factor=3.0)],
    ids=["slower", "wrong"],
)
def test_a_graph_that_is_slower_or_answers_otherwise_is_not_used(useless: PretendGraph) -> None:
    shapes = StaticShapes(2)
    observe(shapes, rows(4), useless)
    assert find(shapes, 4) is None
    assert useless.is_closed


def test_a_shape_that_cannot_be_compiled_stays_with_the_graph_for_every_size() -> None:
    shapes = StaticShapes(2)
    attempts = []

    def fail() -> PretendGraph:
        attempts.append(1)
        raise ArtifactError("no such shape")

    for _ in range(3 * OFTEN):
        shapes.observe(OWNER, ((4, 3),), rows(4), fail, PretendGraph(SLOW))
    shapes.wait()
    assert find(shapes, 4) is None
    assert len(attempts) == 1


def test_there_are_at_most_so_many_and_a_much_more_frequent_one_takes_the_place() -> None:
    shapes = StaticShapes(1)
    observe(shapes, rows(4), PretendGraph(0.85 * SLOW))
    observe(shapes, rows(5), PretendGraph(0.85 * SLOW))
    assert find(shapes, 5) is None
    observe(shapes, rows(5), PretendGraph(0.85 * SLOW), 4 * OFTEN)
    assert find(shapes, 5) is not None
    assert find(shapes, 4) is None
    assert len(shapes) == 1


def test_no_room_compiles_nothing() -> None:
    shapes = StaticShapes(0)
    observe(shapes, rows(4), PretendGraph(SLOW / 4), 3 * OFTEN)
    assert find(shapes, 4) is None


def test_a_graph_that_is_closed_loses_its_static_ones() -> None:
    shapes = StaticShapes(2)
    static = PretendGraph(SLOW / 4)
    observe(shapes, rows(4), static)
    shapes.forget(OWNER)
    assert static.is_closed
    assert find(shapes, 4) is None
    assert len(shapes) == 0

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from export.graphs.traceable import traceable_head
from export.parity.agreement import relative_error
from export.parity.parity_gate import cases_of, check_parity, compare
from omnivec2.errors import ParityError
from omnivec2.spec import HeadSpec, Modality, PreprocessSpec, TaskFamily, TensorSpec

HEAD = HeadSpec(
    modality=Modality.IMU,
    task="activity",
    family=TaskFamily.CLASSIFICATION,
    inputs=(TensorSpec(name="signal", dtype="float32", shape=(4, 2)),),
    outputs=tuple(TensorSpec(name=n, dtype="float32", shape=(2,)) for n in ("mean", "largest")),
    preprocess=PreprocessSpec(name=Modality.IMU, version=1),
    network="stand-in",
)


class Network(nn.Module):
    def forward(self, route: str, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"mean": inputs["signal"].mean(1), "largest": inputs["signal"].amax(1)}


class Session:
    """Answers like the network, plus an error on one output for one batch size."""

    def __init__(self, output: str = "", error: float = 0.0, batch_size: int = 3) -> None:
        self.output, self.error, self.batch_size = output, error, batch_size

    def run(self, names: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
        outputs = Network()("", {k: torch.from_numpy(v) for k, v in feeds.items()})
        answers = {name: outputs[name].numpy().copy() for name in names}
        if self.output and len(feeds["signal"]) == self.batch_size:
            worst = np.abs(answers[self.output]).max()
            answers[self.output][0, 0] += self.error * worst
        return [answers[name] for name in names]


def check(session: Session, **options: Any) -> Any:
    traceable = traceable_head(Network(), HEAD)
    return check_parity(traceable, session.run, cases_of(HEAD, **options))


def test_equal_answers_pass_at_every_batch_size() -> None:
    entries = check(Session())
    assert [(e.batch_size, e.max_relative_error) for e in entries] == [(1, 0), (3, 0), (8, 0)]


@pytest.mark.parametrize("output", ["mean", "largest"])
def test_an_error_over_the_tolerance_fails_and_names_the_worst_output(output: str) -> None:
    with pytest.raises(ParityError, match=f"output {output} differs .* batch 3"):
        check(Session(output, 2e-4))


def test_an_error_under_the_tolerance_is_recorded() -> None:
    entries = check(Session("mean", 5e-5))
    assert entries[1].worst_output == "mean"
    assert entries[1].max_relative_error == pytest.approx(5e-5, rel=0.05)


def test_a_value_that_is_not_a_number_fails() -> None:
    with pytest.raises(ParityError, match="differs from PyTorch by inf"):
        check(Session("mean", float("nan")))


def test_outputs_of_another_shape_fail() -> None:
    class Broadcast(Session):
        def run(self, names: Sequence[str], feeds: Mapping[str, Any]) -> list[Any]:
            return [answer[:1] for answer in super().run(names, feeds)]

    with pytest.raises(ParityError, match=r"shape \[1, 2\], PyTorch gives \[3, 2\]"):
        check(Broadcast())


def test_real_samples_are_compared_beside_random_ones() -> None:
    sample = {"signal": np.ones((4, 2), np.float32)}
    entries = check(Session(), samples=[sample])
    assert [(e.inputs, e.batch_size) for e in entries[3:]] == [
        ("sample", 1),
        ("sample", 3),
        ("sample", 8),
    ]


def test_the_error_is_relative_to_the_largest_expected_value() -> None:
    assert relative_error(np.array([100.0, 1.001]), np.array([100.0, 1.0])) == pytest.approx(1e-5)
    assert relative_error(np.array([1e-9]), np.array([0.0])) == pytest.approx(1e-3)
    assert relative_error(np.zeros((0, 2)), np.zeros((0, 2))) == 0.0


@pytest.mark.parametrize(("value", "error"), [(0.01, 1e-5), (0.99, 1e-5), (100.0, 1e-7)])
def test_a_lone_number_near_zero_is_not_compared_with_itself(value: float, error: float) -> None:
    answers = {"values": np.array([[value]])}
    reference = SimpleNamespace(name="lone", answer=lambda _: answers)
    found = compare(
        cast(Any, reference), lambda *_: [np.array([[value + 1e-5]])], {"x": np.zeros((1, 1))}
    )
    assert found["values"] == pytest.approx(error, rel=1e-3)

"""Heads that are added to a running deployment and removed, under load, in every combination.

The tests of a combination share its servers, in this order: the refused heads come first.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from export.export_run import export_checkpoint, require_ok
from export.repository.assembly import assemble
from export.repository.layouts import Layout
from loadtests.support.triton_server import TritonServer, running_triton
from omnivec2.network.config import HeadConfig, NetworkConfig
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.network.saved_network import save_network
from omnivec2.network.tokenizers.series import ImuTokenizerConfig
from omnivec2.spec import HeadSpec, TaskFamily
from omnivec2_cli.main import app
from tests.support.gateways.servers import RunningServer, running_server
from tests.support.model_repositories.tiny_models import classification
from tests.support.networks.cut_networks import one_layer
from tests.support.requests.event_streams import parse_events
from tests.support.waiting import wait_until

pytestmark = pytest.mark.long

SIGNAL = {"inputs": np.linspace(-1, 1, 64 * 9).reshape(64, 9).tolist()}
LONG_SIGNAL = {"inputs": np.linspace(-1, 1, 640 * 9).reshape(640, 9).tolist()}
FRESH = {"Cache-Control": "no-store"}
"""The header of requests whose answers are computed, and not taken from the cache."""
ACTIVITY, GESTURE = "imu/activity", "imu/gesture"
SECONDS = 5.0
REFRESH_SECONDS = 0.25
LOOKED = 3 * REFRESH_SECONDS
"""Longer than a gateway takes to look at its models."""
COMBINATIONS = [(layout, runtime) for layout in Layout for runtime in ("embedded", "triton")]


def make_checkpoint(directory: Path, *routes: str, sign: float = 1.0, trunk: int = 0) -> Path:
    """Export a tiny network; its heads differ by a sign, its trunk by a seed."""
    heads: list[HeadSpec] = [classification(route, "a", "b") for route in routes]
    heads = [head.model_copy(update={"network": "tiny"}) for head in heads]
    config = one_layer() | {
        "tokenizers": {"imu": ImuTokenizerConfig()},
        "heads": {
            route: HeadConfig(family=TaskFamily.CLASSIFICATION, tokenizer="imu", outputs=2)
            for route in routes
        },
    }
    torch.manual_seed(0)
    network = OmniVec2(NetworkConfig.model_validate(config))
    state = dict(network.state_dict())
    for name, value in state.items():
        torch.manual_seed(sum(name.encode()) + (trunk if name.startswith("trunk.") else 0))
        if ".weight" in name and "norm" not in name:
            state[name] = torch.randn_like(value) * 0.2
    for route in routes:
        state[f"heads.{route.replace('/', '_')}.output.linear.weight"] *= 3 * sign
    network.load_state_dict(state)
    save_network(directory, network, state, heads)
    require_ok(export_checkpoint(directory, layouts=list(Layout)))
    return directory


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("first") / "checkpoint", ACTIVITY)


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same trunk, another head of the same name, and a new one."""
    directory = tmp_path_factory.mktemp("second") / "checkpoint"
    return make_checkpoint(directory, ACTIVITY, GESTURE, sign=-1.0)


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("foreign") / "checkpoint", GESTURE, trunk=1)


class Deployment:
    """A gateway over one repository, and the Triton server behind it if there is one."""

    def __init__(self, repository: Path, gateway: RunningServer, triton: TritonServer | None):
        self.repository, self.gateway, self.triton = repository, gateway, triton

    def head(self, *words: str) -> tuple[int, str]:
        """Run ``omnivec2 head``."""
        options = ["--model-repo", str(self.repository)]
        if self.triton is not None:
            options += ["--triton", self.triton.grpc]
        outcome = CliRunner().invoke(app, ["head", *words, *options])
        return outcome.exit_code, outcome.output

    def post(self, route: str) -> httpx.Response:
        return httpx.post(f"{self.gateway.url}/predict/{route}", json=SIGNAL, timeout=30)


@pytest.fixture(scope="module", params=COMBINATIONS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def deployment(
    request: pytest.FixtureRequest, first: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    layout, runtime = request.param
    directory = tmp_path_factory.mktemp(f"{layout}-{runtime}")
    repository = directory / "repository"
    assemble(first, repository, layout)
    # Half of the load asks for answers from the cache: it must not outlive a head.
    settings = {"refresh_seconds": REFRESH_SECONDS, "response_cache_mib": 8}
    if runtime == "embedded":
        # As an operator would: the repository came from elsewhere, there is no checkpoint.
        options = ("--model-repo", str(repository), "--checkpoint", str(directory / "none"))
        with running_server(*options, settings=settings) as gateway:
            yield Deployment(repository, gateway, None)
        return
    with (
        running_triton(repository, "--model-control-mode", "explicit") as triton,
        running_server(
            "--runtime", "triton", "--triton", triton.grpc, settings=settings
        ) as gateway,
    ):
        yield Deployment(repository, gateway, triton)


@contextmanager
def load(deployment: Deployment, route: str) -> Iterator[list[httpx.Response]]:
    """Send requests all the time from four threads, and yield the list of their answers.

    Two of them take answers from the cache.
    """
    answers: list[httpx.Response] = []
    stop = threading.Event()

    def work(headers: dict[str, str]) -> None:
        with httpx.Client(base_url=deployment.gateway.url, timeout=30, headers=headers) as client:
            while not stop.is_set():
                started = time.monotonic()
                answer = client.post(f"/predict/{route}", json=SIGNAL)
                answer.extensions["times"] = (started, time.monotonic())
                answers.append(answer)

    threads = [threading.Thread(target=work, args=(FRESH if n % 2 else {},)) for n in range(4)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.3)
        yield answers
        time.sleep(0.3)
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def scores(answer: httpx.Response) -> dict[str, float]:
    assert answer.status_code == 200, answer.text
    return {entry["label"]: entry["score"] for entry in answer.json()}


def _truncate(checkpoint: Path) -> None:
    for graph in [*checkpoint.glob("models/*/model.onnx"), *checkpoint.glob("parts/*/model.onnx")]:
        graph.write_bytes(graph.read_bytes()[:-100])


def _other_passport(checkpoint: Path) -> None:
    for file in [
        *checkpoint.glob("models/*/passport.json"),
        *checkpoint.glob("models/*/ensemble.json"),
        *checkpoint.glob("parts/head_*/passport.json"),
    ]:
        passport = json.loads(file.read_text())
        file.write_text(json.dumps(passport | {"model": "imu_other"}))


def _other_outputs(checkpoint: Path) -> None:
    """Write three classes into the head's and the part's specs, where the graph has two."""
    files = [*checkpoint.glob("models/*/head.json"), *checkpoint.glob("parts/head_*/part.json")]
    for file in files:
        spec = json.loads(file.read_text())
        for tensor in spec["outputs"]:
            tensor["shape"] = [3]
        file.write_text(json.dumps(spec))


@pytest.mark.parametrize(
    "damage", [_truncate, _other_passport, _other_outputs], ids=lambda damage: damage.__name__
)
def test_a_bad_head_is_refused_with_the_reason_and_the_old_one_keeps_answering(
    deployment: Deployment, second: Path, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    bad = tmp_path / "bad"
    shutil.copytree(second, bad)
    damage(bad)
    before = scores(deployment.post(ACTIVITY))
    with load(deployment, ACTIVITY) as answers:
        code, output = deployment.head("add", ACTIVITY, "--checkpoint", str(bad))
        assert code != 0
        assert "imu" in output
        time.sleep(LOOKED)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["X-Model-Version"] for answer in answers} == {"1"}
    assert scores(answers[-1]) == pytest.approx(before, abs=1e-6)


def test_a_recording_is_streamed_window_by_window(deployment: Deployment) -> None:
    url = f"{deployment.gateway.url}/predict/{ACTIVITY}"
    streamed = httpx.post(
        url, json=LONG_SIGNAL, headers={**FRESH, "Accept": "text/event-stream"}, timeout=30
    )
    *windows, last = parse_events(streamed.content)
    assert [event.data["index"] for event in windows] == list(range(10))
    whole = httpx.post(url, json=LONG_SIGNAL, headers=FRESH, timeout=30)
    answer = {entry["label"]: entry["score"] for entry in last.data["answer"]}
    assert answer == pytest.approx(scores(whole), abs=1e-5)
    for label, score in answer.items():
        of_windows = [
            entry["score"]
            for event in windows
            for entry in event.data["answer"]
            if entry["label"] == label
        ]
        assert np.mean(of_windows) == pytest.approx(score, abs=1e-6)


def test_a_head_of_another_trunk_is_refused_in_the_shared_layout(
    deployment: Deployment, foreign: Path
) -> None:
    code, output = deployment.head("add", GESTURE, "--checkpoint", str(foreign))
    shared = (deployment.repository / "trunk").exists()
    if shared:
        assert code != 0
        assert "another trunk" in " ".join(output.split())
        assert deployment.post(GESTURE).status_code == 404
    else:
        assert code == 0, output
        wait_until(lambda: deployment.post(GESTURE).status_code == 200, seconds=SECONDS)
        assert deployment.head("remove", GESTURE)[0] == 0
        wait_until(lambda: deployment.post(GESTURE).status_code == 404, seconds=SECONDS)


def test_heads_are_added_replaced_and_removed_under_load_without_a_failed_response(
    deployment: Deployment, second: Path
) -> None:
    before = scores(deployment.post(ACTIVITY))
    assert deployment.post(GESTURE).status_code == 404
    with load(deployment, ACTIVITY) as answers:
        code, output = deployment.head("add", GESTURE, "--checkpoint", str(second))
        assert code == 0, output
        wait_until(lambda: deployment.post(GESTURE).status_code == 200, seconds=SECONDS)
        code, output = deployment.head("add", ACTIVITY, "--checkpoint", str(second))
        assert code == 0, output
        wait_until(
            lambda: deployment.post(ACTIVITY).headers["X-Model-Version"] == "2", seconds=SECONDS
        )
        after = scores(deployment.post(ACTIVITY))
        code, output = deployment.head("remove", GESTURE)
        assert code == 0, output
        wait_until(lambda: deployment.post(GESTURE).status_code == 404, seconds=SECONDS)
    assert [answer.text for answer in answers if answer.status_code != 200] == []
    assert len(answers) > 20
    assert max(abs(after[label] - before[label]) for label in before) > 0.01
    # Whichever version a request met, it was answered wholly by that one.
    wanted = {"1": before, "2": after}
    for answer in answers:
        expected = wanted[answer.headers["X-Model-Version"]]
        assert scores(answer) == pytest.approx(expected, abs=1e-4)
    # Once somebody has had an answer of the new version, nobody is given one of the old.
    hits = [answer for answer in answers if answer.headers["Cache-Status"] == "omnivec2; hit"]
    assert {answer.headers["X-Model-Version"] for answer in hits} == {"1", "2"}
    times: dict[str, list[tuple[float, float]]] = {"1": [], "2": []}
    for answer in answers:
        times[answer.headers["X-Model-Version"]].append(answer.extensions["times"])
    assert max(started for started, _ in times["1"]) <= min(ended for _, ended in times["2"])
    listed = json.loads(CliRunner().invoke(
        app, ["head", "list", "--json", "--model-repo", str(deployment.repository)]
    ).output)  # fmt: skip
    assert [(head["route"], head["version"]) for head in listed] == [(ACTIVITY, 2)]


def test_a_new_version_that_is_bad_on_disk_is_refused_and_the_old_head_answers(
    deployment: Deployment,
) -> None:
    before = scores(deployment.post(ACTIVITY))
    directories = [deployment.repository / name for name in ("head_imu_activity", "imu_activity")]
    owner = next(d for d in directories if list(d.glob("*/model.onnx")))
    newest = max(int(path.name) for path in owner.iterdir() if path.is_dir())
    shutil.copytree(owner / str(newest), owner / str(newest + 1))
    graph = owner / str(newest + 1) / "model.onnx"
    graph.write_bytes(graph.read_bytes()[:-100])
    if deployment.triton is not None:
        load = f"{deployment.triton.http}/v2/repository/models/{owner.name}/load"
        assert httpx.post(load, timeout=60).status_code == 400
    elif owner.name == "head_imu_activity":
        config = deployment.repository / "imu_activity" / "config.pbtxt"
        text = config.read_text()
        step = text.index('model_name: "head_imu_activity"')
        version = "model_version: {}".format
        changed = text[step:].replace(version(newest), version(newest + 1), 1)
        config.write_text(text[:step] + changed)

    def refused() -> dict[str, str]:
        found: dict[str, str] = httpx.get(f"{deployment.gateway.url}/readyz").json()["refused"]
        return found

    if deployment.triton is None:
        wait_until(lambda: "model.onnx" in refused().get("imu_activity", ""), seconds=SECONDS)
    time.sleep(LOOKED)
    assert scores(deployment.post(ACTIVITY)) == pytest.approx(before, abs=1e-6)

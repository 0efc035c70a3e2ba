"""Checks of the running stack; each raises VerifyError if it fails."""

from __future__ import annotations

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from deploy.compose.container_engine import VerifyError, inside, inspect, run
from deploy.compose.container_images import ENGINES
from deploy.compose.stack import Stack, wait_for
from deploy.compose.stack_load import SAMPLES, Outcome, ask, check_answer, steady_load

SERVICES = ("gateway", "triton")
_COMPILERS = ("cc", "gcc", "g++", "c++", "clang", "ld", "as", "make", "cmake", "rustc", "go")
_RECOVERY_SECONDS = 180
_SETTLE_SECONDS = 3

# The slowest of the samples, so that some are under way whenever something happens.
_LOAD_ROUTE = "video/action"
_CLIENTS = 3
_PAUSE_SECONDS = 0.1


def check_every_modality(stack: Stack) -> str:
    """Post a real file of each modality and check the answer against its task family's schema."""
    with urllib.request.urlopen(f"{stack.url}/models", timeout=30) as answer:
        listed = json.load(answer)
    specs = {f"{spec['modality']}/{spec['task']}": spec for spec in _specs(listed)}
    before = _requests(stack)
    for route in SAMPLES:
        outcome = _answered(ask(stack.url, route), route)
        check_answer(route, outcome.body, specs[route])
    counted = _requests(stack) - before
    wanted = Counter({(*route.split("/"), "200"): 1 for route in SAMPLES})
    if counted != wanted:
        raise VerifyError(f"metrics count {dict(counted)}, sent was one of each of {list(SAMPLES)}")
    return f"{len(SAMPLES)} of {len(SAMPLES)}, and metrics count exactly these"


def check_hardening(stack: Stack) -> str:
    """Check the containers: no root, no writable root, no capabilities, no torch, no compiler."""
    for service in SERVICES:
        container = stack.container(service)
        host = inspect(container)["HostConfig"]
        facts = {
            "not root": int(inside(container, "id", "-u")) >= 1000,
            "a read-only root": host["ReadonlyRootfs"] and not _can_write(container, "/probe"),
            "no capabilities": _capabilities(container) == 0,
            "no new privileges": "no-new-privileges:true" in host["SecurityOpt"],
            "a limit on memory": host["Memory"] > 0,
            "a limit on processes": (host["PidsLimit"] or 0) > 0,
            "a restart policy": host["RestartPolicy"]["Name"] == "unless-stopped",
            "models it cannot write": not _can_write(container, "/models/probe"),
        }
        if missing := [name for name, holds in facts.items() if not holds]:
            raise VerifyError(f"{service} lacks {', '.join(missing)}")
    check_no_torch(stack)
    return f"{' and '.join(SERVICES)}: 8 facts each; gateway without torch and compilers"


def check_no_torch(stack: Stack) -> None:
    """Check that the gateway's image has neither torch nor a compiler."""
    code = (
        "import importlib.util, shutil\n"
        f"found = [name for name in {_COMPILERS!r} if shutil.which(name)]\n"
        "found += [name for name in ('torch', 'pip') if importlib.util.find_spec(name)]\n"
        "print(*found)\n"
    )
    found = inside(stack.container("gateway"), "python", "-c", code).split()
    if found:
        raise VerifyError(f"the gateway's image has {', '.join(found)}")


def check_engines_image() -> str:
    """Check that on another base than NVIDIA's the exporter lacks nothing but TensorRT."""
    options = ["--rm", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL"]
    try:
        run(["docker", "run", *options, ENGINES.tag])
    except VerifyError as error:
        if "No module named 'tensorrt'" in str(error):
            return "only TensorRT is missing, and torch is not needed"
        raise
    raise VerifyError("plans were built without TensorRT")


def check_crash_recovery(stack: Stack) -> tuple[str, float]:
    """Kill Triton under light load; it must come back by itself, with nothing but 503 meanwhile.

    Args:
        stack: The running stack.

    Returns:
        The result in words, and the seconds from the kill to the first answer.
    """
    restarts = inspect(stack.container("triton"))["RestartCount"]
    with steady_load(stack.url, "text/sentiment", clients=1, pause_seconds=0.2) as load:
        time.sleep(_SETTLE_SECONDS)
        killed = time.monotonic()
        stack.crash("triton")
        wait_for(
            lambda: any(o.result == "answered" and o.began > killed + 1 for o in load.outcomes),
            _RECOVERY_SECONDS,
            "Triton was killed, and requests are not answered again",
        )
    answered = [o for o in load.outcomes if o.result == "answered" and o.began > killed + 1]
    seconds = answered[0].ended - killed
    if inspect(stack.container("triton"))["RestartCount"] <= restarts:
        raise VerifyError("Triton answers, but the engine did not restart it: was it killed?")
    if not load.count("put off"):
        raise VerifyError("Triton was killed and no request failed: was it killed?")
    _require_none_broken(load.outcomes)
    wait_for(stack.is_ready, _RECOVERY_SECONDS, "the gateway is not ready after the crash")
    for service in SERVICES:
        wait_for(
            lambda service=service: stack.is_healthy(service),  # type: ignore[misc]
            _RECOVERY_SECONDS,
            f"{service} is not healthy after the crash",
        )
    return (
        f"answers again after {seconds:.0f} s; meanwhile {load.count('put off')} requests "
        "were put off, none broke",
        seconds,
    )


def check_graceful_stop(stack: Stack) -> str:
    """Stop the stack under load; every accepted request must be answered."""
    with steady_load(stack.url, _LOAD_ROUTE, _CLIENTS, _PAUSE_SECONDS) as load:
        time.sleep(_SETTLE_SECONDS)
        began = time.monotonic()
        stack.stop()
        seconds = time.monotonic() - began
    _require_none_broken(load.outcomes)
    if not load.count("refused"):
        raise VerifyError("no request was refused at the end: did the gateway stop?")
    # Compose takes a moment until it sends SIGTERM, so requests may start after ``began``.
    late = [o for o in load.outcomes if o.result == "answered" and o.ended > began]
    if not late:
        raise VerifyError("no request was under way at the stop, so the check shows nothing")
    gateway = inspect(stack.container("gateway"))["State"]
    if gateway["ExitCode"] not in (0, 143) or gateway["OOMKilled"]:
        raise VerifyError(f"the gateway ended with {gateway['ExitCode']}")
    return (
        f"{seconds:.0f} s; {load.count('answered')} answered, {len(late)} of them after the stop "
        f"began; {load.count('put off')} put off, {load.count('refused')} refused, 0 broken"
    )


def memory_mb() -> Mapping[str, float]:
    """Return the memory of each service as the engine counts it, in MB of 10^6 bytes."""
    lines = run(["docker", "stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}"])
    used = {}
    for line in lines.splitlines():
        name, amount, *_ = line.split()
        for service in SERVICES:
            if f"_{service}_" in f"_{name}_".replace("-", "_"):
                used[service] = _megabytes(amount)
    return used


def _megabytes(amount: str) -> float:
    """Convert an amount such as ``1.5GiB`` to MB."""
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10), ("B", 1)):
        if amount.endswith(unit):
            return round(float(amount.removesuffix(unit)) * factor / 1e6, 1)
    raise VerifyError(f"docker stats: {amount!r} is no amount of memory")


def _specs(listed: Any) -> list[dict[str, Any]]:
    """Return the head specs of ``/models``, whether in a list or an object."""
    found = listed["models"] if isinstance(listed, dict) else listed
    return [entry.get("spec", entry) for entry in found]


def _requests(stack: Stack) -> Counter[tuple[str, str, str]]:
    """Return the gateway's counts of requests: (modality, task, status) -> number."""
    counted: Counter[tuple[str, str, str]] = Counter()
    for family in text_string_to_metric_families(stack.metrics()):
        for sample in family.samples:
            if sample.name == "omnivec2_requests_total":
                labels = sample.labels
                key = (labels["modality"], labels["task"], labels["status"])
                counted[key] += int(sample.value)
    return counted


def _answered(outcome: Outcome, route: str) -> Outcome:
    if outcome.result != "answered":
        raise VerifyError(f"{route}: {outcome.detail}")
    return outcome


def _require_none_broken(outcomes: list[Outcome]) -> None:
    if broken := [outcome.detail for outcome in outcomes if outcome.result == "broken"]:
        raise VerifyError(f"{len(broken)} of {len(outcomes)} requests broke: {broken[0]}")


def _can_write(container: str, path: str) -> bool:
    try:
        inside(container, "touch", path)
    except VerifyError:
        return False
    return True


def _capabilities(container: str) -> int:
    """Return the bounding set of the container's main process, as a number; 0 is none."""
    for line in inside(container, "cat", "/proc/1/status").splitlines():
        if line.startswith("CapBnd:"):
            return int(line.split()[1], 16)
    raise VerifyError("/proc/1/status names no capabilities")

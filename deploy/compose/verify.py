"""Bring up the stack of docker-compose.yml on this machine and check it.

Needs root and Debian's mirror where no Docker engine is installed yet, and Python 3.11; no
registry. Builds both images, starts the stack (on loopback of this machine where containers
have no network of their own), posts a real file of every modality, kills Triton, stops
everything under load, and removes it again::

    python -m deploy.compose.verify

Prints a line per step. With OMNIVEC2_SKIP_COMPOSE=1 it does nothing and prints that; otherwise
a machine on which no engine can run is a failure.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from deploy.compose import container_engine, container_images, stack_checks
from deploy.compose.container_engine import VerifyError
from deploy.compose.container_images import ROOT
from deploy.compose.stack import Ports, Stack
from loadtests.support.free_ports import free_ports
from loadtests.support.measured_gateway import REPORTS, write_report

CACHE = ROOT / ".cache" / "compose"
SKIP = "OMNIVEC2_SKIP_COMPOSE"
_IDLE_SECONDS = 10

T = TypeVar("T")


def main() -> int:
    """Run every step; return 1 if one failed."""
    arguments = parse(sys.argv[1:])
    if os.environ.get(SKIP) == "1":
        print_line("SKIPPED", 0, f"compose is not verified: {SKIP}=1")
        return 0
    began = time.monotonic()
    try:
        with ExitStack() as cleanup:
            report = verify(arguments, cleanup)
    except VerifyError as error:
        print_line("FAIL", time.monotonic() - began, str(error))
        return 1
    print_line("OK", time.monotonic() - began, "everything")
    print_table(report)
    path = write_report(REPORTS if arguments.save else CACHE, "compose", report)
    sys.stdout.write(f"written: {path.relative_to(ROOT)}\n")
    return 0


def parse(words: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--python-image",
        metavar="IMAGE",
        help="base image to build on; by default one is made with debootstrap",
    )
    parser.add_argument(
        "--save", action="store_true", help="write the report into loadtests/reports/"
    )
    return parser.parse_args(words)


def verify(arguments: argparse.Namespace, cleanup: ExitStack) -> dict[str, Any]:
    """Run all steps, one after the other.

    Args:
        arguments: The options of the command line.
        cleanup: The stack of callbacks that stop what is started.

    Returns:
        The measurements.

    Raises:
        VerifyError: A step failed.
    """
    run_step("a Docker engine is installed", container_engine.install)
    log = CACHE / "dockerd.log"
    run_step("it answers", lambda: cleanup.enter_context(container_engine.running(log)))
    build_images(arguments.python_image)
    bridge = container_engine.has_bridge()
    stack = Stack(CACHE, Ports(*free_ports(5)), bridge=bridge)
    stack.down()
    cleanup.callback(stack.down)
    with logs_of_failure(stack):
        return run_checks(stack, bridge=bridge)


def build_images(base: str | None) -> None:
    """Build the gateway and the small Triton, on a base image of this machine if none is given."""
    if base is None:
        base, _ = run_step(
            "a base image", lambda: container_images.base_image(CACHE), lambda made: made[1]
        )
    wheels = run_step(
        "packages are fetched", lambda: container_images.fetch_wheels(CACHE), lambda _: "by hash"
    )
    with container_images.served(wheels) as address:
        for recipe in (container_images.GATEWAY, container_images.TRITON, container_images.ENGINES):
            made = lambda recipe=recipe: container_images.build(recipe, base, address)  # noqa: E731
            run_step(f"{recipe.dockerfile} builds", made)
    run_step("the image that builds plans lacks only TensorRT", stack_checks.check_engines_image)


def run_checks(stack: Stack, *, bridge: bool) -> dict[str, Any]:
    """Start the stack, check it and return the measurements."""
    where = "in networks of its own" if bridge else "on this machine's loopback"
    ready = run_step("the stack comes up", stack.up, lambda s: f"ready after {s:.0f} s, {where}")
    time.sleep(_IDLE_SECONDS)
    idle = stack_checks.memory_mb()
    run_step("every modality is answered", lambda: stack_checks.check_every_modality(stack))
    run_step("containers are hardened", lambda: stack_checks.check_hardening(stack))
    _, recovery = run_step(
        "Triton is killed and comes back",
        lambda: stack_checks.check_crash_recovery(stack),
        lambda r: r[0],
    )
    run_step("a stop under load drops nothing", lambda: stack_checks.check_graceful_stop(stack))
    return {
        "what": "the stack of docker-compose.yml with the development Triton, idle and restarted",
        "images_mb": {
            "gateway": round(container_images.image_bytes(container_images.GATEWAY.tag) / 1e6),
            "triton": round(container_images.image_bytes(container_images.TRITON.tag) / 1e6),
        },
        "start_to_ready_seconds": round(ready, 1),
        "idle_memory_mb": dict(idle),
        "recovery_seconds": round(recovery, 1),
        "network": "bridge" if bridge else "host",
    }


def run_step(name: str, work: Callable[[], T], show: Callable[[T], str] = str) -> T:
    """Run one step and print its result.

    Args:
        name: The name of the step.
        work: The step.
        show: A callback that puts the step's result into words.

    Raises:
        VerifyError: The step failed.
    """
    began = time.monotonic()
    try:
        result = work()
    except VerifyError as error:
        raise VerifyError(f"{name}: {error}") from error
    print_line("OK", time.monotonic() - began, f"{name}: {show(result)}")
    return result


def print_line(status: str, seconds: float, text: str) -> None:
    """Print one line of the log and flush it."""
    sys.stdout.write(f"{status:<8}{seconds:6.1f} s  {text}\n")
    sys.stdout.flush()


@contextmanager
def logs_of_failure(stack: Stack) -> Iterator[None]:
    """Print the containers' last lines if the block fails."""
    try:
        yield
    except BaseException:
        sys.stdout.write(stack.logs())
        raise


def print_table(report: dict[str, Any]) -> None:
    """Print the measurements as a table."""
    rows = [("", "gateway", "triton (development)")]
    size, idle = report["images_mb"], report["idle_memory_mb"]
    rows.append(("image, MB", f"{size['gateway']}", f"{size['triton']}"))
    rows.append(("idle memory, MB", f"{idle['gateway']:.0f}", f"{idle['triton']:.0f}"))
    for row in rows:
        sys.stdout.write("  ".join(f"{cell:<22}" for cell in row).rstrip() + "\n")
    sys.stdout.write(f"start to ready: {report['start_to_ready_seconds']} s\n")


if __name__ == "__main__":
    sys.exit(main())

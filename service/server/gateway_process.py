"""Run the gateway as a process: listen, load, announce the address."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import socket
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import uvicorn
from pydantic import JsonValue

from omnivec2.errors import ArtifactError
from omnivec2.spec import HeadSpec, Modality, TaskFamily
from service.app import create_app
from service.gateway import Gateway
from service.observability import log_setup
from service.pipeline.host_stages import Head
from service.runtimes.base import GroupMember, Runtime
from service.server.addresses import url_host
from service.server.graceful_server import GracefulServer
from service.server.limited_protocol import protocol_with_limits
from service.server.process_group import ProcessGroup, process_settings
from service.server.thread_priorities import freeze_heap, shorten_switch_interval
from service.settings import Settings

_POLL_SECONDS = 0.1


def serve(settings: Settings, announce: Callable[[str, Gateway], None]) -> None:
    """Serve until interrupted.

    Args:
        settings: The settings of the gateway.
        announce: A callback for when the models are loaded: (address, gateway).

    Raises:
        ArtifactError: The address cannot be listened on, or nothing can be served.
    """
    log_setup.configure(settings.log_level, settings.log_format)
    shorten_switch_interval()
    if settings.processes == 1:
        _serve(settings, announce)
        return
    with TemporaryDirectory(prefix="omnivec2-") as directory, _reserved_ports(settings) as reserved:
        own = process_settings(reserved)

        def serve_one(index: int, on_ready: Callable[[], None]) -> None:
            def ready(address: str, gateway: Gateway) -> None:
                on_ready()
                if index == 0:
                    announce(address, gateway)

            _serve(own, ready, GroupMember(index, Path(directory), loaded))

        loaded = _load_before_fork(own)
        ProcessGroup(settings.processes, serve_one).run()


def _load_before_fork(settings: Settings) -> Runtime | None:
    """Load the models in the parent, so that all processes have one set of weights in memory.

    ONNX Runtime's sessions work in a forked process, as long as they have no threads of their own.
    OpenVINO's do: every process must load its models itself.

    Returns:
        A runtime with loaded models; None if its engine does not allow that.

    Raises:
        ArtifactError: Nothing can be served.
    """
    if settings.runtime != "embedded" or settings.engine != "onnxruntime":
        return None
    if settings.intra_op_threads > 1:
        return None
    from service.runtimes.embedded.runtime import EmbeddedRuntime

    runtime = EmbeddedRuntime(settings)
    asyncio.run(runtime.load())
    # Else a collection in any process would write to all objects, and copy their pages.
    freeze_heap()
    return runtime


@contextlib.contextmanager
def _reserved_ports(settings: Settings) -> Iterator[Settings]:
    """Give settings whose ports are taken and are numbers, so that all processes use the same.

    Raises:
        ArtifactError: An address cannot be listened on.
    """
    with contextlib.ExitStack() as held:
        ports = {}
        for name in ("port", "grpc_port"):
            if (wanted := getattr(settings, name)) is not None:
                # Bound, but it does not listen: no connection comes to it.
                sock = held.enter_context(_listen(settings.host, wanted, shared=True))
                ports[name] = sock.getsockname()[1]
        yield settings.model_copy(update=ports)


def _serve(
    settings: Settings,
    announce: Callable[[str, Gateway], None],
    group: GroupMember | None = None,
) -> None:
    """Serve in this process until interrupted; see ``serve``."""
    listener = _listen(settings.host, settings.port, shared=group is not None)
    app = create_app(settings, group=group)
    gateway: Gateway = app.state.gateway
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # uvicorn would believe any caller of this machine.
        proxy_headers="FORWARDED_ALLOW_IPS" in os.environ,
        http=protocol_with_limits(settings.max_header_bytes, settings.header_timeout_seconds),
        ws="none",
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=math.ceil(settings.drain_seconds),
    )
    server = GracefulServer(config, gateway.shutdown, settings.drain_delay_seconds)

    async def run() -> None:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        while not serving.done():
            if gateway.failure:
                server.should_exit = True
                break
            if gateway.shutdown.draining:
                break
            if (await gateway.health()).ready:
                freeze_heap()
                announce(_address(settings, listener), gateway)
                break
            await asyncio.sleep(_POLL_SECONDS)
        await serving

    try:
        with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            runner.run(run())
    finally:
        server.call_off_last_resort()
    if server.force_exit or gateway.leaves_threads:
        # Threads may still be running, and Python would wait for them.
        logging.shutdown()
        os._exit(1)
    if gateway.failure:
        raise ArtifactError(gateway.failure)


def curl_example(address: str, heads: Mapping[str, Head]) -> str:
    """Return a command for a first request; it needs no file if any head can do without one."""
    bodies = {
        route: json.dumps({"inputs": head.preprocessor.json_example}, ensure_ascii=False)
        for route, head in sorted(heads.items())
        if _is_printable(head.preprocessor.json_example)
    }
    if not bodies:
        return f"curl --data-binary @FILE {address}/predict/{min(heads)}"
    route = min(bodies, key=lambda name: (*_strangeness(heads[name].spec), len(bodies[name])))
    body = bodies[route].replace("'", "'\\''")
    return f"curl -H 'Content-Type: application/json' -d '{body}' {address}/predict/{route}"


def _strangeness(spec: HeadSpec) -> tuple[bool, bool, int, float]:
    """Return a key by which the heads come first whose example and answer a reader understands.

    A readable answer is a better first impression than a vector, and one of few labels says more
    than one of a hundred. Modalities are in the order of the paper, in which texts are the first
    whose inputs can be typed.
    """
    is_vector = spec.family is TaskFamily.EMBEDDING
    place = list(Modality).index(spec.modality)
    return is_vector, spec.experimental, place, len(spec.labels) or math.inf


def _is_printable(example: JsonValue) -> bool:
    """Whether an example suits a terminal: neither a file as base64 nor long lists of numbers."""
    is_file = isinstance(example, str) and len(example) > 100
    return example is not None and not is_file and len(json.dumps(example)) < 500


def _listen(host: str, port: int, *, shared: bool) -> socket.socket:
    """Bind a socket, which other processes of this user may share.

    Raises:
        ArtifactError: The address is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ArtifactError(
            f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port"
        ) from error
    return listener


def _address(settings: Settings, listener: socket.socket) -> str:
    return f"http://{url_host(settings.host)}:{listener.getsockname()[1]}"

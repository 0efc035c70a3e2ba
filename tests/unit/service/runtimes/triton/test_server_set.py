"""Servers behind a name whose addresses change."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from loadtests.support.free_ports import free_ports
from service.runtimes.triton.runtime import TritonRuntime
from service.settings import Settings
from tests.support.triton.fake_triton import (
    EMBEDDING,
    TONE,
    FakeTriton,
    ensemble,
    fake_triton,
    part,
    whole,
)
from tests.support.waiting import until
from tests.unit.service.runtimes.triton.test_runtime import LETTERS, NAME

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3")


class Fleet:
    """Servers on several addresses of one port, and the name that resolves to some of them."""

    def __init__(self, port: int, stack: AsyncExitStack) -> None:
        self.port, self._stack = port, stack
        self.addresses: list[str] = []
        self.failure: OSError | None = None
        self.delay_seconds = 0.0
        self.lookups = 0

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        assert (host, port) == ("triton.test", self.port)
        self.lookups += 1
        if self.failure is not None:
            raise self.failure
        answer = list(self.addresses)
        await asyncio.sleep(self.delay_seconds)
        return answer

    async def server(
        self, host: str, *configs: Any, named: bool = True, **options: Any
    ) -> FakeTriton:
        """Start a server and enter it into the name."""
        server = await self._stack.enter_async_context(
            fake_triton(*(configs or [whole(EMBEDDING)]), host=host, port=self.port, **options)
        )
        if named:
            self.addresses.append(host)
        return server

    async def runtime(self, **settings: Any) -> TritonRuntime:
        """Make a runtime, not yet started, that is closed at the end."""
        names = (f"triton.test:{self.port}",)
        runtime = TritonRuntime(Settings(triton_endpoints=names, **settings), self.resolve)
        self._stack.push_async_callback(runtime.close)
        return runtime


def run(test: Callable[[Fleet], Awaitable[None]]) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            await test(Fleet(free_ports(1)[0], stack))

    asyncio.run(main())


async def send(runtime: TritonRuntime, count: int = 30) -> None:
    for _ in range(count):
        await runtime.infer(runtime.models()[NAME], LETTERS)


def test_every_address_of_a_name_gets_requests() -> None:
    async def test(fleet: Fleet) -> None:
        servers = [await fleet.server(host) for host in HOSTS]
        runtime = await fleet.runtime()
        await runtime.start()
        assert runtime.endpoints_up == 3
        await send(runtime, 90)
        assert min(len(server.calls) for server in servers) >= 10

    run(test)


def test_a_new_address_is_used_after_the_next_refresh_and_a_gone_one_no_more() -> None:
    async def test(fleet: Fleet) -> None:
        one = await fleet.server(HOSTS[0])
        runtime = await fleet.runtime()
        await runtime.start()
        other = await fleet.server(HOSTS[1])
        assert not await runtime.refresh()
        await send(runtime)
        assert one.calls
        assert other.calls
        fleet.addresses.remove(HOSTS[0])
        await runtime.refresh()
        one.calls.clear()
        await send(runtime)
        assert not one.calls
        assert runtime.endpoints_up == 1

    run(test)


def test_requests_under_way_end_on_a_server_that_leaves_the_name() -> None:
    async def test(fleet: Fleet) -> None:
        one = await fleet.server(HOSTS[0])
        runtime = await fleet.runtime()
        await runtime.start()
        one.delay_seconds = 0.5
        model = runtime.models()[NAME]
        under_way = [asyncio.create_task(runtime.infer(model, LETTERS)) for _ in range(5)]
        await until(lambda: len(one.calls) == 5)
        other = await fleet.server(HOSTS[1])
        fleet.addresses.remove(HOSTS[0])
        await runtime.refresh()
        await send(runtime, 5)
        assert len(await asyncio.gather(*under_way)) == 5
        assert (len(one.calls), len(other.calls)) == (5, 5)

    run(test)


@pytest.mark.parametrize("failure", [OSError("Temporary failure in name resolution"), None])
def test_a_name_that_does_not_resolve_keeps_its_servers(failure: OSError | None) -> None:
    async def test(fleet: Fleet) -> None:
        await fleet.server(HOSTS[0])
        runtime = await fleet.runtime()
        await runtime.start()
        fleet.failure = failure
        fleet.addresses.clear()
        await runtime.refresh()
        await send(runtime, 3)
        assert runtime.endpoints_up == 1

    run(test)


def test_an_address_is_kept_until_another_server_of_the_name_is_up() -> None:
    async def test(fleet: Fleet) -> None:
        one = await fleet.server(HOSTS[0])
        runtime = await fleet.runtime()
        await runtime.start()
        fleet.addresses[:] = [HOSTS[1]]
        await runtime.refresh()
        await send(runtime, 3)
        other = await fleet.server(HOSTS[1], named=False)
        await until(lambda: runtime.endpoints_up == 2, 3)
        await runtime.refresh()
        await send(runtime, 3)
        assert (len(one.calls), len(other.calls)) == (3, 3)

    run(test)


def test_a_name_server_that_does_not_answer_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("service.runtimes.triton.server_set._LOOKUP_SECONDS", 0.1)

    async def test(fleet: Fleet) -> None:
        await fleet.server(HOSTS[0])
        runtime = await fleet.runtime()
        await runtime.start()
        await fleet.server(HOSTS[1])
        fleet.delay_seconds = 0.5
        before = fleet.lookups
        for _ in range(3):
            await runtime.refresh()
            await send(runtime, 1)
        assert runtime.endpoints_up == 1
        # One lookup at a time, and what it finds late is used.
        assert fleet.lookups == before + 1
        await asyncio.sleep(0.3)
        await runtime.refresh()
        assert runtime.endpoints_up == 2

    run(test)


def test_addresses_that_two_names_share_are_one_server() -> None:
    async def test(fleet: Fleet) -> None:
        await fleet.server(HOSTS[0])
        names = (f"triton.test:{fleet.port}", f"other.test:{fleet.port}")

        async def resolve(host: str, port: int) -> Sequence[str]:
            return [HOSTS[0]]

        runtime = TritonRuntime(Settings(triton_endpoints=names), resolve)
        try:
            await runtime.start()
            assert runtime.endpoints_up == 1
        finally:
            await runtime.close()

    run(test)


def test_a_server_that_joins_gets_the_heads_of_the_others_with_their_parts() -> None:
    async def test(fleet: Fleet) -> None:
        parts = [part("tokenizer"), part("head")]
        whole_set = [whole(EMBEDDING), *parts, ensemble(TONE, "tokenizer", "head")]
        await fleet.server(HOSTS[0], *whole_set)
        runtime = await fleet.runtime()
        await runtime.start()
        late = await fleet.server(HOSTS[1], whole(EMBEDDING), parts[0])
        late.loadable = {config.name: config for config in whole_set[2:]}
        late.loadable["head_candidate"] = part("head_candidate")
        await runtime.refresh()
        await runtime.refresh()
        await until(lambda: (TONE.name, "1") in late.models)
        assert late.loads == ["head", TONE.name]
        await runtime.refresh()
        tone = runtime.models()[TONE.name]
        late.calls.clear()
        for _ in range(30):
            await runtime.infer(tone, LETTERS)
        assert late.calls

    run(test)


def test_heads_that_somebody_unloaded_stay_unloaded_and_so_do_those_of_other_names() -> None:
    async def test(fleet: Fleet) -> None:
        await fleet.server(HOSTS[0], whole(EMBEDDING), whole(TONE))
        late = await fleet.server(HOSTS[1])
        late.states[TONE.name, "1"] = ("UNAVAILABLE", "unloaded")
        runtime = await fleet.runtime()
        await runtime.start()
        for _ in range(3):
            await runtime.refresh()
        pool = await fleet.server(HOSTS[2], named=False)
        pool.loadable = {TONE.name: whole(TONE)}

        async def resolve(host: str, port: int) -> Sequence[str]:
            return [host]

        names = tuple(f"{host}:{fleet.port}" for host in HOSTS)
        other = TritonRuntime(Settings(triton_endpoints=names), resolve)
        await other.start()
        for _ in range(3):
            await other.refresh()
        await other.close()
        assert late.loads == pool.loads == []

    run(test)


def test_a_load_that_fails_is_not_tried_at_every_poll() -> None:
    async def test(fleet: Fleet) -> None:
        await fleet.server(HOSTS[0], whole(EMBEDDING), whole(TONE))
        late = await fleet.server(HOSTS[1])
        late.states[TONE.name, ""] = ("", "")
        runtime = await fleet.runtime()
        await runtime.start()
        for _ in range(6):
            await runtime.refresh()
            await asyncio.sleep(0.02)
        assert late.loads == [TONE.name]
        await send(runtime, 3)

    run(test)


def test_certificates_are_checked_against_the_name_and_not_the_address(tmp_path: Path) -> None:
    def self_signed(name: str) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(1)
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        return private, certificate.public_bytes(serialization.Encoding.PEM)

    right, wrong = self_signed("triton.test"), self_signed("else.test")
    trusted = tmp_path / "certificates.pem"
    trusted.write_bytes(right[1] + wrong[1])

    async def test(fleet: Fleet) -> None:
        for host, pair in ((HOSTS[0], right), (HOSTS[1], right), (HOSTS[2], wrong)):
            await fleet.server(host, credentials=grpc.ssl_server_credentials([pair]))
        runtime = await fleet.runtime(triton_root_certificates=trusted)
        await runtime.start()
        assert runtime.endpoints_up == 2
        await send(runtime, 4)

    run(test)

"""gRPC channels to Triton servers, one to each address."""

from __future__ import annotations

from pathlib import Path

from tritonclient.grpc.aio import InferenceServerClient

from service.runtimes.triton.server_names import ServerName

_CHANNEL = (
    # tritonclient drops all of its own defaults once any argument is given.
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.max_receive_message_length", 2**31 - 1),
    # Requests under way notice within seconds that the machine behind them is gone.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    # gRPC's own pauses between attempts to connect grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.use_local_subchannel_pool", 1),
)


def open_client(
    name: ServerName, address: str, root_certificates: Path | None
) -> InferenceServerClient:
    """Return a client over a channel to one address, which is called by its name."""
    # A certificate is for the name, and what routes by host, such as a service mesh, knows the
    # name; the channel goes to one address.
    names: list[tuple[str, str | int]] = [("grpc.default_authority", str(name))]
    if root_certificates is None:
        return InferenceServerClient(address, channel_args=[*_CHANNEL, *names])
    names.append(("grpc.ssl_target_name_override", name.host))
    return InferenceServerClient(
        address,
        ssl=True,
        root_certificates=str(root_certificates),
        channel_args=[*_CHANNEL, *names],
    )

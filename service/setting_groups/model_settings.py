"""The addresses of the service, its models, and what runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import NoDecode

from omnivec2.engines.cache_directory import DEFAULT_CACHE, resolve_cache
from service.runtimes.triton.server_names import parse_server_name
from service.setting_groups.base import Names, SettingGroup, split_names


class ModelSettings(SettingGroup):
    """The addresses of the service, its models, and what runs them."""

    host: str = "127.0.0.1"
    """Address to listen on. The default is reachable from this machine only."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Port to listen on; 0 takes a free one."""

    grpc_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port for the Open Inference Protocol over gRPC; 0 takes a free one; without one it is off."""

    metrics_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Port for ``/metrics``, which the main port then does not serve; 0 takes a free one."""

    metrics_host: str | None = None
    """Address for ``/metrics`` on its own port; by default that of the service."""

    model_repo: Path = Path("model_repo")
    """Model repository to serve: one directory per modality-task."""

    runtime: Literal["embedded", "triton"] = "embedded"
    """Where the network runs: ``embedded`` is inside the gateway's process, ``triton`` are the \
servers of ``triton_endpoints``."""

    engine: str = "auto"
    """Engine that runs the graphs inside the gateway's process: ``auto`` measures those that are \
installed and takes the fastest that answers like the network; ``openvino``, ``onnxruntime``, \
``onnxruntime_gpu``, or ``module:attribute`` of an engine of your own."""

    engine_precision: Literal["auto", "fp32", "bf16", "int8"] = "auto"
    """Precision to compute in; ``auto`` takes the fastest that passes each head's accuracy gate."""

    static_shapes: Annotated[int, Field(ge=0)] = 1
    """Shapes of batch that come often for which OpenVINO compiles the trunk once more; of \
tokenizers and heads twice as many. Each takes the memory of its weights again, and 4 to 40 % less \
time than the graph for every size."""

    cache_dir: Path = DEFAULT_CACHE
    """Directory of what is measured and compiled for this machine, to start quickly next time."""

    gpu_device: Annotated[int, Field(ge=0)] = 0
    """Index of the GPU that ``onnxruntime_gpu`` uses, among those that ``CUDA_VISIBLE_DEVICES`` \
leaves visible."""

    triton_endpoints: Annotated[
        tuple[str, ...], Field(min_length=1), NoDecode, BeforeValidator(split_names)
    ] = ("127.0.0.1:8001",)
    """gRPC addresses of Triton servers (``a:8001,b:8001``); each may have all or some models. A \
name may resolve to many servers, which is looked up at every poll."""

    triton_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Port of the servers' metrics, usually 8002: requests of other gateways that wait there \
count in balancing; 0 counts own requests alone."""

    triton_root_certificates: Path | None = None
    """File of certificates to trust in connections to Triton with TLS; without one there is no \
TLS."""

    triton_load_heads: bool = True
    """Load a head into a server that lacks it while others of the same name have it."""

    try_page: bool = True
    """Serve the page at ``/`` on which people try the models; it uses the public API."""

    refresh_seconds: Annotated[float, Field(ge=0)] = 1.0
    """Seconds between polls for new, changed and removed models; 0 never polls."""

    only: Names = ()
    """Load only these models (``image/classification,text/sentiment``); empty loads all."""

    required: Names = ()
    """Models without which ``/readyz`` answers 503; empty requires any one model."""

    shadow_wait_seconds: Annotated[float, Field(ge=0)] = 0.1
    """Longest estimated wait of a request at which a candidate also runs what is answered already \
(``head add --shadow``); beyond it the service is too busy, and shadows are dropped."""

    @field_validator("triton_endpoints")
    @classmethod
    def _check_endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for endpoint in value:
            parse_server_name(endpoint)
        return value

    @property
    def cache_directory(self) -> Path:
        """``cache_dir`` with ``~`` resolved; a temporary directory for a user without a home."""
        return resolve_cache(self.cache_dir)

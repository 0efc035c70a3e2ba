"""The settings of the gateway, read from the environment or the command line."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from service.runtimes.triton.server_names import parse_server_name


def available_cores() -> int:
    """Return the number of cores this process may run on: a container's CPU set, not the host's."""
    return len(os.sched_getaffinity(0))


class Settings(BaseSettings):
    """The settings, read from ``OMNIVEC2_<FIELD>``; for example ``OMNIVEC2_PORT=9000``."""

    model_config = SettingsConfigDict(
        env_prefix="OMNIVEC2_", use_attribute_docstrings=True, frozen=True
    )

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
    """Shapes of batch that come often for which OpenVINO compiles the trunk once more. Each takes \
the memory of its weights again, and 4 to 40 % less time than the graph for every size."""

    cache_dir: Path = Path("~/.cache/omnivec2")
    """Directory of what is measured and compiled for this machine, to start quickly next time."""

    gpu_device: Annotated[int, Field(ge=0)] = 0
    """Index of the GPU that ``onnxruntime_gpu`` uses, among those that ``CUDA_VISIBLE_DEVICES`` \
leaves visible."""

    triton_endpoints: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = (
        "127.0.0.1:8001",
    )
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

    only: Annotated[tuple[str, ...], NoDecode] = ()
    """Load only these models (``image/classification,text/sentiment``); empty loads all."""

    required: Annotated[tuple[str, ...], NoDecode] = ()
    """Models without which ``/readyz`` answers 503; empty requires any one model."""

    shadow_wait_seconds: Annotated[float, Field(ge=0)] = 0.1
    """Longest estimated wait of a request at which a candidate also runs what is answered already \
(``head add --shadow``); beyond it the service is too busy, and shadows are dropped."""

    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    """Number of processes on the port, which divide threads and limits among them; for machines \
with more cores than one process of Python can use."""

    inference_threads: Annotated[int, Field(ge=0)] = 0
    """Number of batches computed at the same time; 0 is one per core."""

    intra_op_threads: Annotated[int, Field(ge=1)] = 1
    """Cores one batch may use. More lowers the latency of a single caller, and the throughput."""

    host_threads: Annotated[int, Field(ge=0)] = 0
    """Threads that decode, preprocess and postprocess; 0 is one per core."""

    isolate_decoders: bool = True
    """Whether libraries that read pictures, sounds and other files work in own processes, one per \
host thread. A file that crashes one, or makes it hang, then costs a single request."""

    decoder_memory_mb: Annotated[int, Field(ge=64)] = 1024
    """Memory that one input may take in such a process."""

    decoder_seconds: Annotated[float, Field(gt=0)] = 20.0
    """Longest time that one input may take there; its process is ended then."""

    max_batch_rows: Annotated[int, Field(ge=1)] = 32
    """Most samples merged into one batch, if a model's own limit is not lower. A batch takes fewer
    where more would only make each other wait."""

    max_batch_token_pairs: Annotated[int, Field(ge=1)] = 2**21
    """Most pairs of tokens in one batch of several samples: samples times the square of their \
length, by which attention takes memory, about 200 bytes a pair. A request with more is computed \
in slices."""

    explanation_segments: Annotated[int, Field(ge=0, le=1024)] = 64
    """Most parts into which an input is cut to explain an answer (``explain``): the network \
answers once more for each. 0 explains nothing."""

    max_queue_rows: Annotated[int, Field(ge=1)] = 4096
    """Samples that may wait for the network; beyond it, requests are answered 429."""

    max_pending_requests: Annotated[int, Field(ge=1)] = 256
    """Requests in progress at the same time; beyond it, requests are answered 429."""

    max_queue_seconds: Annotated[float, Field(gt=0)] = 2.5
    """Longest estimated wait of a request for those before it; beyond it, or beyond a third of \
its own deadline, requests are answered 429."""

    max_pending_bytes: Annotated[int, Field(ge=1)] = 512 * 2**20
    """Bytes of request bodies held at the same time; beyond it, requests are answered 429."""

    max_body_bytes: Annotated[int, Field(ge=1)] = 64 * 2**20
    """Largest body of a request, whatever a model's own limit is."""

    max_json_values: Annotated[int, Field(ge=1)] = 1_000_000
    """Most values in a JSON body: a small body of many values takes memory many times its size."""

    embedding_model: str = "embedding"
    """Model of ``/embed``, and of ``/v1/embeddings`` where a request names none: a task \
(``embedding``, ``retrieval``), of which the type of an input chooses the modality, or one head \
(``text/retrieval``)."""

    request_timeout_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Time from the complete body to the answer; callers may set less (X-Request-Timeout)."""

    response_cache_mib: Annotated[int, Field(ge=0)] = 0
    """Memory for answers that are given again to the same request, in MiB; 0 keeps none. Several \
processes have a share each."""

    response_cache_across_keys: bool = False
    """Whether an answer that one API key was given may be given to another: how soon it comes \
then tells a caller that somebody else sent the same."""

    stream_keep_alive_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time without an event after which a streamed answer sends a comment, for proxies that close \
idle connections."""

    upload_timeout_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Time in which a body must arrive."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe messages that are logged."""

    log_format: Literal["text", "json"] = "text"
    """``json`` writes an object per line, for log collectors."""

    strict_input: bool = False
    """Whether requests are refused (422) if there are notes on an input: if a part of it was \
guessed, ignored or cut. Callers may ask for it themselves (X-Strict)."""

    access_log: bool = True
    """Whether every request is logged; health checks and metrics are for ``debug`` only."""

    api_keys_file: Path | None = None
    """API keys (``omnivec2 key create``); without such a file no key is required."""

    shared_state_url: SecretStr | None = None
    """Valkey or Redis that several gateways share (``rediss://user:password@host:6379/0``), so \
that the limits of API keys hold over all of them; needs the extra ``shared-state``. Without one, \
every gateway counts for itself."""

    shared_state_timeout_seconds: Annotated[float, Field(gt=0)] = 0.25
    """Longest time that a request waits for it; then it counts as away, and no request waits."""

    feedback_answers: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Recent answers that are remembered, so that ``POST /feedback/{request_id}`` can compare \
them with true labels; 0 turns feedback off."""

    feedback_seconds: Annotated[float, Field(gt=0, le=7 * 86_400)] = 86_400.0
    """Time for which an answer is remembered, if not too many come after it."""

    drift_share: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the requests whose inputs and scores are compared with what their head was \
validated on; 0 turns drift off."""

    drift_window: Annotated[int, Field(ge=20, le=800)] = 200
    """Sampled inputs of a head that are compared at once, the last ones."""

    payload_log: str = ""
    """File, or ``http://`` or ``https://`` address, that a share of the requests and all feedback \
go to as CloudEvents; empty for none. Several processes write a file each."""

    payload_log_share: Annotated[float, Field(ge=0, le=1)] = 0.01
    """Share of the requests that are logged there."""

    payload_log_heads: Annotated[tuple[str, ...], NoDecode] = ()
    """Heads whose requests are logged (``image/classification,text/sentiment``); empty for all."""

    payload_log_inputs: bool = False
    """Whether inputs are logged, too; by default they are not."""

    payload_log_max_bytes: Annotated[int, Field(ge=0, le=16 * 2**20)] = 64 * 2**10
    """Most bytes of the inputs, and of the answer, of a logged request; what is longer is left \
out, and its size stands for it."""

    payload_log_redact: Annotated[tuple[str, ...], NoDecode] = ()
    """What is redacted, as a JSON list: pointers into an event's ``data`` \
(``/inputs/*/value/email``) and regular expressions, whose matches are replaced in all strings and \
numbers."""

    payload_log_hook: str = ""
    """Redaction of your own, ``module:function``: it gets an event and returns it, or None to \
withhold it."""

    payload_log_authorization: SecretStr | None = None
    """Header ``Authorization`` of the requests to an address, as ``Bearer ...``."""

    payload_log_queue: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Events that may wait to be written; more are dropped, and counted."""

    payload_log_file_bytes: Annotated[int, Field(ge=2**16)] = 64 * 2**20
    """Size at which the file is rotated."""

    payload_log_files_kept: Annotated[int, Field(ge=0, le=1000)] = 5
    """Rotated files that are kept."""

    jobs_store: Literal["none", "sqlite", "redis"] = "none"
    """Where long work is kept as jobs (``Prefer: respond-async``): ``redis`` is the store of \
``shared_state_url``, ``sqlite`` a file for the gateways of one machine; without one it is off."""

    jobs_dir: Path | None = None
    """Directory of that file and of the bodies of jobs; ``jobs`` in ``cache_dir`` by default."""

    jobs_concurrency: Annotated[int, Field(ge=1)] = 1
    """Jobs that a process works on at the same time, with what requests leave over."""

    jobs_max_queued: Annotated[int, Field(ge=1)] = 1000
    """Jobs that may wait or run; beyond it, jobs are answered 429."""

    jobs_max_queued_per_key: Annotated[int, Field(ge=1)] = 100
    """The same for the jobs of one API key."""

    jobs_max_body_bytes: Annotated[int, Field(ge=1)] = 2**30
    """Largest body of a job."""

    jobs_max_stored_bytes: Annotated[int, Field(ge=1)] = 4 * 2**30
    """Bytes of the bodies of all jobs that wait or run; beyond it, jobs are answered 429."""

    jobs_max_recording_seconds: Annotated[float, Field(gt=0)] = 4 * 3600.0
    """Longest sound or video of a job."""

    jobs_limits_factor: Annotated[float, Field(ge=1)] = 4.0
    """Factor by which limits on bytes, pixels, rows, points and frames are wider for jobs."""

    jobs_timeout_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """Longest time that a gateway works on a job."""

    jobs_upload_seconds: Annotated[float, Field(gt=0)] = 600.0
    """Time in which the body of a job must arrive."""

    jobs_keep_seconds: Annotated[float, Field(gt=0)] = 24 * 3600.0
    """Time after which a job is forgotten; it begins anew when the job ends."""

    jobs_lease_seconds: Annotated[float, Field(ge=1)] = 15.0
    """Time after which a job is taken from a gateway that has died."""

    jobs_webhook_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Hosts that may be told of the end of jobs (``hooks.example,127.0.0.1``), and private \
networks in which they may be (``10.0.0.0/8``); empty allows none."""

    jobs_webhook_secret: SecretStr | None = None
    """Secret that webhooks are signed with: ``whsec_`` and base64, or any text."""

    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = ()
    """Names that requests may be addressed to in ``Host`` (``api.example,*.internal.example``); \
``*`` allows any. By default any, but only ``localhost``, names without a dot and addresses while \
the service listens on a loopback address and needs no key."""

    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may call from a browser (``https://a.example,https://b.example``)."""

    max_header_bytes: Annotated[int, Field(ge=1024)] = 32 * 2**10
    """Longest head of a request: its first line and its headers."""

    header_timeout_seconds: Annotated[float, Field(gt=0)] = 10.0
    """Time in which the head of a request must arrive."""

    keep_alive_seconds: Annotated[int, Field(ge=1)] = 75
    """Time until an idle connection is closed; longer than that of a load balancer in front."""

    drain_delay_seconds: Annotated[float, Field(ge=0)] = 0.0
    """Time after a stop signal in which only ``/readyz`` changes, to 503, so that load balancers \
notice."""

    drain_seconds: Annotated[float, Field(gt=0)] = 30.0
    """Time in which requests under way may finish once the service has stopped listening."""

    @model_validator(mode="after")
    def _check_cache(self) -> Self:
        """Refuse to keep answers of models whose replacement nobody would notice."""
        if self.response_cache_mib and self.runtime == "triton" and not self.refresh_seconds:
            raise ValueError(
                "response_cache_mib needs refresh_seconds over 0: answers of heads that were "
                "replaced in Triton would be given for ever"
            )
        return self

    @field_validator("triton_endpoints")
    @classmethod
    def _check_endpoints(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for endpoint in value:
            parse_server_name(endpoint)
        return value

    @field_validator(
        *("only", "required", "triton_endpoints", "allowed_hosts", "cors_origins"),
        *("payload_log_heads", "jobs_webhook_hosts"),
        mode="before",
    )
    @classmethod
    def _split_names(cls, value: object) -> object:
        """Split names that the environment separates by commas; code passes a sequence."""
        if isinstance(value, str):
            return tuple(name.strip() for name in value.split(",") if name.strip())
        return value

    @field_validator("payload_log_redact", mode="before")
    @classmethod
    def _parse_rules(cls, value: object) -> object:
        """Parse a list that the environment writes as JSON, as patterns may hold commas."""
        if not isinstance(value, str):
            return value
        if not value.strip():
            return ()
        try:
            parsed: object = json.loads(value)
        except ValueError:
            parsed = None
        if not isinstance(parsed, list):
            raise ValueError('expected a JSON list, as in ["/inputs/*/value/email", "[0-9]{16}"]')
        return tuple(parsed)

    @property
    def cache_directory(self) -> Path:
        """``cache_dir`` with ``~`` resolved; a temporary directory for a user without a home."""
        try:
            return self.cache_dir.expanduser()
        except RuntimeError:
            return Path(tempfile.gettempdir()) / "omnivec2"

    @property
    def jobs_directory(self) -> Path:
        """``jobs_dir``, with its default."""
        return self.jobs_dir or self.cache_directory / "jobs"

    @property
    def inference_workers(self) -> int:
        """``inference_threads``, with 0 resolved."""
        return self.inference_threads or max(1, available_cores() // self.intra_op_threads)

    @property
    def host_workers(self) -> int:
        """``host_threads``, with 0 resolved."""
        return self.host_threads or available_cores()

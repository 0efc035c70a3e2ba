"""How much a gateway does at the same time, and how much it takes on."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field

from service.setting_groups.base import SettingGroup


def available_cores() -> int:
    """Return the number of cores this process may run on: a container's CPU set, not the host's."""
    return len(os.sched_getaffinity(0))


class WorkSettings(SettingGroup):
    """How much a gateway does at the same time, and how much it takes on."""

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

    @property
    def inference_workers(self) -> int:
        """``inference_threads``, with 0 resolved."""
        return self.inference_threads or max(1, available_cores() // self.intra_op_threads)

    @property
    def host_workers(self) -> int:
        """``host_threads``, with 0 resolved."""
        return self.host_threads or available_cores()

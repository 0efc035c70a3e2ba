"""How Triton runs the graphs of a repository: the backend, instances and batching of each model.

Without measurements every model has the same settings. A cost table, the seconds that a batch of
each size takes, gives each its own. The reasons are in docs/triton.md.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omnivec2.errors import ArtifactError

OnnxBackend = Literal["onnxruntime", "openvino"]
"""The backend of Triton that runs ONNX graphs."""

_INSTANCES = 2
"""With a queue policy Triton's batcher dispatches only while an instance waits, and after a missed
moment sleeps for half a second (github.com/triton-inference-server/core, pull request 237). With
one instance a single caller met that in every tenth request."""
_QUEUE_DELAY_US = 500
"""The longest wait for more requests in a batch: well under the milliseconds of one inference."""
_WORTH_WAITING = 1.05
"""A batch is large enough if a larger one makes a row at most this much cheaper."""
_DELAY_SHARE = 0.05
"""The largest share of a batch of one row that a single caller loses by waiting for others."""

Rows = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class CostTable(BaseModel):
    """The seconds of one batch, by model and rows.

    Attributes:
        engine: The engine they were measured with.
        cores: The number of cores of the machine that serves.
        seconds: A map from models to their costs: rows -> seconds, on one core.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: OnnxBackend
    cores: int = Field(ge=1)
    seconds: dict[str, Annotated[dict[Rows, Seconds], Field(min_length=1)]]

    def most_expensive(self) -> float:
        """Return the cost of a single row in the model where it is highest."""
        return max((min(costs.values()) for costs in self.seconds.values()), default=0.0)


class BatcherSettings(BaseModel):
    """The settings of one model's scheduler.

    Attributes:
        instances: The number of batches that are computed at the same time.
        preferred: The numbers of rows at which a batch is dispatched without waiting.
        delay_us: The longest wait for more rows, in microseconds.
    """

    model_config = ConfigDict(frozen=True)

    instances: int
    preferred: tuple[int, ...]
    delay_us: int


class TritonOptions(BaseModel):
    """How Triton runs the graphs of a repository.

    Attributes:
        backend: The backend that runs the graphs.
        costs: The measured costs; None if nothing was measured.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: OnnxBackend = "onnxruntime"
    costs: CostTable | None = None

    def settings_of(self, name: str, max_rows: int) -> BatcherSettings:
        """Return the settings of a model, from its costs if there are any.

        Args:
            name: The name of the model.
            max_rows: The most rows of one batch.
        """
        costs = self.costs.seconds.get(name, {}) if self.costs else {}
        costs = {rows: seconds for rows, seconds in costs.items() if rows <= max_rows}
        if not costs or self.costs is None:
            preferred = sorted({max(1, max_rows // 4), max(1, max_rows // 2), max_rows})
            return BatcherSettings(
                instances=_INSTANCES, preferred=tuple(preferred), delay_us=_QUEUE_DELAY_US
            )
        per_row = {rows: seconds / rows for rows, seconds in sorted(costs.items())}
        cheapest = min(per_row.values())
        enough = [rows for rows, cost in per_row.items() if cost <= _WORTH_WAITING * cheapest]
        single = per_row.get(1, next(iter(per_row.values())))
        saved = single - per_row[enough[0]]
        # A model that is a small part of all work needs few of the cores.
        share = min(costs.values()) / self.costs.most_expensive()
        return BatcherSettings(
            instances=max(_INSTANCES, math.ceil(self.costs.cores * share)),
            preferred=tuple(sorted({*enough, max_rows})),
            delay_us=round(1e6 * min(saved, _DELAY_SHARE * single)),
        )


def read_cost_table(path: Path) -> CostTable:
    """Read a cost table.

    Raises:
        ArtifactError: The file cannot be read, or is not a cost table.
    """
    try:
        return CostTable.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ArtifactError(f"{path}: not a cost table: {where}: {first['msg']}") from error

"""The ledger of looks at test parts: one JSON line per figure that was read.

A test part is an honest judge only as long as nobody chooses by its figures. Every look at one is
therefore written down, with its figure and its reason, and kept beside the code.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omnivec2.errors import ArtifactError
from omnivec2.training.evaluation.metrics.head_result import HeadResult
from omnivec2.training.evaluation.unseen.unseen_set import UNSEEN_SPLIT

_DIGITS = 6
_RECORDED_SPLITS = ("test", UNSEEN_SPLIT)


class Look(BaseModel):
    """One look at a test part.

    Attributes:
        date: The day of the look.
        head: The ``<modality>/<task>`` of the head.
        data: The name of the data set and its part.
        part: The split, ``test`` or ``unseen``.
        samples: The number of samples; None where nobody wrote it down.
        metric: The name of the metric.
        figure: The value.
        why: The reason.
        checkpoint: The first digits of the digest of the checkpoint's weights, or the commit of
            this repository that states the figure; empty where neither is known.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    date: datetime.date
    head: str
    data: str
    part: str
    samples: int | None = None
    metric: str
    figure: float
    why: str = Field(min_length=1)
    checkpoint: str = ""


class LooksLedger:
    """The ledger, which is only ever added to.

    Args:
        path: The file, one JSON object per line; it is made when the first look is written.
        why: The reason of the looks that are recorded.
        checkpoint: The first digits of the digest of the checkpoint's weights.
    """

    def __init__(self, path: Path, why: str, checkpoint: str = "") -> None:
        self.path, self._why, self._checkpoint = path, why, checkpoint

    def record(self, results: Sequence[HeadResult]) -> None:
        """Add a line for every figure of a test part; those of other parts are left out."""
        looks = [
            Look(
                date=datetime.datetime.now(datetime.UTC).date(),
                head=result.route,
                data=result.dataset,
                part=result.split,
                samples=result.samples,
                metric=result.metric,
                figure=round(result.value, _DIGITS),
                why=self._why,
                checkpoint=self._checkpoint,
            )
            for result in results
            if result.split in _RECORDED_SPLITS
        ]
        if looks:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(f"{look.model_dump_json()}\n" for look in looks)


def read_looks(path: Path) -> list[Look]:
    """Read a ledger.

    Raises:
        ArtifactError: A line is no look; the message names it.
    """
    looks = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            looks.append(Look.model_validate_json(line))
        except ValidationError as error:
            raise ArtifactError(f"{path}, line {number}: {error}") from error
    return looks

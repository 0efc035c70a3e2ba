"""What all steps of one adaptation share: the request, the directories, progress and times."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from omnivec2.network.config import Summary
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.training.adaptation.adaptation_request import AdaptRequest
from omnivec2.training.adaptation.fitting.frozen_summaries import summarise
from omnivec2.training.adaptation.fitting.kept_summaries import Summaries
from omnivec2.training.adaptation.frozen_network import Base
from omnivec2.training.adaptation.progress_report import Start
from omnivec2.training.adaptation.reading.prepared_rows import Prepared
from omnivec2.training.adaptation.step_times import StepTimes


@dataclass(frozen=True)
class AdaptationPaths:
    """The directories that an adaptation reads and writes.

    Attributes:
        base: The checkpoint whose network is frozen.
        run: The directory of summaries of samples, which are kept for the next time.
        checkpoint: The checkpoint that is written.
    """

    base: Path
    run: Path
    checkpoint: Path


@dataclass(frozen=True)
class AdaptationContext:
    """What all steps of one adaptation share.

    Attributes:
        request: The request.
        paths: The directories.
        base: The frozen network.
        start: A function that starts the progress of a step.
        times: The time that steps have taken.
        notes: The sentences that tell what to know about the data and the choice.
    """

    request: AdaptRequest
    paths: AdaptationPaths
    base: Base
    start: Start
    times: StepTimes
    notes: list[str] = field(default_factory=list)

    def summarise(
        self, network: OmniVec2, part: Prepared, title: str, names: Collection[Summary]
    ) -> Summaries:
        """Return summaries of the samples of a part, with progress and time.

        Args:
            network: The network with the tokenizer of the new head.
            part: The samples.
            title: The name of the part for people.
            names: The summaries that are needed.
        """
        advance = self.start(f"network: {title}", len(part.samples))
        with self.times.measure("network"):
            return summarise(
                network, self.request.route, part.samples, self.paths.run, advance, names=names
            )

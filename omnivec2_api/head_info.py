"""What callers see of a head: what it takes, what it answers, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue


@dataclass(frozen=True)
class HeadInfo:
    """A head that can be asked.

    Attributes:
        route: The name of the head, ``<modality>/<task>``.
        modality: The modality of its inputs.
        task: The task.
        family: The task family, which decides on the class of its answers.
        description: A sentence about the head.
        labels: The classes; none if it has none.
        targets: The quantities that it estimates, name -> unit; none if it has none.
        version: The version of the model.
        temperature: The number that the logits of a classification head are divided by before they
            become scores; 1 of a head that has none.
        spec: The whole head spec as ``GET /models`` shows it: tensors, limits, metrics, data.
    """

    route: str
    modality: str
    task: str
    family: str
    description: str = ""
    labels: tuple[str, ...] = ()
    targets: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    temperature: float = 1.0
    spec: Mapping[str, JsonValue] = field(default_factory=dict, repr=False)

    @property
    def embedding_size(self) -> int | None:
        """The length of the vectors of an embedding head; None of any other head."""
        if self.family != "embedding":
            return None
        outputs: Any = self.spec["outputs"]
        return int(outputs[0]["shape"][-1])


def make_head_info(description: Mapping[str, Any]) -> HeadInfo:
    """Return a head of its entry in ``GET /models``."""
    return HeadInfo(
        route=f"{description['modality']}/{description['task']}",
        modality=description["modality"],
        task=description["task"],
        family=description["family"],
        description=description.get("description", ""),
        labels=tuple(description.get("labels", ())),
        targets={target["name"]: target["unit"] for target in description.get("targets", ())},
        version=str(description.get("version", "")),
        temperature=float(description.get("temperature", 1.0)),
        spec=description,
    )

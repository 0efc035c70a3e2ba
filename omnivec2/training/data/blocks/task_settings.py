"""The fields of a task that a recipe may state beside its data."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from omnivec2.spec import DataSource


class TaskSettings(BaseModel):
    """The fields of a task that say what its data is and what the head answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preprocess: dict[str, JsonValue] = Field(
        default={}, description="parameters of the modality's pre-processor, where not the default"
    )
    metric: str | None = Field(default=None, description="the metric to report and to choose by")
    further_metrics: tuple[str, ...] = Field(default=(), description="more metrics to report")
    description: str = Field(default="", description="what the head answers, for its callers")
    test_name: str | None = Field(default=None, description="the test part's name in tables")
    sources: tuple[DataSource, ...] = Field(
        default=(), description="name, licence and source of the data, for the model card"
    )
    augment: bool = Field(default=True, description="vary training samples at random")

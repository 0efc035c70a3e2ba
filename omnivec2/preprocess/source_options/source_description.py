"""What a preprocessor takes its inputs for: unit, scale, axes and sampling rate of their source."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class SourceDescription(BaseModel):
    """The source of one input tensor, as the head was trained on it.

    What is not said by an input, or stated among a request's parameters, is taken to be so.
    Names of the preprocessor's parameters may stand in braces.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    quantity: str = Field(description="what the values measure")
    unit: str | None = Field(default=None, description="unit of the values; null for numbers alone")
    scale: str | None = Field(default=None, description="range or scale of the values in a file")
    axes: str | None = Field(default=None, description="order, direction and origin of the axes")
    sampling_rate: str | None = Field(
        default=None, description="rate or interval of samples, frames, bands or points"
    )

    def filled(self, parameters: BaseModel) -> SourceDescription:
        """Return the description with a preprocessor's parameters in the place of their names."""
        values = parameters.model_dump()
        texts = self.model_dump(exclude_none=True)
        return SourceDescription(**{key: text.format(**values) for key, text in texts.items()})

    @property
    def sentence(self) -> str:
        """All of it in one line, for people."""
        details = self.model_dump(exclude={"quantity"}, exclude_none=True)
        named = [f"{name.replace('_', ' ')}: {text}" for name, text in details.items()]
        return "; ".join([self.quantity, *named])

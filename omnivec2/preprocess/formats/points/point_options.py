"""What can be stated about a point cloud that its file does not say."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from omnivec2.preprocess.source_options import SourceOptions


def _split_names(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


class PointOptions(SourceOptions):
    """The direction of up, and the meaning of columns without names."""

    up_axis: Literal["x", "y", "z", "-x", "-y", "-z"] = Field(
        default="z",
        description="The axis that points up; clouds are turned so that it is z, as in training.",
    )
    columns: Annotated[tuple[str, ...], BeforeValidator(_split_names)] | None = Field(
        default=None,
        max_length=256,
        description="The names of the columns of a file or array without names, in their order, "
        'x, y and z among them, e.g. "id x y z" or ["time", "x", "y", "z"].',
    )

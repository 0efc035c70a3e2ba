"""Recipes of heads on the frozen network: their data, and the layers to choose from."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from omnivec2.errors import ArtifactError, InvalidParameterError
from omnivec2.network.config import Summary
from omnivec2.network.layers import F_INPUT_MEAN, F_MEAN
from omnivec2.spec import Modality
from omnivec2.training.data.blocks.kinds import AnyBlock
from omnivec2.training.data.blocks.task_block import TaskBlock
from omnivec2.training.data.blocks.task_settings import TaskSettings

_LOOKED_AT: tuple[tuple[Summary, ...], ...] = (("f_mean",), ("f_mean", "f_input_mean"))
"""What the trunk hands out before it narrows its tokens. Heads that look at nothing else share
their tokenizer's part with others, and their whole graph ends in the middle of the trunk."""


class FrozenHead(TaskSettings):
    """A head of a recipe: its data, unless its route has a loader, and its layers."""

    data: AnyBlock | None = Field(default=None, description="a block; none if a loader has it")
    summaries: tuple[tuple[Summary, ...], ...] = Field(
        default=_LOOKED_AT, min_length=1, description="combinations of summaries to choose from"
    )
    hidden: int = Field(default=64, ge=4, description="width between the two layers")
    members: int = Field(
        default=4, ge=1, description="starts that the two layers are the mean of, which share width"
    )
    linear: bool = Field(
        default=True, description="whether linear maps are tried; they have two units per output"
    )
    most_samples: int = Field(default=6000, ge=10, description="training samples that are used")
    experimental: bool = Field(
        default=False, description="whether the head is about as good as simple models"
    )

    @model_validator(mode="after")
    def _width_is_shared_evenly(self) -> FrozenHead:
        if self.hidden % self.members:
            raise ValueError(f"hidden {self.hidden} does not divide into {self.members} members")
        if self.data is None and TaskSettings.model_fields.keys() & self.model_fields_set:
            raise ValueError("a head whose data has a loader states nothing else about its data")
        return self

    @property
    def looks_into_f(self) -> bool:
        """Whether what the trunk hands out from within f is among the summaries."""
        return any({F_MEAN, F_INPUT_MEAN} & set(names) for names in self.summaries)

    @property
    def block(self) -> TaskBlock | None:
        """The data as a task of any other recipe has it."""
        if self.data is None:
            return None
        settings = {name: getattr(self, name) for name in TaskSettings.model_fields}
        return TaskBlock(data=self.data, **settings)


class FrozenHeadsRecipe(BaseModel):
    """The heads that are fitted, by route."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(
        default=0, ge=0, description="seed of the first weights, of the order and of all draws"
    )
    heads: dict[str, FrozenHead] = Field(min_length=1)

    @field_validator("heads")
    @classmethod
    def _routes_have_modalities(cls, heads: dict[str, FrozenHead]) -> dict[str, FrozenHead]:
        for route in heads:
            if route.partition("/")[0] not in set(Modality):
                raise ValueError(f"{route}: expected one of {', '.join(Modality)} before the slash")
        return heads


def read_recipe(name: str) -> FrozenHeadsRecipe:
    """Read a recipe from a YAML file, or by the name of one that ships.

    Raises:
        ArtifactError: There is no such recipe, or it is not YAML.
        InvalidParameterError: A field is wrong; every wrong one is named.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = Path(str(resources.files("omnivec2.training").joinpath(f"recipes/{name}.yaml")))
    if not path.is_file():
        raise ArtifactError(f"no recipe at {path}")
    try:
        values: Any = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ArtifactError(f"{path} is not valid YAML: {error}") from error
    try:
        return FrozenHeadsRecipe.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise InvalidParameterError(f"{path}: {wrong}") from error

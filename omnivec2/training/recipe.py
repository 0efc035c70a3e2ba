"""A recipe: everything that decides a training run, as validated YAML."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from omnivec2.errors import ArtifactError


class _Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskRecipe(_Recipe):
    """One task's share of the training."""

    weight: float = Field(gt=0, description="how often it is drawn, relative to the others")
    batch_size: int = Field(default=32, gt=0, description="samples of one stream")
    served: bool = Field(default=True, description="False: it only helps to train the trunk")


class LearningRates(_Recipe):
    """Peak learning rates of AdamW by kind of weights."""

    pretrained: float = Field(default=1e-4, description="f's transformer and the text embeddings")
    stem: float = Field(default=2e-4, description="convolutional stems")
    trunk: float = Field(default=3e-4, description="the rest of the trunk, and the fusion")
    fresh: float = Field(default=1e-3, description="tokenizers and heads")


class Recipe(_Recipe):
    """A training run of stage 3: pairs of tasks from two modalities."""

    preset: str = Field(description="sizes of the trunk: tiny, reference or paper")
    seed: int = 0
    steps: int = Field(gt=0, description="optimiser steps; each trains one pair of tasks")
    warmup_steps: int = 100
    learning_rates: LearningRates = LearningRates()
    weight_decay: float = 0.05
    gradient_clip: float = Field(
        default=5.0, description="largest norm of the gradient of each tokenizer, head and trunk"
    )
    cross_attention_drop: float = Field(
        default=0.5, ge=0, le=1, description="chance that a sample's cross-attention is off (m=0)"
    )
    single_stream_tail: float = Field(
        default=0.15, ge=0, le=1, description="last part of the run over which m goes to 0"
    )
    average_decay: float = Field(default=0.998, description="of the weights' moving average")
    frozen_stem_blocks: int = Field(
        default=5, ge=0, description="first blocks of the stems that keep their warm start"
    )
    frozen_trunk: bool = Field(
        default=False, description="train tokenizers and heads on a trunk that stays as it is"
    )
    bf16: bool = Field(default=True, description="autocast matrix products to bfloat16")
    warm_start: bool = True
    start_from: Path | None = Field(
        default=None, description="checkpoint whose weights to go on from, where they fit"
    )
    checkpoint_every_steps: int = 200
    validate_every_steps: int = 1000
    validation_samples: int = 256
    tasks: dict[str, TaskRecipe] = Field(description="'<modality>/<task>' -> its share")


def load_recipe(name: str | Path) -> Recipe:
    """Read a recipe from a YAML file, or by the name of one that ships.

    Raises:
        ArtifactError: no such recipe, or its content is wrong (every wrong field is named).
    """
    path = Path(name)
    if not path.suffix:
        path = Path(str(resources.files("omnivec2.training").joinpath(f"recipes/{name}.yaml")))
    if not path.is_file():
        known = sorted(p.stem for p in path.parent.glob("*.yaml"))
        raise ArtifactError(f"no recipe at {path}; recipes by name: {', '.join(known)}")
    try:
        return Recipe.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ArtifactError(f"{path} is not valid YAML: {error}") from error
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise ArtifactError(f"{path}: {wrong}") from error

"""Recipes: everything that decides a training run, as validated YAML."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from omnivec2.errors import ArtifactError
from omnivec2.network.config import PRESETS
from omnivec2.spec import Modality
from omnivec2.training.data.blocks.kinds import AnyBlock
from omnivec2.training.data.blocks.task_block import TaskBlock
from omnivec2.training.data.blocks.task_settings import TaskSettings
from omnivec2.training.fine_tuning.low_rank import LowRankSettings
from omnivec2.training.fine_tuning.warm_starts import WarmStart, check_parts
from omnivec2.training.structure.network_sizes import NetworkSizes
from omnivec2.training.yaml_lines import Document, did_you_mean, located_error

StageKind = Literal["masked", "masked-pairs", "supervised"]


class _Recipe(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TaskRecipe(TaskSettings):
    """The settings of one task in a training run, and of its data."""

    data: AnyBlock | None = Field(
        default=None, description="what it is trained on; the project's own data sets have none"
    )
    weight: float = Field(
        default=1.0, gt=0, description="sampling weight, relative to the other tasks"
    )
    batch_size: int = Field(default=32, gt=0, description="samples of one stream")
    served: bool = Field(default=True, description="False: used only to train the trunk")

    @model_validator(mode="after")
    def _settings_belong_to_a_block(self) -> TaskRecipe:
        given = self.model_fields_set & set(TaskSettings.model_fields)
        if self.data is None and given:
            raise ValueError(f"{min(given)} needs a block of data beside it: data: {{kind: ...}}")
        return self

    @property
    def block(self) -> TaskBlock | None:
        """What the task's data is read by; None for the project's own data sets."""
        if self.data is None:
            return None
        settings = {name: getattr(self, name) for name in TaskSettings.model_fields}
        return TaskBlock(data=self.data, **settings)


class LearningRates(_Recipe):
    """The peak learning rates of AdamW by kind of weights."""

    pretrained: float = Field(default=1e-4, description="f's transformer and the text embeddings")
    stem: float = Field(default=2e-4, description="convolutional stems")
    trunk: float = Field(default=3e-4, description="the rest of the trunk, and the fusion")
    fresh: float = Field(default=1e-3, description="tokenizers, heads and decoders")


class LiteralSwitches(_Recipe):
    """Switches to the paper's wording where we depart from it (docs/training.md)."""

    trunk: bool = Field(default=False, description="ReLU after all three FC layers, no LayerNorm")
    masking: bool = Field(
        default=False, description="masks of 95 % (points 90 %), permuted language model"
    )
    losses: bool = Field(default=False, description="l2 on one-hot masks for segmentation")
    balancing: bool = Field(
        default=False, description="rates of descent from window to window, no bounds (DWA)"
    )
    fusion: bool = Field(
        default=False, description="plain cross-attention in place of the stream: no gate or norm"
    )
    batches: bool = Field(
        default=False, description="a step has one batch, half of it from each of its two tasks"
    )
    text: bool = Field(
        default=False,
        description="permuted language model on permuted sentences; 5 % of the words are predicted",
    )
    points: bool = Field(default=False, description="l2 between points in their order, no Chamfer")

    @property
    def masked_forms(self) -> tuple[str, ...]:
        """The switches of masked stages that single modalities know."""
        return tuple(name for name in ("text", "points") if getattr(self, name))


class Schedule(_Recipe):
    """The settings a stage may override; given outside of ``stages`` they apply to all stages."""

    kind: StageKind = Field(default="supervised", description="what a step trains")
    steps: int = Field(default=0, ge=0, description="optimiser steps; 0 if the stages set them")
    epochs: float | None = Field(
        default=None,
        gt=0,
        description="instead of steps: passes through the training parts of the tasks together",
    )
    warmup_steps: int = Field(default=100, ge=0)
    learning_rates: LearningRates = LearningRates()
    weight_decay: float = Field(default=0.05, ge=0)
    gradient_clip: float = Field(
        default=5.0,
        gt=0,
        description="largest norm of the gradient of each tokenizer, head, decoder and trunk",
    )
    cross_attention_drop: float = Field(
        default=0.5, ge=0, le=1, description="probability that a sample has no cross-attention"
    )
    single_stream_tail: float = Field(
        default=0.15, ge=0, le=1, description="last share of stage 3, in which m goes to 0"
    )
    balancing: Literal["dwa", "none"] = Field(
        default="dwa", description="stage 3: weigh tasks by how fast they converge, or equally"
    )
    average_decay: float = Field(
        default=0.998, ge=0, lt=1, description="decay of the weights' moving average"
    )
    frozen_stem_blocks: int = Field(
        default=5, ge=0, description="first blocks of the stems that keep their warm start"
    )
    frozen_trunk: bool = Field(
        default=False, description="train tokenizers and heads on an unchanged trunk"
    )
    frozen_tokenizers: bool = Field(
        default=False, description="train heads alone, if the trunk is frozen too"
    )
    trained_layers: int | None = Field(
        default=None, ge=0, description="train only so many last layers of f's transformer"
    )
    layer_decay: float = Field(
        default=1.0,
        gt=0,
        le=1,
        description="rate of a pretrained layer of f, relative to that of the layer after it",
    )
    accumulation: int = Field(
        default=1, gt=0, description="micro-batches of a step, to save memory"
    )
    mask_ratios: dict[Modality, Annotated[float, Field(gt=0, lt=1)]] = Field(
        default={}, description="stages 1 and 2: share of masked tokens, where not the default"
    )
    batch_sizes: dict[str, Annotated[int, Field(gt=0)]] = Field(
        default={}, description="'<modality>/<task>' -> samples, where not as in `tasks`"
    )
    only: tuple[str, ...] = Field(
        default=(), description="routes that take part; all tasks if empty"
    )


_STAGES_OF_FIELD: dict[str, frozenset[StageKind]] = {
    "cross_attention_drop": frozenset({"masked-pairs", "supervised"}),
    "single_stream_tail": frozenset({"supervised"}),
    "balancing": frozenset({"supervised"}),
    "mask_ratios": frozenset({"masked", "masked-pairs"}),
}
"""The fields that apply to some kinds of stages only."""


class StageRecipe(Schedule):
    """One stage: its kind, its steps, and what overrides the recipe."""

    kind: StageKind = Field(description="masked, masked-pairs or supervised")
    steps: int = Field(default=0, gt=0, description="optimiser steps, unless epochs are given")

    @model_validator(mode="after")
    def _fields_belong_to_the_kind(self) -> StageRecipe:
        if not self.steps and self.epochs is None:
            raise ValueError("give either steps or epochs")
        for name, kinds in _STAGES_OF_FIELD.items():
            if name in self.model_fields_set and self.kind not in kinds:
                raise ValueError(f"{name} means nothing in a stage of kind {self.kind}")
        return self


class Recipe(Schedule):
    """A training run: one supervised stage, or several ``stages`` in order."""

    preset: str = Field(description="sizes of the network: tiny, reference or paper")
    seed: int = Field(default=0, ge=0)
    stages: tuple[StageRecipe, ...] = Field(
        default=(), description="the stages of the run, in their order"
    )
    literal: LiteralSwitches = LiteralSwitches()
    sharded: bool = Field(
        default=False, description="several processes: share the transformers' weights (FSDP)"
    )
    bf16: bool = Field(default=True, description="autocast matrix products to bfloat16")
    warm_start: WarmStart = Field(
        default=True,
        description="published weights: all that are packaged (true), none (false), or by part: "
        "trunk, tokenizer.<name> -> local safetensors file, directory, or `packaged`",
    )
    network: NetworkSizes = Field(
        default=NetworkSizes(), description="sizes that differ from the preset's"
    )
    lora: LowRankSettings | None = Field(
        default=None, description="low-rank updates of f's layers, whose own weights stay"
    )
    start_from: Path | None = Field(
        default=None, description="checkpoint whose weights to start from, where they fit"
    )
    checkpoint_every_steps: int = Field(default=200, gt=0)
    validate_every_steps: int = Field(default=1000, gt=0)
    validation_samples: int = Field(default=256, gt=0)
    tasks: dict[str, TaskRecipe] = Field(
        min_length=1, description="'<modality>/<task>' -> its settings"
    )

    @field_validator("preset")
    @classmethod
    def _preset_is_known(cls, preset: str) -> str:
        if preset not in PRESETS:
            guess = did_you_mean(preset, PRESETS)
            raise ValueError(f"{preset!r} is none of {', '.join(PRESETS)}{guess}")
        return preset

    @model_validator(mode="after")
    def _is_consistent(self) -> Recipe:
        check_parts(self.warm_start)
        if self.network.f != "backbone":  # else its sizes are in files, which are read later
            self.network.config(self.preset)
        if bool(self.stages) == bool(self.steps or self.epochs):
            raise ValueError("give either steps or epochs (one stage) or stages, each with its own")
        for index, stage in enumerate((self, *self.stages)):
            place = ("stages", index - 1) if index else ()
            for field in ("only", "batch_sizes"):
                for route in getattr(stage, field):
                    if route not in self.tasks:
                        raise located_error(
                            (*place, field), f"{route} is none of the tasks", route, self.tasks
                        )
            if stage.frozen_trunk and stage.trained_layers is not None:
                raise ValueError(
                    f"{f'stages.{index - 1}: ' if index else ''}"
                    "trained_layers means nothing with frozen_trunk"
                )
        return self

    @property
    def total_steps(self) -> int:
        """The number of steps of all stages together."""
        return sum(stage.steps for stage in self.stages) or self.steps

    def stage_recipes(self) -> list[Recipe]:
        """Return one recipe per stage: this one, with the overrides of the stage."""
        if not self.stages:
            return [self]
        return [
            self.model_copy(
                update={name: getattr(stage, name) for name in stage.model_fields_set}
                | {"stages": ()}
            )
            for stage in self.stages
        ]

    def routes(self) -> list[str]:
        """Return the tasks that take part."""
        return [route for route in self.tasks if not self.only or route in self.only]

    def batch_size(self, route: str) -> int:
        """Return the number of samples of one stream of a task."""
        return self.batch_sizes.get(route, self.tasks[route].batch_size)


def load_recipe(name: str | Path) -> Recipe:
    """Read a recipe from a YAML file, or a shipped one by its name.

    Raises:
        ArtifactError: There is no such recipe, or its content is wrong (every wrong field is
            named, with its file and line).
    """
    path, folder = Path(name), Path(str(resources.files("omnivec2.training").joinpath("recipes")))
    if not path.suffix:
        path = folder / f"{name}.yaml"
        folder = path.parent
    if not path.is_file():
        known = sorted(p.stem for p in folder.glob("*.yaml"))
        guess = did_you_mean(path.stem, known)
        raise ArtifactError(f"no recipe at {path}; recipes by name: {', '.join(known)}{guess}")
    document = Document(path)
    try:
        recipe = Recipe.model_validate(document.value)
    except ValidationError as error:
        raise ArtifactError(document.explain(error, Recipe)) from error
    for route in recipe.tasks:
        if (modality := route.partition("/")[0]) not in set(Modality):
            place = document.locate(("tasks", route))
            raise ArtifactError(
                f"{place}: tasks.{route}: expected one of {', '.join(Modality)} before the slash"
                f"{did_you_mean(modality, Modality)}"
            )
    return recipe

"""The request of an adaptation, as validated data from a YAML recipe or the command line."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
)

from omnivec2.errors import ArtifactError, InvalidParameterError
from omnivec2.spec import DataSource, Modality, Target, TaskFamily
from omnivec2.training.adaptation.answer_forms import AnswerForm, usual_metric


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _listed(value: Any) -> Any:
    values = [value] if isinstance(value, str | Path) else value
    return [str(each) for each in values] if isinstance(values, list | tuple) else values


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]


class DataPart(_Config):
    """Labelled inputs: a folder, a table, or arrays.

    A table is CSV, TSV or Parquet (CSV and TSV may be gzipped); arrays are ``.npz``,
    ``.npy``, ``.mat`` or an IDX file (``-ubyte``, may be gzipped).
    """

    path: Names = Field(min_length=1, description="files of one form, or a folder")
    label: str | None = Field(
        default=None,
        description="a table's column, a key of arrays, or a file of labels; for a folder of "
        "files a CSV of file and label. Without it a folder's sub-folders are the labels.",
    )
    input: Names = Field(
        default=(), description="column or key of the value or path; two columns for text pairs"
    )
    group: str | None = Field(
        default=None,
        description="column or key whose equal values stay in one part; rows of moments with the "
        "same one make one recording, those of a long table one series",
    )
    time: str | None = Field(
        default=None, description="series: column of times; found unless given"
    )
    lengths: str | None = Field(
        default=None, description="arrays: key of the lengths of recordings laid end to end"
    )
    only: dict[str, tuple[str, ...]] = Field(
        default={}, description="column or key -> values of the rows to take"
    )


class AdaptRequest(_Config):
    """An adaptation: data in, one head out."""

    route: str = Field(
        pattern=r"^[a-z]+/[a-z][a-z0-9_]{0,40}$", description="modality and task of the new head"
    )
    family: TaskFamily = TaskFamily.CLASSIFICATION
    multi_label: bool = Field(
        default=False, description="classification: any number of labels per input"
    )
    horizon: int = Field(default=24, ge=1, le=1000, description="steps that are forecast")
    context: int | None = Field(
        default=None,
        ge=16,
        description="steps of a series that are read; four horizons, or the shortest series of "
        "classes, unless given",
    )
    quantiles: tuple[float, ...] = Field(
        default=(0.1, 0.5, 0.9), description="levels of a forecast's quantiles; may be empty"
    )
    train: DataPart
    test: DataPart | None = Field(default=None, description="else a share is held out")
    test_share: float = Field(default=0.2, gt=0, lt=1)
    fraction: float = Field(
        default=1.0, gt=0, le=1, description="share of the training part's labels that is used"
    )
    seed: int = 0
    skip_bad: int = Field(default=0, ge=0, description="inputs that may fail to decode")
    metric: str | None = Field(
        default=None, description="else accuracy, map of tags, rmse of quantities, mse of forecasts"
    )
    labels: dict[str, str] = Field(default={}, description="label in the data -> its name")
    targets: tuple[Target, ...] = Field(default=(), description="regressed quantities")
    preprocess: dict[str, JsonValue] = Field(
        default={}, description="parameters of the pre-processor, beside the checkpoint's own"
    )
    hidden: int = Field(default=256, ge=4, description="width between the two layers")
    tokenizer_steps: int = Field(
        default=200, ge=0, description="steps to train a tokenizer of its own, where one is needed"
    )
    search_seconds: float | None = Field(
        default=None,
        ge=0,
        description="nominal time to try two layers and train a tokenizer; more labels get more",
    )
    sources: tuple[DataSource, ...] = Field(min_length=1)
    test_name: str = "held-out share"
    description: str = ""

    @field_validator("route")
    @classmethod
    def _modality_is_known(cls, route: str) -> str:
        if route.partition("/")[0] not in set(Modality):
            raise ValueError(f"expected one of {', '.join(Modality)} before the slash")
        return route

    @property
    def modality(self) -> Modality:
        """The first part of the route."""
        return Modality(self.route.partition("/")[0])

    @field_validator("quantiles")
    @classmethod
    def _levels_ascend(cls, levels: tuple[float, ...]) -> tuple[float, ...]:
        if any(not 0 < level < 1 for level in levels) or list(levels) != sorted(set(levels)):
            raise ValueError("expected ascending levels between 0 and 1, such as [0.1, 0.5, 0.9]")
        return levels

    @property
    def form(self) -> AnswerForm:
        """The form of the answer to one input."""
        if self.family in (TaskFamily.REGRESSION, TaskFamily.FORECASTING):
            return AnswerForm.QUANTITIES
        return AnswerForm.TAGS if self.multi_label else AnswerForm.CLASS

    @property
    def is_forecast(self) -> bool:
        """Whether the next steps of series are answered."""
        return self.family is TaskFamily.FORECASTING

    @property
    def metric_name(self) -> str:
        """The metric that is reported and chosen by."""
        return self.metric or usual_metric(self.form, self.family)


def request_of(values: dict[str, Any], origin: str) -> AdaptRequest:
    """Validate a request.

    Args:
        values: The fields of the request.
        origin: The source of the fields, for messages.

    Raises:
        InvalidParameterError: A field is wrong; every wrong one is named.
    """
    try:
        return AdaptRequest.model_validate(values)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in e['loc'])}: {e['msg']}" for e in error.errors()
        )
        raise InvalidParameterError(f"{origin}: {wrong}") from error


def recipe_names() -> list[str]:
    """List the recipes that ship, for data sets that are named in docs/adaptation.md."""
    return sorted(Path(entry.name).stem for entry in _shipped().iterdir())


def read_recipe(name: str) -> dict[str, Any]:
    """Read the fields of a recipe, from a YAML file or by the name of one that ships.

    Raises:
        ArtifactError: There is no such recipe, or it is not a YAML mapping.
    """
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        path = Path(str(_shipped().joinpath(f"{name}.yaml")))
    if not path.is_file():
        raise ArtifactError(f"no recipe at {path}; recipes by name: {', '.join(recipe_names())}")
    try:
        values = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ArtifactError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ArtifactError(f"{path}: expected a mapping of fields")
    return values


def resolve_paths(part: DataPart, root: Path) -> DataPart:
    """Return a part whose relative paths are taken from ``root``.

    Args:
        part: The part.
        root: The directory that its paths are relative to.

    Raises:
        ArtifactError: A path is not there.
    """
    paths = [root / name for name in part.path]
    for path in paths:
        if not path.exists():
            raise ArtifactError(f"{path} is not there; give the data with --data")
    label = part.label
    if label is not None and (root / label).is_file():
        label = str(root / label)
    return part.model_copy(update={"path": tuple(map(str, paths)), "label": label})


def _shipped() -> Any:
    return resources.files("omnivec2.training").joinpath("recipes/adapt")

"""The contract of a modality in training: the parts that every modality must bring."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from omnivec2.network.omnivec2 import module_name
from omnivec2.network.tokenizers import AnyTokenizerConfig, Tokenizer
from omnivec2.preprocess import Array, Preprocessor, Sample
from omnivec2.spec import Modality
from omnivec2.training.adaptation.adaptation_rules import AdaptationRules
from omnivec2.training.data.base import Loader, TaskData
from omnivec2.training.masked.restoration import Restoration
from omnivec2.training.pictures.input_drawings import Drawing, TableRow


@dataclass(frozen=True, kw_only=True)
class ModalityTraining(ABC):
    """Everything that training, evaluation and adaptation know about one modality.

    Attributes:
        preprocessor: The class that makes its samples.
        data_sets: The loader of each data set, by route.
        mask_ratio: The share of tokens that masked pretraining hides, from the closest published
            practice (MAE, VideoMAE, AudioMAE, BERT, Point-MAE, PatchTST); less where single
            columns or atoms are hidden.
        restoration: The way its tokens are hidden and restored.
        display: The way an input is shown in reports: drawn, or as cells of a table.
        adaptation: The rules by which labelled data becomes a head.
        literal_mask_ratio: The paper's share, where it is another one: image, video and audio
            95 %, points 90 %, text 95 % "with f = 5 %".
        literal_restoration: The paper's way of restoring, where it is another one.
        literal_forms: The further ways of the paper, by the switch of ``literal`` in a recipe.
        has_tokenizer_per_task: Whether a tokenizer belongs to one data set, as for tables, whose
            columns are their own.
        has_tokenizer_per_size: Whether inputs of other sizes need another tokenizer, as series of
            another length do.
    """

    preprocessor: type[Preprocessor[Any, Any]]
    data_sets: Mapping[str, Loader]
    mask_ratio: float
    restoration: type[Restoration[Any]]
    display: Drawing | TableRow
    adaptation: AdaptationRules
    literal_mask_ratio: float | None = None
    literal_restoration: type[Restoration[Any]] | None = None
    literal_forms: Mapping[str, type[Restoration[Any]]] = field(default_factory=dict)
    has_tokenizer_per_task: bool = False
    has_tokenizer_per_size: bool = False

    @abstractmethod
    def tokenizer_config(self, task: TaskData) -> AnyTokenizerConfig:
        """Return the sizes of a tokenizer for the samples of a task."""

    def tokenizer_key(self, task: TaskData) -> str:
        """Return the key of a task's tokenizer, which tasks of one key share.

        It is the modality, but for inputs of other sizes than usual: ``timeseries_96``.
        """
        modality = self.modality.value
        if self.has_tokenizer_per_task:
            return module_name(task.route)
        if not self.has_tokenizer_per_size:
            return modality
        config = self.tokenizer_config(task)
        usual = {name: field.default for name, field in type(config).model_fields.items()}
        sizes = [str(size) for name, size in config.model_dump().items() if size != usual[name]]
        return "_".join([modality, *sizes])

    @abstractmethod
    def plain_features(self, samples: Sequence[Sample]) -> Any:
        """Return the features that simple models are given: the network's arrays, made flat.

        Returns:
            float32 [samples, features], under some five thousand features; a sparse matrix of
            that shape where the features are bags of ids.
        """

    def tokenizer_constants(self, task: TaskData) -> Mapping[str, Array]:
        """Return constants fitted to a task's training part, by the tokenizer's buffer."""
        del task
        return {}

    @property
    def modality(self) -> Modality:
        """The modality that the object is about."""
        return self.preprocessor.modality

    def hidden_share(self, *, literal: bool = False) -> float:
        """Return the share of tokens to hide; the paper's own if ``literal``."""
        if literal and self.literal_mask_ratio is not None:
            return self.literal_mask_ratio
        return self.mask_ratio

    def build_restoration(
        self, tokenizer: Tokenizer, *, literal: bool = False, forms: Collection[str] = ()
    ) -> Restoration[Any]:
        """Return the restoration of a tokenizer's tokens.

        Args:
            tokenizer: The tokenizer.
            literal: Whether it is the paper's own.
            forms: The switches of further ways of the paper that are on.
        """
        chosen = [kind for switch, kind in self.literal_forms.items() if switch in forms]
        usual = self.literal_restoration if literal else None
        return (chosen or [usual or self.restoration])[0](tokenizer)

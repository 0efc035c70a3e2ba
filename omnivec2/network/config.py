"""The configuration of a network: sizes of the trunk, one tokenizer per kind of input, heads.

The three presets share one code path. ``tiny`` exists for tests, ``reference`` is the one
that ships, ``paper`` has the sizes of the OmniVec2 paper.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from omnivec2.network.frozen_config import FrozenConfig, TransformerConfig
from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.spec import Modality, TaskFamily


class TrunkConfig(FrozenConfig):
    """f (a transformer, then fully connected layers) and g (fusion transformer)."""

    f: TransformerConfig
    fc_widths: tuple[int, ...] = Field(
        description="widths of f's fully connected layers; none if f is its transformer alone"
    )
    g: TransformerConfig
    literal: bool = Field(
        default=False,
        description="the paper's wording: ReLU after all FC layers, no LayerNorm",
    )
    f_mean: bool = Field(
        default=False,
        description="whether the exported trunk also hands heads the mean of the tokens that f "
        "gets, and of what its transformer makes of them; heads of one service need the same trunk",
        exclude_if=lambda value: not value,
    )

    @property
    def narrowed_width(self) -> int:
        """The width of the tokens that f gives to g."""
        return self.fc_widths[-1] if self.fc_widths else self.f.width

    @model_validator(mode="after")
    def _g_has_the_width_that_f_ends_with(self) -> TrunkConfig:
        if self.g.width != self.narrowed_width:
            raise ValueError(f"g is {self.g.width} wide, but f ends with {self.narrowed_width}")
        return self


class DecoderConfig(FrozenConfig):
    """The decoder of a summarization head: causal layers with cross-attention to its tokens."""

    layers: TransformerConfig
    word_width: int = Field(description="width of the text tokenizer's words, which it shares")
    vocabulary: str = Field(description="its words; see omnivec2.spec.Generation.vocabulary")
    positions: int = Field(default=256, description="most words of a text, the start included")
    start_id: int
    end_id: int
    unknown_id: int
    first_word_id: int = Field(description="ids below it are special and never copied")

    @property
    def key_width(self) -> int:
        """The width of the one key and the one value that all heads of a layer share."""
        return self.layers.width // self.layers.heads

    @property
    def state_width(self) -> int:
        """The numbers kept of a word for later ones: keys and values of every layer."""
        return 2 * self.layers.depth * self.key_width

    @property
    def memory_width(self) -> int:
        """The numbers of a source token: keys and values of every layer, and a key for copying."""
        return self.state_width + self.key_width


Summary = Literal[
    "cls", "mean", "sum", "f_mean", "f_input_mean",
    "token_mean", "token_max", "token_deviation", "token_sum", "raw", "deep",
]  # fmt: skip
"""A way to pool all features into one vector: the first one, or the mean or sum of real ones.

``f_mean`` is the mean of what f's transformer makes of the tokens, before the fully connected
layers narrow it; with ``token_`` the trunk's input is pooled. Both keep more of what the trunk's
tasks do not need. ``f_input_mean`` is ``token_mean`` as the trunk hands it out: a head with it
shares its tokenizer's part with other heads. Some tokenizers hand out a summary of their own
(``TokenizerConfig.own_widths``): ``raw`` is the input itself in standard units, ``deep`` what later
blocks of a convolutional network make of a picture (``DeepBlocks``)."""

OWN_SUMMARIES: frozenset[Summary] = frozenset({"raw", "deep"})
"""The summaries that only some tokenizers hand out."""


class HeadConfig(FrozenConfig):
    """A head of one modality and task: its tokenizer, its family and the size of its answer."""

    family: TaskFamily
    tokenizer: str = Field(description="key into NetworkConfig.tokenizers")
    outputs: int = Field(default=0, description="classes, targets or forecast steps")
    layout: Literal["sample", "token"] = Field(
        default="sample",
        description="segmentation, regression: one answer per sample (or pixel) or per token (an "
        "image cell or a group of points)",
    )
    grid: tuple[int, int] | None = Field(
        default=None, description="rows x columns of tokens, for detection, segmentation and maps"
    )
    upsample: int = Field(default=4, description="segmentation, maps: cells per token side")
    quantiles: int = Field(default=0, description="forecasting: quantiles beside the mean")
    tokens: int = Field(default=0, description="forecasting: tokens of one series; points: groups")
    context: int = Field(default=0, description="forecasting, anomaly: steps of one series")
    code: int = Field(
        default=0,
        description="anomaly: numbers that a series is rebuilt from; its error is the answer",
        exclude_if=lambda value: value == 0,
    )
    decoder: DecoderConfig | None = Field(
        default=None,
        description="summarization: the decoder that writes the text",
        exclude_if=lambda value: value is None,
    )
    layers: Literal["vit", "fc"] = Field(
        default="vit",
        description="ViT-Tiny blocks, or two fully connected layers (adaptation, alignment)",
    )
    hidden: int = Field(default=0, description="fc: width between the two layers")
    summaries: tuple[Summary, ...] = Field(
        default=("cls", "mean"), description="fc: the summaries of all tokens, its input"
    )

    @property
    def token_summaries(self) -> tuple[Summary, ...]:
        """The summaries that are taken before the trunk: of the tokens, or of the input."""
        if self.layers != "fc":
            return ()
        return tuple(n for n in self.summaries if n.startswith("token_") or n in OWN_SUMMARIES)

    @property
    def has_weights(self) -> bool:
        """Whether the head has parameters: a mean feature has none."""
        return self.family is not TaskFamily.EMBEDDING or self.outputs > 0


class NetworkConfig(FrozenConfig):
    """The whole network: h . g . f with all its tokenizers and heads."""

    preset: str
    trunk: TrunkConfig
    head: TransformerConfig = Field(description="ViT-Tiny blocks of every head")
    cross_heads: int = Field(default=6, description="attention heads of the training-only fusion")
    plain_fusion: bool = Field(
        default=False,
        description="the paper's wording: cross-attention in place of the stream, without gates",
        exclude_if=lambda value: not value,
    )
    tokenizers: dict[str, AnyTokenizerConfig] = Field(default={})
    heads: dict[str, HeadConfig] = Field(default={}, description="'<modality>/<task>' -> head")

    @model_validator(mode="after")
    def _heads_name_known_tokenizers(self) -> NetworkConfig:
        for route, head in self.heads.items():
            if head.tokenizer not in self.tokenizers:
                raise ValueError(f"head {route} names unknown tokenizer {head.tokenizer!r}")
            own = self.tokenizers[head.tokenizer].own_widths
            if missing := [n for n in head.summaries if n in OWN_SUMMARIES and n not in own]:
                raise ValueError(
                    f"head {route} needs {missing[0]}, which tokenizer {head.tokenizer} does not "
                    "hand out"
                )
            for name in {"f_mean", "f_input_mean"} & set(head.summaries):
                if not self.trunk.f_mean:
                    raise ValueError(
                        f"head {route} needs {name}, which the trunk does not hand out"
                    )
        return self

    def modality_of(self, route: str) -> Modality:
        """Return the modality that a head belongs to."""
        return self.tokenizers[self.heads[route].tokenizer].modality


def _preset(
    name: str, f: TransformerConfig, fc: tuple[int, int, int], g_depth: int, head_depth: int
) -> NetworkConfig:
    # Head dimension 32 in g, as in f of both reference and MiniLM, unless the width is tiny.
    width = fc[-1]
    g = TransformerConfig(depth=g_depth, width=width, heads=max(1, width // 32), ffn=4 * width)
    head_width = min(192, width)
    head = TransformerConfig(
        depth=head_depth, width=head_width, heads=max(1, head_width // 64), ffn=4 * head_width
    )
    return NetworkConfig(
        preset=name,
        trunk=TrunkConfig(f=f, fc_widths=fc, g=g),
        head=head,
        cross_heads=g.heads,
    )


PRESETS: dict[str, NetworkConfig] = {
    "tiny": _preset("tiny", TransformerConfig(depth=2, width=48, heads=3, ffn=96), (48, 40, 32),
                    g_depth=1, head_depth=1),
    "reference": _preset("reference", TransformerConfig(depth=6, width=384, heads=12, ffn=1536),
                         (384, 256, 192), g_depth=4, head_depth=1),
    "paper": _preset("paper", TransformerConfig(depth=12, width=768, heads=12, ffn=3072),
                     (768, 512, 384), g_depth=12, head_depth=12),
}  # fmt: skip
"""Trunk and head sizes by name; tokenizers and heads are added by a recipe."""

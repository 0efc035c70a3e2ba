"""The configuration of a network: sizes of the trunk, one tokenizer per kind of input, heads.

The three presets share one code path. ``tiny`` exists for tests, ``reference`` is the one
that ships, ``paper`` has the sizes of the OmniVec2 paper.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from omnivec2.spec import Modality, TaskFamily


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TransformerConfig(_Config):
    """Sizes of a stack of transformer layers; ``width`` must divide by ``heads``."""

    depth: int
    width: int
    heads: int
    ffn: int


class TrunkConfig(_Config):
    """f (BERT-type transformer, then 3 fully connected layers) and g (fusion transformer)."""

    f: TransformerConfig
    fc_widths: tuple[int, int, int]
    g: TransformerConfig
    literal: bool = Field(
        default=False,
        description="the paper's wording: ReLU after all three FC layers, no LayerNorm",
    )


class VisualTokenizerConfig(_Config):
    """A tokenizer of frames: a convolutional stem (stride 16), then tubelets of its grid."""

    modality: Literal[
        Modality.IMAGE, Modality.VIDEO, Modality.XRAY, Modality.INFRARED, Modality.AUDIO,
    ]  # fmt: skip
    stem_blocks: int = Field(default=11, description="blocks kept of EfficientNet-Lite0 (1-16)")
    tubelet: tuple[int, int, int] = Field(
        default=(1, 1, 1), description="frames x rows x columns of stem cells in one token"
    )
    grid: tuple[int, int, int] = Field(
        description="largest frames x rows x columns of tokens, for the position tables"
    )


class DepthTokenizerConfig(_Config):
    """A tokenizer of depth clips: tubelets of depth, silhouette and motion, at low resolution."""

    modality: Literal[Modality.DEPTH] = Modality.DEPTH
    frames: int = 16
    height: int = 64
    width: int = 80
    pooling: int = Field(default=4, description="pixels per side that are averaged first")
    tubelet: tuple[int, int, int] = Field(
        default=(2, 8, 10), description="frames x rows x columns of pooled pixels in one token"
    )

    @property
    def grid(self) -> tuple[int, int, int]:
        """The number of tokens along time, rows and columns."""
        t, p, q = self.tubelet
        return (
            self.frames // t,
            self.height // self.pooling // p,
            self.width // self.pooling // q,
        )


class TextTokenizerConfig(_Config):
    """A tokenizer of text: BERT's embeddings of word, position and segment, added."""

    modality: Literal[Modality.TEXT] = Modality.TEXT
    vocabulary: int = 30522
    positions: int = 256


class PointCloudTokenizerConfig(_Config):
    """A tokenizer of point clouds: a mini-PointNet over each group, plus its centre's embedding."""

    modality: Literal[Modality.POINTCLOUD] = Modality.POINTCLOUD
    groups: int = 64
    widths: tuple[int, int] = (64, 128)


class TimeSeriesTokenizerConfig(_Config):
    """A tokenizer of series: overlapping patches of an instance-normalised series (PatchTST)."""

    modality: Literal[Modality.TIMESERIES] = Modality.TIMESERIES
    context_length: int = 336
    patch: int = 16
    stride: int = 8

    @property
    def tokens(self) -> int:
        """The number of patches of one series, including the one padded with its last value."""
        return (self.context_length - self.patch) // self.stride + 2


class TabularTokenizerConfig(_Config):
    """A tokenizer of rows: one token per column (FT-Transformer), sized by the table's schema."""

    modality: Literal[Modality.TABULAR] = Modality.TABULAR
    numbers: int
    cardinalities: tuple[int, ...] = Field(
        description="ids per categorical column, the missing (0) and unknown (1) ids included"
    )
    pieces: int = Field(
        default=0, ge=0, description="pieces of every number's range, each adding to the token"
    )


class GraphTokenizerConfig(_Config):
    """A tokenizer of graphs: node and edge tokens with Laplacian node identifiers (TokenGT)."""

    modality: Literal[Modality.GRAPH] = Modality.GRAPH
    node_cardinalities: tuple[int, ...]
    edge_cardinalities: tuple[int, ...]
    laplacian_dims: int = 16


class ImuTokenizerConfig(_Config):
    """A tokenizer of motion signals: short runs over all channels, each channel scaled."""

    modality: Literal[Modality.IMU] = Modality.IMU
    window: int = 64
    channels: int = 9
    patch: int = 8


class HyperspectralTokenizerConfig(_Config):
    """A tokenizer of spectra: groups of bands of a pixel's neighbourhood (SpectralFormer)."""

    modality: Literal[Modality.HYPERSPECTRAL] = Modality.HYPERSPECTRAL
    bands: int = 204
    window: int = 7
    band_group: int = 12


TokenizerConfig = Annotated[
    VisualTokenizerConfig
    | DepthTokenizerConfig
    | TextTokenizerConfig
    | PointCloudTokenizerConfig
    | TimeSeriesTokenizerConfig
    | TabularTokenizerConfig
    | GraphTokenizerConfig
    | ImuTokenizerConfig
    | HyperspectralTokenizerConfig,
    Field(discriminator="modality"),
]


class DecoderConfig(_Config):
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


Summary = Literal["cls", "mean", "sum", "token_mean", "token_max", "token_deviation", "token_sum"]
"""A way to pool all features into one vector: the first one, or the mean or sum of real ones. With
``token_`` the trunk's input is pooled, which keeps more of what the trunk's tasks do not need."""


class HeadConfig(_Config):
    """A head of one modality and task: its tokenizer, its family and the size of its answer."""

    family: TaskFamily
    tokenizer: str = Field(description="key into NetworkConfig.tokenizers")
    outputs: int = Field(default=0, description="classes, targets or forecast steps")
    layout: Literal["sample", "token"] = Field(
        default="sample",
        description="segmentation: one answer per sample (a pixel) or per token (an image cell)",
    )
    grid: tuple[int, int] | None = Field(
        default=None, description="rows x columns of tokens, for detection and segmentation"
    )
    upsample: int = Field(default=4, description="segmentation: cells per token side")
    quantiles: int = Field(default=0, description="forecasting: quantiles beside the mean")
    tokens: int = Field(default=0, description="forecasting: tokens of one series")
    context: int = Field(default=0, description="forecasting: steps of one series")
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
        """The summaries that are taken of the tokenizer's tokens."""
        if self.layers != "fc":
            return ()
        return tuple(name for name in self.summaries if name.startswith("token_"))

    @property
    def has_weights(self) -> bool:
        """Whether the head has parameters: a mean feature has none."""
        return self.family is not TaskFamily.EMBEDDING or self.layers == "fc"


class NetworkConfig(_Config):
    """The whole network: h . g . f with all its tokenizers and heads."""

    preset: str
    trunk: TrunkConfig
    head: TransformerConfig = Field(description="ViT-Tiny blocks of every head")
    cross_heads: int = Field(default=6, description="attention heads of the training-only fusion")
    tokenizers: dict[str, TokenizerConfig] = {}
    heads: dict[str, HeadConfig] = Field(default={}, description="'<modality>/<task>' -> head")

    @model_validator(mode="after")
    def _heads_name_known_tokenizers(self) -> NetworkConfig:
        for route, head in self.heads.items():
            if head.tokenizer not in self.tokenizers:
                raise ValueError(f"head {route} names unknown tokenizer {head.tokenizer!r}")
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

"""What a network is made of, as data: sizes of the trunk, one tokenizer per input kind, heads.

The three presets share one code path. ``tiny`` exists for tests, ``reference`` is what
ships, ``paper`` has the sizes of the OmniVec2 paper.
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
    """Frames through a convolutional stem (stride 16), then tubelets of its grid."""

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
    """Tubelets of depth, silhouette and their motion, at a fraction of the resolution."""

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
        """Tokens along time, rows and columns."""
        t, p, q = self.tubelet
        return (
            self.frames // t,
            self.height // self.pooling // p,
            self.width // self.pooling // q,
        )


class TextTokenizerConfig(_Config):
    """BERT embeddings: word + position + segment."""

    modality: Literal[Modality.TEXT] = Modality.TEXT
    vocabulary: int = 30522
    positions: int = 256


class PointCloudTokenizerConfig(_Config):
    """Mini-PointNet over each group of neighbours plus an embedding of its centre."""

    modality: Literal[Modality.POINTCLOUD] = Modality.POINTCLOUD
    groups: int = 64
    widths: tuple[int, int] = (64, 128)


class TimeSeriesTokenizerConfig(_Config):
    """Overlapping patches of an instance-normalised series (PatchTST)."""

    modality: Literal[Modality.TIMESERIES] = Modality.TIMESERIES
    context_length: int = 336
    patch: int = 16
    stride: int = 8

    @property
    def tokens(self) -> int:
        """Patches of one series, with the one that the repeated last value fills up."""
        return (self.context_length - self.patch) // self.stride + 2


class TabularTokenizerConfig(_Config):
    """One token per column (FT-Transformer); sizes come from the table's schema."""

    modality: Literal[Modality.TABULAR] = Modality.TABULAR
    numbers: int
    cardinalities: tuple[int, ...] = Field(
        description="ids per categorical column, the missing (0) and unknown (1) ids included"
    )
    pieces: int = Field(
        default=0, ge=0, description="of every number's range, with a part of the token each"
    )


class GraphTokenizerConfig(_Config):
    """Node and edge tokens with Laplacian node identifiers (TokenGT)."""

    modality: Literal[Modality.GRAPH] = Modality.GRAPH
    node_cardinalities: tuple[int, ...]
    edge_cardinalities: tuple[int, ...]
    laplacian_dims: int = 16


class ImuTokenizerConfig(_Config):
    """Short runs of samples over all channels, scaled per channel."""

    modality: Literal[Modality.IMU] = Modality.IMU
    window: int = 64
    channels: int = 9
    patch: int = 8


class HyperspectralTokenizerConfig(_Config):
    """Groups of neighbouring bands of a pixel's neighbourhood (SpectralFormer)."""

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
    """What writes the text of a summarization head: causal layers that look at its tokens."""

    layers: TransformerConfig
    word_width: int = Field(description="of the text tokenizer's words, which it shares")
    vocabulary: str = Field(description="its words; see omnivec2.spec.Generation.vocabulary")
    positions: int = Field(default=256, description="most words of a text, and the one before it")
    start_id: int
    end_id: int
    unknown_id: int
    first_word_id: int = Field(description="ids below it are special and never copied")

    @property
    def key_width(self) -> int:
        """Of the one key and the one value that all heads of a layer share."""
        return self.layers.width // self.layers.heads

    @property
    def state_width(self) -> int:
        """Numbers that a word leaves for those after it: keys and values of every layer."""
        return 2 * self.layers.depth * self.key_width

    @property
    def memory_width(self) -> int:
        """Numbers of a source token: keys and values of every layer, and a key for copying."""
        return self.state_width + self.key_width


Summary = Literal["cls", "mean", "sum", "token_mean", "token_max", "token_deviation", "token_sum"]
"""A way to make one vector of all features: the first one, or the mean or sum of real ones; with
``token_``, of the tokens that the trunk gets, which know more of what its own tasks do not need."""


class HeadConfig(_Config):
    """One modality-task: which tokenizer feeds it, its family and the size of its answer."""

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
        description="summarization: what writes the text",
        exclude_if=lambda value: value is None,
    )
    layers: Literal["vit", "fc"] = Field(
        default="vit",
        description="ViT-Tiny blocks, or two fully connected layers (adaptation, alignment)",
    )
    hidden: int = Field(default=0, description="fc: width between the two layers")
    summaries: tuple[Summary, ...] = Field(
        default=("cls", "mean"), description="fc: what the first layer sees of all tokens"
    )

    @property
    def token_summaries(self) -> tuple[Summary, ...]:
        """Those of its summaries that the tokenizer's tokens are needed for."""
        if self.layers != "fc":
            return ()
        return tuple(name for name in self.summaries if name.startswith("token_"))

    @property
    def has_weights(self) -> bool:
        """Whether there is anything to learn: a mean feature has nothing."""
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
        """The modality a head belongs to."""
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

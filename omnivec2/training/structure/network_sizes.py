"""The section ``network`` of a recipe: sizes that differ from those of its preset."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from omnivec2.errors import ArtifactError
from omnivec2.network.config import PRESETS, NetworkConfig, TrunkConfig
from omnivec2.network.frozen_config import NormOrder, TransformerConfig
from omnivec2.network.tokenizers import AnyTokenizerConfig
from omnivec2.network.tokenizers.visual import VisualTokenizerConfig
from omnivec2.training.masked.decoders import DECODERS

CUSTOM = "custom"
"""The name of a network whose sizes are not those of a preset."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TransformerSizes(_Section):
    """Sizes of a stack of layers; what is left out is the preset's.

    A new width without heads and ffn keeps the preset's width of a head and ratio of ffn to width.
    """

    depth: int | None = Field(default=None, gt=0, description="layers")
    width: int | None = Field(default=None, gt=0, description="numbers of a token")
    heads: int | None = Field(default=None, gt=0, description="attention heads")
    ffn: int | None = Field(default=None, gt=0, description="numbers between a layer's two maps")
    norm: NormOrder | None = Field(
        default=None, description="LayerNorm: post (BERT) or pre (ViT), which also ends in one"
    )
    eps: float | None = Field(default=None, gt=0, description="epsilon of LayerNorm")

    def over(self, base: TransformerConfig) -> TransformerConfig:
        """Return the sizes of a preset's stack with those given here.

        Raises:
            ValueError: The width does not divide by the heads.
        """
        given = self.model_dump(exclude_none=True)
        if self.width is not None:
            per_head = base.width // base.heads
            given.setdefault("heads", max(1, self.width // per_head))
            given.setdefault("ffn", self.width * base.ffn // base.width)
        return TransformerConfig.model_validate(base.model_dump() | given)


class NetworkSizes(_Section):
    """Sizes of the network; what is left out is the preset's."""

    f: TransformerSizes | Literal["backbone"] = Field(
        default=TransformerSizes(),
        description="f's transformer; `backbone`: the sizes of the warm start of the trunk",
    )
    fc_widths: tuple[int, ...] | None = Field(
        default=None, description="widths of f's fully connected layers; [] leaves them out"
    )
    g: TransformerSizes = Field(
        default=TransformerSizes(), description="g; its width is that which f ends with"
    )
    head: TransformerSizes = Field(
        default=TransformerSizes(), description="ViT-Tiny blocks of every head"
    )
    cross_heads: int | None = Field(
        default=None,
        gt=0,
        description="attention heads of cross-attention, by default g's",
    )
    decoder: TransformerSizes = Field(
        default=TransformerSizes(), description="decoders of masked stages"
    )
    tokenizers: dict[str, dict[str, JsonValue]] = Field(
        default={},
        description="tokenizer -> fields of its configuration, as {image: {stem: patches}}",
    )

    def config(
        self, preset: str, *, literal: bool = False, backbone: TransformerConfig | None = None
    ) -> NetworkConfig:
        """Return the sizes of a network without tokenizers and heads.

        Args:
            preset: The name of the preset.
            literal: Whether the trunk follows the paper's wording.
            backbone: The sizes of the trunk's warm start, if f takes them.

        Raises:
            ValueError: The sizes do not fit together.
        """
        base = PRESETS[preset]
        if self.f != "backbone":
            f = self.f.over(base.trunk.f)
        elif backbone is None:
            raise ValueError("network: f: backbone needs a warm_start of the trunk")
        else:
            f = backbone
        fc_widths = base.trunk.fc_widths if self.fc_widths is None else self.fc_widths
        width = fc_widths[-1] if fc_widths else f.width
        g = self.g if self.g.width or width == base.trunk.g.width else self._g_of_width(width)
        trunk = TrunkConfig(f=f, fc_widths=fc_widths, g=g.over(base.trunk.g), literal=literal)
        head = self.head.over(base.head)
        usual_heads = base.cross_heads if trunk.g == base.trunk.g else trunk.g.heads
        cross_heads = self.cross_heads or usual_heads
        if width % cross_heads:
            raise ValueError(f"cross_heads: the width {width} of g does not divide by it")
        same = (f, fc_widths, trunk.g, head, cross_heads) == (
            base.trunk.f, base.trunk.fc_widths, base.trunk.g, base.head, base.cross_heads
        )  # fmt: skip
        return NetworkConfig(
            preset=preset if same else CUSTOM, trunk=trunk, head=head, cross_heads=cross_heads
        )

    def _g_of_width(self, width: int) -> TransformerSizes:
        return self.g.model_copy(update={"width": width})

    def decoder_sizes(self, preset: str) -> TransformerConfig:
        """Return the sizes of the decoders of masked stages."""
        return self.decoder.over(DECODERS[preset])

    def tokenizer(
        self, name: str, config: AnyTokenizerConfig, *, post_norm: bool = True
    ) -> AnyTokenizerConfig:
        """Return a tokenizer's configuration with the fields that are given for it.

        Args:
            name: The name of the tokenizer.
            config: Its configuration for the data of a task.
            post_norm: Whether f is post-norm, so that plain patches end in a LayerNorm.

        Raises:
            ArtifactError: A field is unknown or wrong.
        """
        given: dict[str, Any] = dict(self.tokenizers.get(name, {}))
        if not given:
            return config
        if isinstance(config, VisualTokenizerConfig):
            given = _with_grid(config, given, post_norm=post_norm)
        try:
            return type(config).model_validate(config.model_dump() | given)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(str(part) for part in first["loc"])
            fields = ", ".join(key for key in type(config).model_fields if key != "modality")
            raise ArtifactError(
                f"network.tokenizers.{name}.{field}: {first['msg']}; its fields: {fields}"
            ) from error


def _with_grid(
    config: VisualTokenizerConfig, given: dict[str, Any], *, post_norm: bool
) -> dict[str, Any]:
    """Add the grid of tokens that other cells or tubelets make of the same frames."""
    if given.get("stem") == "patches":
        # Plain patches keep all pixels: a token is one of them, unless a tubelet is given.
        given = {"tubelet": (config.tubelet[0], 1, 1), "token_norm": post_norm} | given
    if "grid" in given:
        return given
    frames = [a * b for a, b in zip(config.grid, config.tubelet, strict=True)]
    pixels = (frames[0], frames[1] * config.stride, frames[2] * config.stride)
    sizes = {key: given[key] for key in ("stem", "patch", "tubelet") if key in given}
    try:
        resized = VisualTokenizerConfig.model_validate(config.model_dump() | sizes)
    except ValidationError:
        return given  # the caller names the wrong field
    grid = resized.grid_of(pixels)
    return given | {"grid": tuple(max(1, size) for size in grid)}

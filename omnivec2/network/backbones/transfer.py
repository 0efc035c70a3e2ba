"""The transfer of one backbone into parts of a network, which records every tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from omnivec2.errors import CheckpointError
from omnivec2.network.backbones.backbone import Backbone, split_name
from omnivec2.network.backbones.weight_report import WeightReport


class Transfer:
    """Copying of tensors from a backbone, and the report on them.

    Args:
        backbone: The backbone.

    Attributes:
        backbone: The same backbone.
        report: The report so far.
        reasons: The reasons why tensors of the backbone have no place here, by their name.
    """

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.report = WeightReport(backbone.source, backbone.layout.name)
        self.reasons: dict[str, str] = {}

    def fill(
        self,
        module: nn.Module,
        ours: str,
        tensor: Tensor,
        theirs: Sequence[str],
        *,
        prefix: str,
        note: str = "",
    ) -> None:
        """Copy a tensor into a weight, and record all tensors that it was made from.

        Args:
            module: The module of the weight.
            ours: The name of the weight in the module.
            tensor: The values.
            theirs: The names of the backbone's tensors that it was made from; none for a constant.
            prefix: The name of the module in the network.
            note: The change that was made on the way.

        Raises:
            CheckpointError: The shapes differ.
        """
        parameter = module.get_parameter(ours)
        if parameter.shape != tensor.shape:
            raise CheckpointError(
                f"{self.backbone.source}: {', '.join(theirs)} has the shape "
                f"{tuple(tensor.shape)}, {prefix}.{ours} {tuple(parameter.shape)}"
            )
        with torch.no_grad():
            parameter.copy_(tensor)
        if not theirs:
            self.report.fresh(f"{prefix}.{ours}", note)
        for name in theirs:
            stored = self.backbone.stored_names[split_name(name)[0]]
            self.report.taken(stored, f"{prefix}.{ours}", note)

    def finish(self) -> WeightReport:
        """Account for all tensors that no part has taken, and return the report."""
        taken = self.report.names("taken")
        for name in self.backbone:
            if (stored := self.backbone.stored_names[name]) not in taken:
                reason = self.reasons.get(name) or self.backbone.layout.reason_left(name)
                self.report.left(stored, reason or self._reason_unused(name))
        return self.report

    def _reason_unused(self, name: str) -> str:
        layout = self.backbone.layout
        if name in layout.text.values():
            return "embeddings of words; warm_start names no text tokenizer for them"
        if name in layout.patches.values():
            return "embeddings of patches; warm_start names no tokenizer for them"
        if self.backbone.layer_number(name) is not None:
            return "a layer; warm_start does not name the trunk for it"
        if name.rpartition(".")[0] in layout.trunk.values():
            return "after the layers; warm_start does not name the trunk for it"
        return "a name that is in no table"

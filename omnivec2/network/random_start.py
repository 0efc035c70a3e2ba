"""Networks that are built without random weights, because all of them are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_RANDOM = frozenset({torch.Tensor.uniform_, torch.Tensor.normal_, torch.Tensor.erfinv_})
"""The calls by which ``torch.nn.init`` draws weights: seconds for a network of this size."""


class WithoutRandomStart(TorchFunctionMode):
    """A context in which modules that are built get zeros for random weights, to be loaded."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call a function of torch, unless it draws random numbers."""
        if func in _RANDOM:
            return args[0].zero_()
        return func(*args, **(kwargs or {}))

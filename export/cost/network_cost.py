"""Operations of a network in PyTorch, for checkpoints that are not exported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from export.cost.head_cost import HeadCost, usual_lengths
from export.parity.random_samples import random_inputs
from omnivec2.network.omnivec2 import OmniVec2
from omnivec2.spec import HeadSpec


@torch.inference_mode()
def network_cost(network: OmniVec2, head: HeadSpec) -> HeadCost:
    """Return the cost of one sample of a head.

    Args:
        network: The network in eval mode.
        head: The spec of one of its heads.
    """
    arrays = random_inputs(head, 1, usual_lengths(head), np.random.default_rng(0))
    inputs = {name: torch.from_numpy(array) for name, array in arrays.items()}
    tokenizer, tokens = _count(lambda: network.tokenize(head.route, inputs))
    trunk, features = _count(lambda: network.trunk(tokens))
    own, _ = _count(lambda: network.answer(head.route, features))
    total = tokenizer + trunk + own
    return HeadCost(head.route, tokens.x_BND.shape[1], tokenizer, trunk, total)


def _count(run: Callable[[], Any]) -> tuple[int, Any]:
    # The fused attention of CPUs is not counted; its plain form is.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        result = run()
    return int(counter.get_total_flops()), result

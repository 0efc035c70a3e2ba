"""Many pairs of fully connected layers trained at once, as one batch of matrices.

Choosing by validation means fitting the same small layers dozens of times; side by side
they take a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from omnivec2.training.adaptation.answer_forms import layer_losses

_RATE = 2e-3
_MEAN_DECAY, _SQUARE_DECAY, _EPSILON = 0.9, 0.999, 1e-8
_DROPOUT = 0.2
BATCH = 256
"""Samples of a step."""


class _Adam:
    """Adam (Kingma and Ba, 2015) with the usual constants.

    PyTorch's own imports its compiler, which takes longer than fitting the layers.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = list(parameters)
        self.means = [torch.zeros_like(parameter) for parameter in parameters]
        self.squares = [torch.zeros_like(parameter) for parameter in parameters]
        self.steps = 0

    def step(self, gradients: Sequence[Tensor]) -> None:
        """Change every parameter by its gradient; to be called without recording gradients."""
        self.steps += 1
        rate = _RATE / (1.0 - _MEAN_DECAY**self.steps)
        root = (1.0 - _SQUARE_DECAY**self.steps) ** 0.5
        for parameter, gradient, mean, square in zip(
            self.parameters, gradients, self.means, self.squares, strict=True
        ):
            mean.lerp_(gradient, 1.0 - _MEAN_DECAY)
            square.mul_(_SQUARE_DECAY).addcmul_(gradient, gradient, value=1.0 - _SQUARE_DECAY)
            parameter.addcdiv_(mean, (square.sqrt() / root).add_(_EPSILON), value=-rate)


class BatchedLayers:
    """``K`` pairs of layers, K models x D summaries x H hidden x C outputs.

    Args:
        x_SD: The standardised summaries of all samples.
        y_S: The labels; quantities in standard units (S, C).
        weights_KS: The weight of each sample in each model; 0 leaves it out.
        decays: The weight decay of each model.
        hidden: The number of hidden units, H.
        outputs: The number of outputs, C.
        seed: The seed of the starts (the same unless ``own_starts``) and of the order.
        own_starts: Whether every model has its own start.
    """

    def __init__(
        self, x_SD: Tensor, y_S: Tensor, weights_KS: Tensor, decays: Sequence[float],
        *, hidden: int, outputs: int, seed: int, own_starts: bool = False,
    ) -> None:  # fmt: skip
        self.x_SD, self.y_S, self.weights_KS = x_SD, y_S, weights_KS
        self.decay_K11 = torch.tensor(decays)[:, None, None]
        self.generator = torch.Generator().manual_seed(seed)
        models, size = len(decays), x_SD.shape[1]

        def drawn(fan_in: int, *shape: int) -> Tensor:
            """Draw uniform values as torch.nn.Linear does."""
            starts = models if own_starts else 1
            uniform = torch.rand(starts, *shape, generator=self.generator) * 2 - 1
            values: Tensor = (uniform / fan_in**0.5).expand(models, *shape).clone()
            return values.requires_grad_(True)

        self.first_KDH, self.first_bias = drawn(size, size, hidden), drawn(size, 1, hidden)
        self.second_KHC, self.second_bias = (
            drawn(hidden, hidden, outputs),
            drawn(hidden, 1, outputs),
        )
        parameters = [self.first_KDH, self.first_bias, self.second_KHC, self.second_bias]
        self.optimiser = _Adam(parameters)
        self._order = torch.empty(0, dtype=torch.long)
        self._used = torch.nonzero(weights_KS.amax(dim=0) > 0)[:, 0]

    def step(self) -> None:
        """Train on one batch, the same for all models; decay is decoupled, as in AdamW."""
        rows = self._next_rows()
        weights_KB = self.weights_KS[:, rows]
        losses_KB = layer_losses(self.answers(self.x_SD[rows], dropout=_DROPOUT), self.y_S[rows])
        # Models do not share weights: the gradient of their sum is that of each.
        loss = ((losses_KB * weights_KB).sum(1) / weights_KB.sum(1).clamp(min=1e-9)).sum()
        gradients = torch.autograd.grad(loss, self.optimiser.parameters)
        with torch.no_grad():
            for weight in (self.first_KDH, self.second_KHC):
                weight.mul_(1.0 - _RATE * self.decay_K11)
            self.optimiser.step(gradients)

    def _next_rows(self) -> Tensor:
        if len(self._used) <= BATCH:
            return self._used
        if len(self._order) < BATCH:
            order = torch.randperm(len(self._used), generator=self.generator)
            self._order = self._used[order]
        rows, self._order = self._order[:BATCH], self._order[BATCH:]
        return rows

    def answers(self, x_BD: Tensor, dropout: float = 0.0) -> Tensor:
        """Return the answers (K, B, C) to summaries (B, D)."""
        x_KBD = F.dropout(x_BD.expand(len(self.decay_K11), *x_BD.shape), dropout)
        hidden_KBH = F.gelu(torch.baddbmm(self.first_bias, x_KBD, self.first_KDH))
        return torch.baddbmm(self.second_bias, F.dropout(hidden_KBH, dropout), self.second_KHC)

    @torch.no_grad()
    def merged(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the mean of all models as one pair of layers, K times as wide.

        Returns:
            Weight and bias of the first, weight and bias of the second, as torch.nn.Linear's.
        """
        models = len(self.decay_K11)
        return (
            self.first_KDH.transpose(1, 2).flatten(0, 1).clone(),
            self.first_bias.flatten().clone(),
            (self.second_KHC / models).flatten(0, 1).T.clone(),
            self.second_bias.mean(dim=0)[0].clone(),
        )

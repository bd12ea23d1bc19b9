"""Networks and models of them that tests use; importable, so that other processes find them."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from simpleml.models.torch import TorchModel


class Perceptron(nn.Module):
    """Two layers, whose arguments it keeps under other names than theirs."""

    def __init__(self, inputs: int, hidden: int = 8, outputs: int = 1) -> None:
        super().__init__()
        self.hidden = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Dropout(0.1))
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the two layers give."""
        return self.out(self.hidden(x))  # type: ignore[no-any-return]


class Denoiser(TorchModel):
    """Learns its own input, with a step of its own."""

    def training_step(self, module: Any, X: Any, y: Any, loss: Any) -> Any:
        """Return how far the output is from the input."""
        return loss(module(X + 0.01), X)

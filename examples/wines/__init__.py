"""What the example of PyTorch brings along: a class that every process finds, as one of your own package would be."""

from __future__ import annotations

import torch


class Network(torch.nn.Module):
    """Two layers, from the measurements of a wine to a score for each grower."""

    def __init__(self, features: int, width: int, classes: int) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(features, width)
        self.scores = torch.nn.Linear(width, classes)

    def forward(self, table: torch.Tensor) -> torch.Tensor:
        """Return the scores of each row."""
        scores: torch.Tensor = self.scores(torch.relu(self.hidden(table)))
        return scores

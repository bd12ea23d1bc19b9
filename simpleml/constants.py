"""The names that splits of a dataset have everywhere."""

from __future__ import annotations

from typing import Final

TRAIN_SPLIT: Final = "TRAIN"
VALIDATION_SPLIT: Final = "VALIDATION"
TEST_SPLIT: Final = "TEST"

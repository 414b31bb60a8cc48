"""The pool: every extractor of features that can be named, and how to build one."""

from pathlib import Path
from typing import Any, Literal

import torch

from pipeline.config.errors import PipelineError
from pipeline.extractors.base import Extractor

POOL: dict[str, Any] = {}
"""Every extractor, by name."""


def build(name: str, weights: Path | Literal["random"], device: torch.device | str = "cpu") -> Extractor:  # noqa: ARG001
    """Build an extractor.

    Raises:
        PipelineError: there is none of this name.
    """
    raise PipelineError(f"feature {name!r} is not known; known are {', '.join(POOL) or 'none'}")

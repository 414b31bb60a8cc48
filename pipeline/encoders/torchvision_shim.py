"""Import torchvision in an environment whose torch it was not compiled for.

A torchvision that was compiled for CUDA may be installed with a CPU-only torch; its compiled extension then cannot
load. torchvision tolerates that, except that its Python code describes two operators (`nms`, `qnms`) that only the
extension defines: the import fails with `operator torchvision::nms does not exist`. Declaring the two operators,
without an implementation, is enough for models and transforms. If the extension loads, nothing is declared.
"""

import importlib
import importlib.util
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")


def import_torchvision(module: str = "torchvision") -> Any:
    """Import torchvision, or one of its modules (`torchvision.models.video`), with whatever torch is installed."""
    if not _extension_loads():
        for name in _OPERATORS:
            if not hasattr(torch.ops.torchvision, name):
                torch.library.define(f"torchvision::{name}", _SCHEMA)
    return importlib.import_module(module)


def _extension_loads() -> bool:
    """Whether torchvision's library `_C` can be loaded from its folder, as torchvision's own import tries to."""
    spec = importlib.util.find_spec("torchvision")  # finds the folder, imports nothing
    folders = spec.submodule_search_locations if spec else None
    for folder in folders or []:
        for suffix in EXTENSION_SUFFIXES:
            library = Path(folder, f"_C{suffix}")
            if library.is_file():
                try:
                    torch.ops.load_library(library)
                except OSError:
                    return False
                return True
    return False

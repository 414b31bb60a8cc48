"""Importing torchvision beside a torch that it was not compiled for.

A torchvision that is compiled for CUDA may stand beside a CPU-only torch; its compiled extension then cannot load.
It takes that calmly, except that its Python code then describes two operators (`nms`, `qnms`) which
only the extension defines, and the import dies with `operator torchvision::nms does not exist`. Declaring the
two, without an implementation, is enough for models and transforms. Where the extension does load (any
matching pair), nothing is declared.
"""

import importlib
import importlib.util
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any

import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_OPERATORS = ("nms", "qnms")


def torchvision(module: str = "torchvision") -> Any:
    """Import torchvision, or a module of it (`torchvision.models.video`), whatever torch is installed."""
    if not _extension_loads():
        for name in _OPERATORS:
            if not hasattr(torch.ops.torchvision, name):
                torch.library.define(f"torchvision::{name}", _SCHEMA)
    return importlib.import_module(module)


def _extension_loads() -> bool:
    """Try what torchvision's own import is going to try: loading the library `_C` from its folder."""
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

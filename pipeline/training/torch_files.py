"""Read files of `torch.save` without executing anything in them.

PyTorch reads tensors and plain containers. Besides these, files of other people hold arrays and scalars of numbers from
NumPy, and the command line of a training as an `argparse.Namespace`. These classes are allowed: they are created empty
and given their content, and none of their code runs. Any other class is refused.
"""

import argparse
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.errors import PipelineError

# Classes in pickled arrays and scalars of numbers; functions under their names in NumPy before and since version 2.
_ARRAY_CLASSES: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in "?bBhHiIlLqQefd"),
    *(
        (getattr(np._core.multiarray, name), f"{module}.multiarray.{name}")  # type: ignore[attr-defined]
        for name in ("_reconstruct", "scalar")
        for module in ("numpy.core", "numpy._core")
    ),
]


def load_torch_file(path: Path, *, mmap: bool = False) -> Any:
    """Load a file of `torch.save` that holds tensors, arrays and scalars of numbers, and plain containers of them.

    Args:
        path: the file, in torch's zip format or the older one.
        mmap: map the file instead of reading its numbers, if it has the zip format.

    Raises:
        PipelineError: the file is damaged, or holds anything else.
    """
    try:
        with torch.serialization.safe_globals([argparse.Namespace, *_ARRAY_CLASSES]):
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap and zipfile.is_zipfile(path))
    except Exception as error:  # a damaged file raises a dozen kinds of errors in torch, failed assertions among them
        raise PipelineError(f"{path}: weights cannot be read without executing code ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    """Return torch's reason for refusing a file, without its advice on how to read it anyway."""
    message = str(error)
    line = next(iter((message.partition("WeightsUnpickler error: ")[2] or message).splitlines()), "")
    return line.partition(". ")[0] or type(error).__name__

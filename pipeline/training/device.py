"""Which device a stage computes on."""

import platform

import torch

from pipeline.errors import PipelineError


def pick(device: str) -> torch.device:
    """The device for `auto`, `cpu` or `cuda`; `auto` takes a GPU if one is visible.

    Raises:
        PipelineError: `cuda` where none is visible.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise PipelineError("device: cuda is asked for but no GPU is visible (CUDA_VISIBLE_DEVICES, nvidia-smi?)")
    return torch.device(device)


def described(device: torch.device, processes: int) -> str:
    """The machine in words, for a model card: what computes, how many of it, with which PyTorch."""
    if device.type == "cuda":
        computes = f"{processes} x {torch.cuda.get_device_name(device)}"
    else:
        computes = f"{processes} x {torch.get_num_threads()} threads of a CPU ({platform.machine()})"
    return f"{computes}, PyTorch {torch.__version__}"

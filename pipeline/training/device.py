"""The device that a stage computes on."""

import platform

import torch

from pipeline.errors import PipelineError


def resolve_device(device: str) -> torch.device:
    """Return the device for `auto`, `cpu` or `cuda`; `auto` uses a GPU if one is visible.

    Raises:
        PipelineError: `cuda`, but no GPU is visible.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise PipelineError("device: cuda, but no GPU is visible; check CUDA_VISIBLE_DEVICES and nvidia-smi")
    return torch.device(device)


def device_summary(device: torch.device, world_size: int) -> str:
    """Describe the machine for a model card: the devices, their number, and the version of PyTorch."""
    if device.type == "cuda":
        devices = f"{world_size} x {torch.cuda.get_device_name(device)}"
    else:
        devices = f"{world_size} x {torch.get_num_threads()} threads of a CPU ({platform.machine()})"
    return f"{devices}, PyTorch {torch.__version__}"

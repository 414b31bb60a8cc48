"""From decoded frames to what the network sees, on the device that it runs on."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

from pipeline.config.pretrain_encoder import Clip

MEAN = (0.43216, 0.394666, 0.37645)
STD = (0.22803, 0.22145, 0.216989)
"""Of red, green and blue on Kinetics, in [0, 1]: what all published weights were trained with."""


def prepare(
    frames: UInt8[Tensor, "frames height width 3"], clip: Clip, crop: tuple[int, int], *, flip: bool
) -> Float[Tensor, "frames crop crop 3"]:
    """Resize, crop, mirror and normalise one clip, as TSP's transforms do.

    Frames are resized (bilinear, no antialiasing, aspect ratio not kept) to the clip's height and width
    unless they have that size already.

    Args:
        frames: as decoded, on the device that is to do the work.
        clip: the geometry.
        crop: first row and column of the crop in the resized frame.
        flip: whether to mirror left and right.
    """
    size = (clip.height, clip.width)
    if frames.shape[1:3] != size:
        planes = frames.permute(0, 3, 1, 2).float()
        pixels = functional.interpolate(planes, size=size, mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    else:
        pixels = frames
    # Cropping, mirroring and normalising commute; the crop comes first because it leaves the least to do.
    top, left = crop
    pixels = pixels[:, top : top + clip.crop, left : left + clip.crop].float()
    if flip:
        pixels = pixels.flip(2)
    mean, std = (torch.tensor(values, device=frames.device) * 255 for values in (MEAN, STD))
    return (pixels - mean) / std


def stack(clips: Sequence[Float[Tensor, "frames crop crop 3"]]) -> Float[Tensor, "batch 3 frames crop crop"]:
    """A batch as networks take it; channels stay last in memory, which is faster on CPUs."""
    return torch.stack(list(clips)).permute(0, 4, 1, 2, 3)


def central_crop(clip: Clip) -> tuple[int, int]:
    """First row and column of the central crop; halves are rounded as torchvision's CenterCrop does."""
    return round((clip.height - clip.crop) / 2), round((clip.width - clip.crop) / 2)

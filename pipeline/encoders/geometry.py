"""From decoded frames to what the network sees, on the device that it runs on."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Shaped, UInt8
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

    Args:
        frames: as decoded, on the device that is to do the work.
        clip: the geometry.
        crop: first row and column of the crop in the resized frame.
        flip: whether to mirror left and right.
    """
    return prepare_batch([frames], clip, [crop], [flip])[0].permute(1, 2, 3, 0)


def prepare_batch(
    clips: Sequence[UInt8[Tensor, "frames _ _ 3"]], clip: Clip, crops: Sequence[tuple[int, int]], flips: Sequence[bool]
) -> Float[Tensor, "batch 3 frames crop crop"]:
    """Resize, crop, mirror and normalise the clips of a batch: all of one size at once, the rest for all together.

    Frames are resized (bilinear, no antialiasing) unless they have their size already. What becomes of a clip does not
    depend on the others, to the last bit.

    Args:
        clips: as decoded, on the device that is to do the work; at least one.
        clip: the geometry.
        crops: of each clip: first row and column in the resized frame.
        flips: of each clip: whether to mirror left and right.
    """
    by_size: dict[tuple[int, ...], list[int]] = {}
    for number, frames in enumerate(clips):
        by_size.setdefault(tuple(frames.shape), []).append(number)
    cropped: list[Tensor] = [clips[0]] * len(clips)
    for numbers in by_size.values():
        resized = _resize(torch.stack([clips[number] for number in numbers]), clip)
        for number, pixels in zip(numbers, resized, strict=True):
            # Cropping, mirroring and normalising commute; the crop comes first because it leaves the least to do.
            top, left = crops[number]
            cropped[number] = pixels[:, top : top + clip.crop, left : left + clip.crop].float()
    batch = torch.stack(cropped)
    mirrored = torch.tensor(list(flips), device=batch.device)[:, None, None, None, None]
    mean, std = (torch.tensor(values, device=batch.device) * 255 for values in (MEAN, STD))
    normalised = (torch.where(mirrored, batch.flip(3), batch) - mean) / std
    # Channels stay last in memory, which is faster on CPUs and with tensor cores.
    return normalised.permute(0, 4, 1, 2, 3)


def _resize(clips: UInt8[Tensor, "clips frames _ _ 3"], clip: Clip) -> Shaped[Tensor, "clips frames _ _ 3"]:
    size = clip.resized(*clips.shape[2:4])
    if clips.shape[2:4] == size:
        return clips
    planes = clips.flatten(0, 1).permute(0, 3, 1, 2).float()
    resized = functional.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return resized.permute(0, 2, 3, 1).unflatten(0, clips.shape[:2])


def stack(clips: Sequence[Float[Tensor, "frames crop crop 3"]]) -> Float[Tensor, "batch 3 frames crop crop"]:
    """A batch as networks take it; channels stay last in memory, which is faster on CPUs."""
    return torch.stack(list(clips)).permute(0, 4, 1, 2, 3)


def central_crop(clip: Clip, size: tuple[int, int]) -> tuple[int, int]:
    """First row and column of the central crop; halves are rounded as torchvision's CenterCrop does.

    Args:
        clip: the geometry.
        size: height and width of the resized frame, pixels.
    """
    height, width = size
    return round((height - clip.crop) / 2), round((width - clip.crop) / 2)

"""From decoded frames to what the network sees, on the device that it runs on."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

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
    """Resize, crop, mirror and normalise the clips of a batch, on a GPU all of one size at once.

    Frames are resized (bilinear, no antialiasing); only what the crop shows is computed. What becomes of a clip does
    not depend on the others, to the last bit.

    Args:
        clips: as decoded, on the device that is to do the work; at least one.
        clip: the geometry.
        crops: of each clip: first row and column in the resized frame.
        flips: of each clip: whether to mirror left and right.
    """
    by_size: dict[tuple[int, ...], list[int]] = {}
    for number, frames in enumerate(clips):
        # A CPU gains nothing from several clips at a time; it would only copy them together first.
        alone = () if frames.is_cuda else (number,)
        by_size.setdefault((*frames.shape, *alone), []).append(number)
    shown: list[Tensor] = [clips[0]] * len(clips)
    for numbers in by_size.values():
        of_size = [clips[number] for number in numbers]
        together = torch.stack(of_size) if len(of_size) > 1 else of_size[0][None]
        pixels = _shown(together, clip, [crops[number] for number in numbers], [flips[number] for number in numbers])
        for number, of_clip in zip(numbers, pixels, strict=True):
            shown[number] = of_clip
    batch = torch.stack(shown)
    mean, std = (torch.tensor(values, device=batch.device).repeat(clip.crop) * 255 for values in (MEAN, STD))
    batch.flatten(-2).sub_(mean).div_(std)  # a view: whole rows at a time are far faster than pixels
    # Channels stay last in memory, which is faster on CPUs and with tensor cores.
    return batch.permute(0, 4, 1, 2, 3)


def _shown(
    clips: UInt8[Tensor, "clips frames _ _ 3"], clip: Clip, crops: list[tuple[int, int]], flips: list[bool]
) -> Float[Tensor, "clips frames crop crop 3"]:
    """What the crops show of the resized frames: each pixel is mixed from the four that it falls between."""
    height, width = clips.shape[2:4]
    resized = clip.resized(height, width)
    rows = [range(top, top + clip.crop) for top, _ in crops]
    columns = [range(left, left + clip.crop) for _, left in crops]
    columns = [of_clip[::-1] if flip else of_clip for of_clip, flip in zip(columns, flips, strict=True)]
    above, below, down = _between(rows, height, resized[0], clips.device)
    before, after, right = _between(columns, width, resized[1], clips.device)
    of_clip = torch.arange(len(clips), device=clips.device)[:, None, None]
    of_frame = torch.arange(clips.shape[1], device=clips.device)[:, None]
    # Rows, then columns; whole rows of pixels are one axis, since short inner axes are slow.
    found = clips[of_clip, of_frame, above[:, None]].flatten(-2).float()
    if resized[0] != height:
        found.lerp_(clips[of_clip, of_frame, below[:, None]].flatten(-2).float(), down[:, None, :, None])
    shape = (*found.shape[:-1], 3 * clip.crop)

    def taken(columns: Int64[Tensor, "clips crop"]) -> Tensor:
        channels = 3 * columns[:, :, None] + torch.arange(3, device=columns.device)
        return found.gather(-1, channels.flatten(1)[:, None, None].expand(shape))

    shown = taken(before)
    if resized[1] != width:
        shown.lerp_(taken(after), right.repeat_interleave(3, dim=1)[:, None, None])
    return shown.unflatten(-1, (clip.crop, 3))


def _between(
    places: list[range], size: int, resized: int, device: torch.device
) -> tuple[Int64[Tensor, "clips crop"], Int64[Tensor, "clips crop"], Float[Tensor, "clips crop"]]:
    """Where places of a resized axis lie in the original one: the two neighbours, and how near the second is."""
    wanted = torch.tensor([list(of_clip) for of_clip in places], dtype=torch.float64)
    # Centres of pixels fall on each other (`align_corners=False`); before the first there is nothing.
    exact = ((wanted + 0.5) * (size / resized) - 0.5).clamp(min=0.0)
    first = exact.floor().long()
    second = (first + 1).clamp(max=size - 1)
    return first.to(device), second.to(device), (exact - first).float().to(device)


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

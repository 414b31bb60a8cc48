"""Resize, crop, mirror and normalise decoded frames, on the device of the network."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from pipeline.config.clip_geometry import ClipGeometry

MEAN = (0.43216, 0.394666, 0.37645)
"""Mean of red, green and blue on Kinetics, in [0, 1]; all published weights use it."""
STD = (0.22803, 0.22145, 0.216989)
"""Standard deviation of red, green and blue on Kinetics."""


@dataclass(frozen=True)
class PixelNormalization:
    """How the pixels 0 to 255 become the input of a network: (pixel - mean x unit) / (std x unit).

    Attributes:
        mean: of red, green and blue.
        std: of red, green and blue.
        unit: pixel value that counts as 1.
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    unit: int


KINETICS = PixelNormalization(MEAN, STD, 255)
BY_64 = PixelNormalization((0.0, 0.0, 0.0), (64.0, 64.0, 64.0), 1)
"""Pixels divided by 64, as the two-channel network takes them."""


def transform_clip(
    frames: UInt8[Tensor, "frames height width 3"],
    clip: ClipGeometry,
    crop: tuple[int, int],
    *,
    flip: bool,
    normalization: PixelNormalization = KINETICS,
) -> Float[Tensor, "frames crop crop 3"]:
    """Resize, crop, mirror and normalise one clip, as TSP's transforms do.

    Args:
        frames: decoded frames, on the device to compute on.
        clip: geometry of a clip.
        crop: first row and column of the crop in the resized frame.
        flip: whether to mirror left and right.
        normalization: of the pixels.
    """
    return transform_batch([frames], clip, [crop], [flip], normalization)[0].permute(1, 2, 3, 0)


def transform_batch(
    clips: Sequence[UInt8[Tensor, "frames _ _ 3"]],
    clip: ClipGeometry,
    crops: Sequence[tuple[int, int]],
    flips: Sequence[bool],
    normalization: PixelNormalization = KINETICS,
) -> Float[Tensor, "batch 3 frames crop crop"]:
    """Resize, crop, mirror and normalise the clips of a batch; on a GPU, all clips of one size at once.

    Frames are resized bilinearly without antialiasing; only the pixels of the crop are computed. The result for a clip
    does not depend on the other clips, to the last bit.

    Args:
        clips: decoded frames, on the device to compute on; at least one clip.
        clip: geometry of a clip.
        crops: first row and column of each crop in the resized frame.
        flips: whether to mirror each clip left and right.
        normalization: of the pixels.
    """
    indices_by_size: dict[tuple[int, ...], list[int]] = {}
    for index, frames in enumerate(clips):
        # A CPU gains nothing from several clips at a time; it would only copy them together first.
        separate = () if frames.is_cuda else (index,)
        indices_by_size.setdefault((*frames.shape, *separate), []).append(index)
    cropped: list[Tensor] = [clips[0]] * len(clips)
    for indices in indices_by_size.values():
        of_size = [clips[index] for index in indices]
        stacked = torch.stack(of_size) if len(of_size) > 1 else of_size[0][None]
        pixels = _resize_and_crop(
            stacked, clip, [crops[index] for index in indices], [flips[index] for index in indices]
        )
        for index, clip_pixels in zip(indices, pixels, strict=True):
            cropped[index] = clip_pixels
    batch = torch.stack(cropped)
    colours = (normalization.mean, normalization.std)
    mean, std = (torch.tensor(of_all, device=batch.device).repeat(clip.crop) * normalization.unit for of_all in colours)
    batch.flatten(-2).sub_(mean).div_(std)  # a view: whole rows at a time are far faster than pixels
    # Channels stay last in memory, which is faster on CPUs and with tensor cores.
    return batch.permute(0, 4, 1, 2, 3)


def _resize_and_crop(
    clips: UInt8[Tensor, "clips frames _ _ 3"], clip: ClipGeometry, crops: list[tuple[int, int]], flips: list[bool]
) -> Float[Tensor, "clips frames crop crop 3"]:
    """Compute the crops of the resized frames: each pixel interpolates its four neighbours in the original frame."""
    height, width = clips.shape[2:4]
    resized = clip.resized(height, width)
    rows = [range(top, top + clip.crop) for top, _ in crops]
    columns = [range(left, left + clip.crop) for _, left in crops]
    columns = [of_clip[::-1] if flip else of_clip for of_clip, flip in zip(columns, flips, strict=True)]
    above, below, row_weight = _neighbours(rows, height, resized[0], clips.device)
    left, right, column_weight = _neighbours(columns, width, resized[1], clips.device)
    clip_index = torch.arange(len(clips), device=clips.device)[:, None, None]
    frame_index = torch.arange(clips.shape[1], device=clips.device)[:, None]
    # Rows first, then columns; each row of pixels is one axis, because short inner axes are slow.
    pixels = clips[clip_index, frame_index, above[:, None]].flatten(-2).float()
    if resized[0] != height:
        pixels_below = clips[clip_index, frame_index, below[:, None]].flatten(-2).float()
        pixels.lerp_(pixels_below, row_weight[:, None, :, None])
    shape = (*pixels.shape[:-1], 3 * clip.crop)

    def gather_columns(columns: Int64[Tensor, "clips crop"]) -> Tensor:
        channels = 3 * columns[:, :, None] + torch.arange(3, device=columns.device)
        return pixels.gather(-1, channels.flatten(1)[:, None, None].expand(shape))

    cropped = gather_columns(left)
    if resized[1] != width:
        cropped.lerp_(gather_columns(right), column_weight.repeat_interleave(3, dim=1)[:, None, None])
    return cropped.unflatten(-1, (clip.crop, 3))


def _neighbours(
    positions: list[range], size: int, resized: int, device: torch.device
) -> tuple[Int64[Tensor, "clips crop"], Int64[Tensor, "clips crop"], Float[Tensor, "clips crop"]]:
    """Return the two neighbours in the original axis of positions in the resized axis, and the second one's weight."""
    target = torch.tensor([list(of_clip) for of_clip in positions], dtype=torch.float64)
    # Centres of pixels map onto each other (`align_corners=False`); positions before the first pixel are clamped.
    source = ((target + 0.5) * (size / resized) - 0.5).clamp(min=0.0)
    first = source.floor().long()
    second = (first + 1).clamp(max=size - 1)
    return first.to(device), second.to(device), (source - first).float().to(device)


def stack_clips(clips: Sequence[Float[Tensor, "frames crop crop 3"]]) -> Float[Tensor, "batch 3 frames crop crop"]:
    """Stack clips into a batch; channels stay last in memory, which is faster on CPUs."""
    return torch.stack(list(clips)).permute(0, 4, 1, 2, 3)


def central_crop_offset(clip: ClipGeometry, size: tuple[int, int]) -> tuple[int, int]:
    """Return the first row and column of the central crop; halves are rounded as in torchvision's CenterCrop.

    Args:
        clip: geometry of a clip.
        size: height and width of the resized frame, pixels.
    """
    height, width = size
    return round((height - clip.crop) / 2), round((width - clip.crop) / 2)

"""Tests of the preparation of frames: it equals TSP's transforms."""

import numpy as np
import pytest
import torch

from pipeline.config.clip_geometry import ClipGeometry
from pipeline.encoders.clip_transforms import (
    MEAN,
    STD,
    central_crop_offset,
    stack_clips,
    transform_batch,
    transform_clip,
)
from pipeline.encoders.torchvision_shim import import_torchvision

CLIP = ClipGeometry()


def noise(height: int, width: int, frames: int = 3) -> torch.Tensor:
    return torch.randint(
        0, 256, (frames, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(("height", "width"), [(240, 320), (128, 171), (64, 86), (360, 270)])
@pytest.mark.parametrize("flip", [False, True])
def test_transform_clip_equals_tsps_sequence_of_transforms(height: int, width: int, flip: bool) -> None:
    frames = noise(height, width)
    transforms = import_torchvision("torchvision.transforms.functional")
    video = frames.permute(0, 3, 1, 2).float() / 255
    video = torch.nn.functional.interpolate(video, (128, 171), mode="bilinear", align_corners=False)
    video = transforms.center_crop(transforms.normalize(video, MEAN, STD), [112, 112])
    expected = (video.flip(3) if flip else video).permute(0, 2, 3, 1)
    pixels = transform_clip(frames, CLIP, central_crop_offset(CLIP, (128, 171)), flip=flip)
    torch.testing.assert_close(pixels, expected, rtol=1e-4, atol=1e-4)


def test_transform_clip_crops_at_the_given_position() -> None:
    frames = noise(128, 171)
    pixels = transform_clip(frames, CLIP, (3, 50), flip=False)
    pixel = (frames[1, 3 + 7, 50 + 9].float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(pixels[1, 7, 9], pixel, rtol=1e-5, atol=1e-5)


def test_central_crop_of_the_published_geometry() -> None:
    assert central_crop_offset(CLIP, CLIP.resized(240, 320)) == (8, 30)


@pytest.mark.parametrize(
    ("size", "resized", "crop"),
    [
        ((240, 320), (128, 170), (8, 29)),
        ((360, 270), (170, 128), (29, 8)),
        ((64, 86), (128, 172), (8, 30)),
        ((90, 1000), (128, 1422), (8, 655)),
        ((128, 128), (128, 128), (8, 8)),
        ((2, 2), (128, 128), (8, 8)),
    ],
)
def test_short_side_keeps_the_aspect_ratio_as_in_the_paper(size: tuple, resized: tuple, crop: tuple) -> None:
    clip = ClipGeometry(resize="short_side")
    assert clip.resized(*size) == resized
    assert central_crop_offset(clip, resized) == crop
    transforms = import_torchvision("torchvision.transforms.functional")
    frames = noise(*size)
    planes = frames.permute(0, 3, 1, 2).float()
    expected = transforms.center_crop(transforms.resize(planes, [128], antialias=False), [112, 112])
    expected = transforms.normalize(expected / 255, MEAN, STD).permute(0, 2, 3, 1)
    # torch computes positions in single precision, which shows at the far end of a long side.
    torch.testing.assert_close(transform_clip(frames, clip, crop, flip=False), expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("resize", ["stretch", "short_side"])
def test_transform_batch_equals_transform_clip_of_each_clip_bit_for_bit(resize: str) -> None:
    clip = ClipGeometry(resize=resize)
    sizes = [(240, 320), (128, 171), (240, 320), (360, 270), (240, 320), (64, 86)]
    clips = [noise(*size) for size in sizes]
    crops = [(number, 16 - number) for number in range(len(sizes))]
    flips = [number % 3 == 1 for number in range(len(sizes))]
    batch = transform_batch(clips, clip, crops, flips)
    assert batch.shape == (6, 3, 3, 112, 112)
    assert batch.is_contiguous(memory_format=torch.channels_last_3d)
    for pixels, frames, crop, flip in zip(batch, clips, crops, flips, strict=True):
        assert torch.equal(pixels, transform_clip(frames, clip, crop, flip=flip).permute(3, 0, 1, 2))


def test_clip_refuses_a_crop_larger_than_the_resized_frame() -> None:
    with pytest.raises(ValueError, match="crop 150 exceeds"):
        ClipGeometry(resize="short_side", width=400, crop=150)
    assert ClipGeometry(resize="short_side", width=64).crop == 112, "short_side ignores the width"


def test_stack_clips_gives_channels_first_with_channels_last_in_memory() -> None:
    clips = [torch.randn(4, 6, 6, 3) for _ in range(2)]
    batch = stack_clips(clips)
    assert batch.shape == (2, 3, 4, 6, 6)
    assert batch.is_contiguous(memory_format=torch.channels_last_3d)
    np.testing.assert_array_equal(batch[1, 2], clips[1][..., 2])

"""Frames become what TSP's transforms make of them."""

import numpy as np
import pytest
import torch

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.geometry import MEAN, STD, central_crop, prepare, stack
from pipeline.encoders.torchvision_shim import torchvision

CLIP = Clip()


def noise(height: int, width: int, frames: int = 3) -> torch.Tensor:
    return torch.randint(
        0, 256, (frames, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize(("height", "width"), [(240, 320), (128, 171), (64, 86), (360, 270)])
@pytest.mark.parametrize("flip", [False, True])
def test_it_is_tsps_sequence_of_transforms(height: int, width: int, flip: bool) -> None:
    frames = noise(height, width)
    transforms = torchvision("torchvision.transforms.functional")
    video = frames.permute(0, 3, 1, 2).float() / 255
    video = torch.nn.functional.interpolate(video, (128, 171), mode="bilinear", align_corners=False)
    video = transforms.center_crop(transforms.normalize(video, MEAN, STD), [112, 112])
    expected = (video.flip(3) if flip else video).permute(0, 2, 3, 1)
    found = prepare(frames, CLIP, central_crop(CLIP), flip=flip)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_crop_is_where_it_is_asked_for() -> None:
    frames = noise(128, 171)
    found = prepare(frames, CLIP, (3, 50), flip=False)
    pixel = (frames[1, 3 + 7, 50 + 9].float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(found[1, 7, 9], pixel, rtol=1e-5, atol=1e-5)


def test_central_crop_of_the_published_geometry() -> None:
    assert central_crop(CLIP) == (8, 30)


def test_a_batch_is_channels_first_with_channels_last_in_memory() -> None:
    clips = [torch.randn(4, 6, 6, 3) for _ in range(2)]
    batch = stack(clips)
    assert batch.shape == (2, 3, 4, 6, 6)
    assert batch.is_contiguous(memory_format=torch.channels_last_3d)
    np.testing.assert_array_equal(batch[1, 2], clips[1][..., 2])

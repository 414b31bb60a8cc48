"""Resizing, cropping and normalisation agree with torchvision's transforms."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.features.networks.image_transforms import (
    CAFFE,
    CLIP,
    CLIP_224,
    IMAGENET,
    PLAIN_256,
    SHORT_256,
    SLOWFAST,
    SYMMETRIC,
    Normalisation,
    ResizeAndCrop,
)

FUNCTIONAL = import_torchvision("torchvision.transforms.v2.functional")


def random_frames(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("size", [(360, 480), (480, 270), (120, 213), (256, 256), (225, 1024)])
@pytest.mark.parametrize("geometry", [SHORT_256, PLAIN_256, CLIP_224])
def test_resize_and_center_crop_equal_torchvisions(geometry: ResizeAndCrop, size: tuple[int, int]) -> None:
    frames = random_frames(*size)
    planar = frames.permute(0, 3, 1, 2)
    mode = FUNCTIONAL.InterpolationMode(geometry.mode)
    images = planar if geometry.antialias else planar.float()
    resized = FUNCTIONAL.resize(images, [geometry.short_side], interpolation=mode, antialias=geometry.antialias)
    expected = FUNCTIONAL.center_crop(resized, [geometry.crop]).float()
    cropped = geometry.center_crop(geometry.resize(frames))
    assert cropped.shape == (2, 3, geometry.crop, geometry.crop)
    # torchvision rounds its weights for integers to 16 bits, so that a few roundings differ.
    torch.testing.assert_close(cropped, expected, rtol=0, atol=2.0 if geometry.antialias else 1e-3)
    assert (cropped - expected).abs().mean() < 0.01


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.integers(2, 300))
def test_frames_of_any_size_give_a_crop(height: int, width: int) -> None:
    assert SHORT_256.center_crop(SHORT_256.resize(random_frames(height, width)[:1])).shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("normalisation", "black", "white"),
    [
        (IMAGENET, (-2.117904, -2.035714, -1.804444), (2.248908, 2.428571, 2.640000)),
        (CLIP, (-1.792263, -1.752097, -1.480220), (1.930336, 2.074884, 2.145897)),
        (SLOWFAST, (-2.0, -2.0, -2.0), (2.444444, 2.444444, 2.444444)),
        (SYMMETRIC, (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)),
        (CAFFE, (-104.0, -117.0, -128.0), (151.0, 138.0, 127.0)),
    ],
)
def test_normalise_maps_black_and_white_to_the_published_values(
    normalisation: Normalisation, black: tuple[float, ...], white: tuple[float, ...]
) -> None:
    for value, expected in ((0.0, black), (255.0, white)):
        normalised = normalisation.normalise(torch.full((1, 3, 1, 1), value)).flatten()
        torch.testing.assert_close(normalised, torch.tensor(expected), rtol=0, atol=2e-6 * 255)


def test_only_caffe_networks_take_blue_first() -> None:
    red = torch.tensor([255.0, 0, 0])[None, :, None, None]
    assert CAFFE.normalise(red).flatten().tolist() == [-104, -117, 127]
    assert SYMMETRIC.normalise(red).flatten().tolist() == [1, -1, -1]

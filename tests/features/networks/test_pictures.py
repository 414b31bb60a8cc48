"""Frames become what the networks were trained on, as torchvision's transforms make it."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from pipeline.encoders.torchvision_shim import torchvision
from pipeline.features.networks.builders import CLIP_224, SHORT_256, UNSMOOTHED_256
from pipeline.features.networks.image_transforms import CAFFE, CLIP, IMAGENET, SLOWFAST, SYMMETRIC, Geometry

FUNCTIONAL = torchvision("torchvision.transforms.v2.functional")


def drawn(height: int, width: int) -> Tensor:
    return torch.randint(0, 256, (2, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("size", [(360, 480), (480, 270), (120, 213), (256, 256), (225, 1024)])
@pytest.mark.parametrize("geometry", [SHORT_256, UNSMOOTHED_256, CLIP_224])
def test_sizes_and_crops_are_torchvisions(geometry: Geometry, size: tuple[int, int]) -> None:
    frames = drawn(*size)
    planar = frames.permute(0, 3, 1, 2)
    mode = FUNCTIONAL.InterpolationMode(geometry.mode)
    given_as = planar if geometry.antialias else planar.float()
    resized = FUNCTIONAL.resize(given_as, [geometry.short_side], interpolation=mode, antialias=geometry.antialias)
    expected = FUNCTIONAL.center_crop(resized, [geometry.crop]).float()
    found = geometry.cropped(geometry.resized(frames))
    assert found.shape == (2, 3, geometry.crop, geometry.crop)
    # torchvision's weights for whole numbers are rounded to 16 bits: here and there a rounding falls the other way.
    torch.testing.assert_close(found, expected, rtol=0, atol=2.0 if geometry.antialias else 1e-3)
    assert (found - expected).abs().mean() < 0.01


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 300), st.integers(2, 300))
def test_every_picture_gives_a_crop(height: int, width: int) -> None:
    assert SHORT_256.cropped(SHORT_256.resized(drawn(height, width)[:1])).shape == (1, 3, 224, 224)


@pytest.mark.parametrize(
    ("colours", "black", "white"),
    [
        (IMAGENET, (-2.117904, -2.035714, -1.804444), (2.248908, 2.428571, 2.640000)),
        (CLIP, (-1.792263, -1.752097, -1.480220), (1.930336, 2.074884, 2.145897)),
        (SLOWFAST, (-2.0, -2.0, -2.0), (2.444444, 2.444444, 2.444444)),
        (SYMMETRIC, (-1.0, -1.0, -1.0), (1.0, 1.0, 1.0)),
        (CAFFE, (-104.0, -117.0, -128.0), (151.0, 138.0, 127.0)),
    ],
)
def test_black_and_white_are_as_published(colours: object, black: tuple[float, ...], white: tuple[float, ...]) -> None:
    for value, expected in ((0.0, black), (255.0, white)):
        found = colours.normalised(torch.full((1, 3, 1, 1), value)).flatten()  # type: ignore[attr-defined]
        torch.testing.assert_close(found, torch.tensor(expected), rtol=0, atol=2e-6 * 255)


def test_only_caffes_networks_see_blue_first() -> None:
    red = torch.tensor([255.0, 0, 0])[None, :, None, None]
    assert CAFFE.normalised(red).flatten().tolist() == [-104, -117, 127]
    assert SYMMETRIC.normalised(red).flatten().tolist() == [1, -1, -1]

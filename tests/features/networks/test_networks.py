"""Networks have the published sizes and shapes; the feature of a window does not depend on its batch."""

from collections.abc import Callable

import pytest
import torch
from helpers.extraction import build
from torch import nn

from pipeline.config.extractors import EXTRACTORS
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.features.networks.base import Extractor
from pipeline.features.networks.bn_inception import BNInception
from pipeline.features.networks.i3d import I3D, Unit
from pipeline.features.networks.log_mel import log_mel
from pipeline.features.networks.resnext3d import Bottleneck as Bottleneck3D
from pipeline.features.networks.resnext3d import ResNeXt3D
from pipeline.features.networks.slowfast import SlowFast
from pipeline.features.networks.vggish import VGGish
from pipeline.features.time_grid import ClipGrid


def num_parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


@pytest.mark.parametrize(
    ("network", "head", "published"),
    [
        # I3D: 12.69 million (OpenVINO's model zoo, for DeepMind's graph, whose batch normalisations scale by 1).
        (lambda: I3D(3), 1024 * 400 + 400, 12_697_264),
        (lambda: I3D(2), 1024 * 400 + 400, 12_697_264 - 64 * 7**3),
        (lambda: SlowFast(), 2304 * 400 + 400, 34_566_488),
        (lambda: BNInception(3), 1024 * 1000 + 1000, 11_295_240),
        (lambda: BNInception(10), 1024 * 1000 + 1000, 11_295_240 + 7 * 64 * 7**2),
        (lambda: VGGish(relu=True), 0, 72_141_184),
        (lambda: import_torchvision("torchvision.models").resnet152(weights=None), 0, 60_192_808),
        (lambda: import_torchvision("torchvision.models").resnet101(weights=None), 0, 44_549_160),
        (lambda: import_torchvision("torchvision.models").vgg16(weights=None), 0, 138_357_544),
        (lambda: ResNeXt3D(), 2048 * 400 + 400, 48_340_816),
    ],
)
def test_networks_have_the_published_number_of_parameters(
    network: Callable[[], nn.Module], head: int, published: int
) -> None:
    with torch.device("meta"):
        assert num_parameters(network()) + head == published


@torch.no_grad()
def test_outputs_have_the_published_shapes() -> None:
    with torch.device("meta"):
        assert I3D(2)(torch.empty(1, 2, 64, 224, 224)).shape == (1, 1024)
        assert BNInception(10)(torch.empty(3, 10, 224, 224)).shape == (3, 1024)
        assert VGGish(relu=True)(torch.empty(2, 96, 64)).shape == (2, 128)
        network = SlowFast()
        slow, fast = torch.empty(1, 3, 8, 224, 224), torch.empty(1, 3, 32, 224, 224)
        shapes = []
        for stage in network.blocks:
            slow, fast = stage(slow, fast)
            shapes.append((tuple(slow.shape[1:]), tuple(fast.shape[1:])))
        assert shapes == [
            ((80, 8, 56, 56), (8, 32, 56, 56)),
            ((320, 8, 56, 56), (32, 32, 56, 56)),
            ((640, 8, 28, 28), (64, 32, 28, 28)),
            ((1280, 8, 14, 14), (128, 32, 14, 14)),
            ((2048, 8, 7, 7), (256, 32, 7, 7)),
        ]
        assert network(torch.empty(1, 3, 32, 224, 224)).shape == (1, 2304)


@pytest.mark.parametrize(("length", "before"), [(8, 2), (9, 3), (7, 3), (2, 2)])
@torch.no_grad()
def test_i3d_unit_pads_as_tensorflow_does(length: int, before: int) -> None:
    """SAME: a convolution of size 7 and stride 2 has ceil(length / 2) outputs; an odd zero goes to the end."""
    unit = Unit(1, 1, (7, 7, 7), (2, 2, 2)).eval()
    unit.bn.running_var.fill_(1 - 1e-3)  # with TensorFlow's epsilon the sum is 1
    x = torch.arange(1.0, length**3 + 1).reshape(1, 1, length, length, length)
    for tap in range(7):
        unit.conv3d.weight.zero_()[0, 0, tap, tap, tap] = 1
        inputs = [2 * index - before + tap for index in range(-(-length // 2))]
        output = unit(x)
        assert output.shape[2:] == (len(inputs),) * 3
        for index, source in enumerate(inputs):
            expected = float(x[0, 0, source, source, source]) if 0 <= source < length else 0.0
            assert float(output[0, 0, index, index, index]) == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_i3d_features_are_averages_over_pairs_of_time_steps() -> None:
    """The first and the last time step have half the weight of the others."""
    with torch.device("meta"):
        network = I3D(3)
    network.layers = nn.ModuleDict({"last": nn.Identity()})
    steps = torch.arange(8.0)[None, None, :, None, None].expand(1, 1024, 8, 7, 7)
    steps = steps**2
    expected = sum((first**2 + (first + 1) ** 2) / 2 for first in range(7)) / 7
    torch.testing.assert_close(network(steps), torch.full((1, 1024), expected))


def test_slowfast_selects_the_published_frames() -> None:
    """pytorchvideo selects 8 of 32 frames, which are not every fourth frame."""
    with torch.device("meta"):
        network = SlowFast()
    seen: list[torch.Tensor] = []

    class First(nn.Module):
        def forward(self, slow: torch.Tensor, fast: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            seen.append(slow)
            return slow.new_zeros(1, 2048, 1, 1, 1), fast.new_zeros(1, 256, 1, 1, 1)

    network.blocks = nn.ModuleList([First()])
    network(torch.arange(32.0)[None, None, :, None, None].expand(1, 3, 32, 1, 1))
    assert seen[0][0, 0, :, 0, 0].tolist() == [0, 4, 8, 13, 17, 22, 26, 31]


@torch.no_grad()
def test_a_block_of_3d_resnext_is_a_bottleneck_of_32_separate_convolutions() -> None:
    torch.manual_seed(0)
    block, x = Bottleneck3D(64, 128, 2).eval(), torch.randn(2, 64, 4, 8, 8)
    inner = block.bn1(torch.nn.functional.conv3d(x, block.conv1.weight)).relu()
    parts = [
        torch.nn.functional.conv3d(
            inner[:, 4 * i : 4 * i + 4], block.conv2.weight[4 * i : 4 * i + 4], stride=2, padding=1
        )
        for i in range(32)
    ]
    out = block.bn3(torch.nn.functional.conv3d(block.bn2(torch.cat(parts, 1)).relu(), block.conv3.weight))
    shortcut, norm = block.downsample
    expected = (out + norm(torch.nn.functional.conv3d(x, shortcut.weight, stride=2))).relu()
    torch.testing.assert_close(block(x), expected, rtol=1e-5, atol=1e-5)
    assert expected.shape == (2, 256, 2, 4, 4)


def small_windows(name: str) -> list[torch.Tensor]:
    """Prepared windows of the smallest size that a network accepts: full windows take minutes on a CPU."""
    shape: tuple[int, ...] = {
        "i3d_rgb": (3, 9, 224, 224),
        "slowfast_r50": (3, 32, 64, 64),
        "tsn_rgb": (3, 224, 224),
        "tsn_flow": (10, 224, 224),
        "resnet152": (3, 64, 64),
        "resnet101": (3, 64, 64),
        "vgg16": (3, 64, 64),
        "resnext101_3d": (3, 16, 64, 64),
        "vggish": (15_600,),
        "tac": (4, 32, 32, 3),
    }[name]
    generator = torch.Generator().manual_seed(1)
    windows = [torch.randn(shape, generator=generator) for _ in range(3)]
    return [log_mel(window) for window in windows] if name == "vggish" else windows


@pytest.mark.parametrize(
    "name",
    [
        *("slowfast_r50", "tsn_rgb", "resnet101", "resnext101_3d", "vggish", "tac"),
        # The largest ones; vgg16 has 134 million weights.
        *(pytest.param(name, marks=pytest.mark.campaign) for name in ("i3d_rgb", "resnet152", "vgg16")),
    ],
)
def test_features_do_not_depend_on_the_batch(name: str) -> None:
    extractor = build(name)
    windows = small_windows(name)[: 2 if name == "i3d_rgb" else 3]
    together = extractor(windows)
    assert together.shape == (len(windows), EXTRACTORS[name].dim)
    assert together.dtype == torch.float32
    assert not together.requires_grad
    alone = torch.cat([extractor([window]) for window in windows])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    difference = (together[0] - together[1]).abs().mean() / together.abs().mean()
    assert difference > 0.01, "features of different windows differ"


def test_random_weights_are_reproducible_and_do_not_touch_the_global_generator() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    window = small_windows("tsn_rgb")[0]
    first, second = (build("tsn_rgb") for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first([window]), second([window]))
    assert first.metadata["weights"] == "random"
    assert first.metadata["weights_sha256"] is None


@pytest.mark.parametrize(("relu", "minimum"), [(True, 0.0), (False, -torch.inf)])
def test_vggish_ends_with_or_without_relu(relu: bool, minimum: float) -> None:
    extractor = build("vggish", relu=relu)
    features = extractor([extractor.prepare(torch.randn(15_600).clamp(-1, 1))])
    assert minimum <= features.min() <= 0
    assert bool(features.min() < 0) is not relu
    assert extractor.metadata["relu"] is relu


FRAMES = torch.randint(0, 256, (65, 90, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet152", (3, 224, 224)),
        ("resnet101", (3, 224, 224)),
        ("resnext101_3d", (3, 16, 112, 112)),
        ("i3d_rgb", (3, 64, 224, 224)),
        ("tsn_rgb", (3, 224, 224)),
        ("slowfast_r50", (3, 32, 224, 224)),
        ("tac", (16, 112, 112, 3)),
    ],
)
def test_prepare_gives_the_networks_input_shape(name: str, shape: tuple[int, ...]) -> None:
    extractor = build(name)
    assert isinstance(extractor, Extractor)
    assert (extractor.name, extractor.modality, extractor.dim) == (name, "frames", EXTRACTORS[name].dim)
    assert extractor.grid == ClipGrid(**vars(EXTRACTORS[name].grid))
    window = FRAMES[: extractor.grid.frames]
    prepared = extractor.prepare(window)
    assert prepared.shape == shape
    assert prepared.dtype == torch.float32
    portrait = extractor.prepare(window.transpose(1, 2).contiguous())
    assert portrait.shape == shape


@pytest.mark.parametrize(
    ("name", "dim", "million", "side"),
    [
        ("clip_vit_b32", 512, 87.849216, 224),
        ("clip_rn50", 1024, 38.316896, 224),
        pytest.param("clip_rn101", 512, 56.259936, 224, marks=pytest.mark.campaign),
        pytest.param("clip_rn50x4", 640, 87.137080, 288, marks=pytest.mark.campaign),
    ],
)
def test_clip_is_built_by_open_clip(name: str, dim: int, million: float, side: int) -> None:
    import_torchvision()
    pytest.importorskip("open_clip", reason="open_clip is an optional library")
    extractor = build(name)
    assert num_parameters(extractor.network) == round(million * 1e6)
    prepared = [extractor.prepare(FRAMES[start : start + 1]) for start in range(2)]
    assert prepared[0].shape == (3, side, side)
    together = extractor(prepared)
    assert together.dtype == torch.float32
    assert not torch.allclose(together.norm(dim=1), torch.ones(2)), "the features are not normalised"
    assert together.shape == (2, dim)
    torch.testing.assert_close(together[1:], extractor(prepared[1:]), rtol=1e-4, atol=1e-4)

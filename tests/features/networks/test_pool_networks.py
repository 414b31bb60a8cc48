"""Networks of the pool have the published sizes and shapes; a window's feature is its own whatever the batch."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pipeline.encoders.torchvision_shim import torchvision
from pipeline.features.networks.base import Extractor
from pipeline.features.networks.bn_inception import BNInception
from pipeline.features.networks.i3d import I3D, Unit
from pipeline.features.networks.log_mel import log_mel
from pipeline.features.networks.network_extractor import NetworkExtractor
from pipeline.features.networks.options import Options
from pipeline.features.networks.registry import POOL, build
from pipeline.features.networks.slowfast import SlowFast
from pipeline.features.networks.vggish import VGGish


def parameters(network: nn.Module) -> int:
    return sum(tensor.numel() for tensor in network.parameters())


@pytest.mark.parametrize(
    ("network", "head", "published"),
    [
        # I3D: 12.69 million (OpenVINO's model zoo, which counts DeepMind's graph; its batch normalisations scale by 1).
        (lambda: I3D(3), 1024 * 400 + 400, 12_697_264),
        (lambda: I3D(2), 1024 * 400 + 400, 12_697_264 - 64 * 7**3),
        (lambda: SlowFast(), 2304 * 400 + 400, 34_566_488),
        (lambda: BNInception(3), 1024 * 1000 + 1000, 11_295_240),
        (lambda: BNInception(10), 1024 * 1000 + 1000, 11_295_240 + 7 * 64 * 7**2),
        (lambda: VGGish(relu=True), 0, 72_141_184),
        (lambda: torchvision("torchvision.models").resnet152(weights=None), 0, 60_192_808),
    ],
)
def test_networks_have_as_many_parameters_as_published(
    network: Callable[[], nn.Module], head: int, published: int
) -> None:
    with torch.device("meta"):
        assert parameters(network()) + head == published


@torch.no_grad()
def test_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        assert I3D(2)(torch.empty(1, 2, 64, 224, 224)).shape == (1, 1024)
        assert BNInception(10)(torch.empty(3, 10, 224, 224)).shape == (3, 1024)
        assert VGGish(relu=True)(torch.empty(2, 96, 64)).shape == (2, 128)
        network = SlowFast()
        slow, fast = torch.empty(1, 3, 8, 224, 224), torch.empty(1, 3, 32, 224, 224)
        found = []
        for stage in network.blocks:
            slow, fast = stage(slow, fast)
            found.append((tuple(slow.shape[1:]), tuple(fast.shape[1:])))
        assert found == [
            ((80, 8, 56, 56), (8, 32, 56, 56)),
            ((320, 8, 56, 56), (32, 32, 56, 56)),
            ((640, 8, 28, 28), (64, 32, 28, 28)),
            ((1280, 8, 14, 14), (128, 32, 14, 14)),
            ((2048, 8, 7, 7), (256, 32, 7, 7)),
        ]
        assert network(torch.empty(1, 3, 32, 224, 224)).shape == (1, 2304)


@pytest.mark.parametrize(("length", "before"), [(8, 2), (9, 3), (7, 3), (2, 2)])
@torch.no_grad()
def test_i3d_pads_as_tensorflow_does(length: int, before: int) -> None:
    """SAME: ceil(length / 2) outputs of a convolution of 7 and stride 2; the odd zero comes last."""
    unit = Unit(1, 1, (7, 7, 7), (2, 2, 2)).eval()
    unit.bn.running_var.fill_(1 - 1e-3)  # TensorFlow's epsilon: together they are 1
    x = torch.arange(1.0, length**3 + 1).reshape(1, 1, length, length, length)
    for tap in range(7):
        unit.conv3d.weight.zero_()[0, 0, tap, tap, tap] = 1
        places = [2 * at - before + tap for at in range(-(-length // 2))]
        found = unit(x)
        assert found.shape[2:] == (len(places),) * 3
        for at, place in enumerate(places):
            expected = float(x[0, 0, place, place, place]) if 0 <= place < length else 0.0
            assert float(found[0, 0, at, at, at]) == pytest.approx(expected, rel=1e-5)


@torch.no_grad()
def test_i3ds_features_are_averages_of_averages() -> None:
    """Of two steps of time, then of those: the first and the last step count half."""
    with torch.device("meta"):
        network = I3D(3)
    network.layers = nn.ModuleDict({"last": nn.Identity()})
    steps = torch.arange(8.0)[None, None, :, None, None].expand(1, 1024, 8, 7, 7)
    steps = steps**2
    expected = sum((first**2 + (first + 1) ** 2) / 2 for first in range(7)) / 7
    torch.testing.assert_close(network(steps), torch.full((1, 1024), expected))


def test_slowfast_chooses_frames_as_published() -> None:
    """pytorchvideo's own choice of 8 of 32 frames, which is not every fourth."""
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


def small_windows(name: str) -> list[torch.Tensor]:
    """Prepared windows of the smallest size that a network takes: the whole would take minutes on a CPU."""
    shape: tuple[int, ...] = {
        "i3d_rgb": (3, 9, 224, 224),
        "slowfast_r50": (3, 32, 64, 64),
        "tsn_rgb": (3, 224, 224),
        "tsn_flow": (10, 224, 224),
        "resnet152": (3, 64, 64),
        "vggish": (15_600,),
        "tac": (4, 32, 32, 3),
    }[name]
    drawn = torch.Generator().manual_seed(1)
    windows = [torch.randn(shape, generator=drawn) for _ in range(3)]
    return [log_mel(window) for window in windows] if name == "vggish" else windows


@pytest.mark.parametrize("name", ["i3d_rgb", "slowfast_r50", "tsn_rgb", "resnet152", "vggish", "tac"])
def test_a_feature_does_not_depend_on_its_batch(name: str) -> None:
    extractor = build(name, "random")
    windows = small_windows(name)[: 2 if name == "i3d_rgb" else 3]
    together = extractor(windows)
    assert together.shape == (len(windows), POOL[name].dim)
    assert together.dtype == torch.float32
    assert not together.requires_grad
    alone = torch.cat([extractor([window]) for window in windows])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)
    spread = (together[0] - together[1]).abs().mean() / together.abs().mean()
    assert spread > 0.01, "features of different windows differ"


def test_random_weights_are_the_same_each_time_and_leave_the_generator_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    window = small_windows("tsn_rgb")[0]
    first, second = (build("tsn_rgb", "random") for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first([window]), second([window]))
    assert first.facts["weights"] == "random"
    assert first.facts["weights_sha256"] is None


@pytest.mark.parametrize(("relu", "lowest"), [(True, 0.0), (False, -torch.inf)])
def test_vggish_ends_with_or_without_rectification(relu: bool, lowest: float) -> None:
    extractor = build("vggish", "random", options=Options(vggish_relu=relu))
    features = extractor([extractor.prepare(torch.randn(15_600).clamp(-1, 1))])
    assert lowest <= features.min() <= 0
    assert bool(features.min() < 0) is not relu
    assert extractor.facts["relu"] is relu


FRAMES = torch.randint(0, 256, (65, 90, 160, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet152", (3, 224, 224)),
        ("i3d_rgb", (3, 64, 224, 224)),
        ("tsn_rgb", (3, 224, 224)),
        ("slowfast_r50", (3, 32, 224, 224)),
        ("tac", (16, 112, 112, 3)),
    ],
)
def test_windows_become_what_networks_take(name: str, shape: tuple[int, ...]) -> None:
    extractor = build(name, "random")
    assert isinstance(extractor, Extractor)
    assert (extractor.name, extractor.modality, extractor.dim) == (name, "frames", POOL[name].dim)
    assert extractor.grid == POOL[name].grid
    window = FRAMES[: extractor.grid.frames]
    prepared = extractor.prepare(window)
    assert prepared.shape == shape
    assert prepared.dtype == torch.float32
    turned = extractor.prepare(window.transpose(1, 2).contiguous())
    assert turned.shape == shape, "upright pictures too"


@pytest.mark.parametrize(("name", "dim", "million"), [("clip_vit_b32", 512, 87.849216), ("clip_rn101", 512, 56.259936)])
def test_clip_is_open_clips(name: str, dim: int, million: float) -> None:
    torchvision()
    pytest.importorskip("open_clip", reason="open_clip is an optional library")
    extractor = build(name, "random")
    assert isinstance(extractor, NetworkExtractor)
    assert parameters(extractor.network) == round(million * 1e6)
    prepared = [extractor.prepare(FRAMES[start : start + 1]) for start in range(2)]
    assert prepared[0].shape == (3, 224, 224)
    together = extractor(prepared)
    assert together.shape == (2, dim)
    torch.testing.assert_close(together[1:], extractor(prepared[1:]), rtol=1e-4, atol=1e-4)

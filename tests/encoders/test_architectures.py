"""The encoders are the published networks."""

import dataclasses
from typing import get_args

import pytest
import torch
from helpers.video_corpus import SMALL
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config.pretrain_encoder import PretrainEncoder
from pipeline.encoders.architectures import build
from pipeline.encoders.encoder import ClipEncoder
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.r2plus1d import IG65M_34, r2plus1d
from pipeline.encoders.torchvision_shim import torchvision


def norms(module: nn.Module) -> list[nn.BatchNorm3d]:
    return [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm3d)]


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_r2plus1d_34_has_the_ig65m_form() -> None:
    encoder = build("r2plus1d_34")
    head = nn.Linear(512, 400)
    assert encoder.dim == 512
    assert parameters(encoder) == 63_491_975
    assert parameters(encoder) + parameters(head) == 63_697_175
    assert len(encoder.state_dict()) + len(head.state_dict()) == 416
    widths = [encoder.get_submodule(f"layer{n}.0.conv2.0.0").out_channels for n in (1, 2, 3, 4)]
    assert widths == [144, 288, 576, 1152]
    assert {(norm.eps, norm.momentum) for norm in norms(encoder)} == {(1e-3, 0.1)}


def test_r2plus1d_34_costs_what_is_published() -> None:
    """76.18 G multiply-accumulates for a clip of 16 frames; the counter counts both operations of each."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build("r2plus1d_34")(torch.empty(1, 3, 16, 112, 112))
    assert counter.get_total_flops() / 2e9 == pytest.approx(76.18, abs=0.005)


@pytest.mark.parametrize("architecture", ["r2plus1d_34", "r2plus1d_18"])
def test_the_momentum_of_the_statistics_is_a_choice(architecture: str) -> None:
    with torch.device("meta"):
        assert {norm.momentum for norm in norms(build(architecture, 0.9))} == {0.9}
        assert {norm.momentum for norm in norms(build(architecture))} == {0.1}


def test_momentum_is_the_share_of_the_newest_batch() -> None:
    config = PretrainEncoder.parse({**SMALL, "bn_momentum": 0.9}, "")
    norm = norms(PretrainingModel(config, actions=2, concepts=0).encoder)[0]
    with torch.no_grad():
        norm.train()(torch.full((2, norm.num_features, 1, 1, 1), 10.0))
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, torch.full((norm.num_features,), 9.0))


def test_without_the_widening_it_has_torchvisions_number_of_parameters() -> None:
    narrow_planes = r2plus1d(dataclasses.replace(IG65M_34, widened=False))
    assert parameters(narrow_planes) + 512 * 400 + 400 == 61_831_661


def test_our_r2plus1d_computes_what_torchvisions_does() -> None:
    torch.manual_seed(0)
    theirs = torchvision("torchvision.models.video").r2plus1d_18(weights=None)
    theirs.fc = nn.Identity()
    ours = r2plus1d(dataclasses.replace(IG65M_34, blocks=(2, 2, 2, 2), widened=False, bn_eps=1e-5))
    ours.load_state_dict(theirs.state_dict())
    clips = torch.randn(2, 3, 4, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(clips), theirs.eval()(clips))
        torch.testing.assert_close(ours.train()(clips), theirs.train()(clips))


@pytest.mark.parametrize(("architecture", "count"), [("r2plus1d_18", 31_505_325), ("r3d_18", 33_371_472)])
def test_torchvisions_encoders_are_theirs_without_the_head(architecture: str, count: int) -> None:
    torch.manual_seed(0)
    encoder = build(architecture)
    torch.manual_seed(0)
    theirs = getattr(torchvision("torchvision.models.video"), architecture)(weights=None)
    assert parameters(encoder) + 512 * 400 + 400 == count
    assert encoder.dim == 512
    theirs.fc = nn.Identity()
    clips = torch.randn(1, 3, 4, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(clips), theirs.eval()(clips))
    assert encoder.state_dict().keys() == theirs.state_dict().keys()


def test_the_narrow_encoder_is_small_and_takes_any_clip() -> None:
    encoder = build("r2plus1d_narrow")
    assert encoder.dim == 128
    assert parameters(encoder) < 1_000_000
    for frames, size in ((8, 64), (16, 56), (3, 33)):
        assert encoder(torch.randn(2, 3, frames, size, size)).shape == (2, 128)


def test_equal_seeds_give_equal_weights() -> None:
    built = []
    for _ in range(2):
        torch.manual_seed(3)
        built.append(build("r2plus1d_narrow").state_dict())
    assert all(torch.equal(built[0][name], built[1][name]) for name in built[0])


def test_memory_layout_does_not_change_the_features() -> None:
    torch.manual_seed(0)
    encoder = build("r2plus1d_narrow").eval()
    clips = torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        plain = encoder(clips)
        last = encoder.to(memory_format=torch.channels_last_3d)(clips.to(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-5)


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(ValueError, match="no architecture 'resnet'"):
        build("resnet")


def test_every_architecture_of_the_configuration_is_built() -> None:
    names = get_args(PretrainEncoder.model_fields["architecture"].annotation)
    assert len(names) == 4
    with torch.device("meta"):
        assert all(isinstance(build(name), ClipEncoder) for name in names)

"""Tests of the clip encoders: they are the published networks."""

import dataclasses

import pytest
import torch
from helpers.video_corpus import SMALL
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.config.encoders import ENCODERS
from pipeline.config.pretrain_encoder import EncoderEntry
from pipeline.encoders.losses import NumLabels
from pipeline.encoders.model import PretrainingModel
from pipeline.encoders.r2plus1d import IG65M_34, ClipEncoder, build_encoder, r2plus1d
from pipeline.encoders.torchvision_shim import import_torchvision
from pipeline.errors import PipelineError


def batch_norms(module: nn.Module) -> list[nn.BatchNorm3d]:
    return [norm for norm in module.modules() if isinstance(norm, nn.BatchNorm3d)]


def num_parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


def test_r2plus1d_34_has_the_ig65m_form() -> None:
    encoder = build_encoder("r2plus1d_34")
    head = nn.Linear(512, 400)
    assert encoder.dim == 512
    assert num_parameters(encoder) == 63_491_975
    assert num_parameters(encoder) + num_parameters(head) == 63_697_175
    assert len(encoder.state_dict()) + len(head.state_dict()) == 416
    widths = [encoder.get_submodule(f"layer{n}.0.conv2.0.0").out_channels for n in (1, 2, 3, 4)]
    assert widths == [144, 288, 576, 1152]
    assert {(norm.eps, norm.momentum) for norm in batch_norms(encoder)} == {(1e-3, 0.1)}


def test_r2plus1d_34_has_the_published_number_of_operations() -> None:
    """76.18 G multiply-accumulates for a clip of 16 frames; the counter counts both operations of each."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        build_encoder("r2plus1d_34")(torch.empty(1, 3, 16, 112, 112))
    assert counter.get_total_flops() / 2e9 == pytest.approx(76.18, abs=0.005)


@pytest.mark.parametrize("architecture", ["r2plus1d_34", "r2plus1d_18"])
def test_build_encoder_sets_the_momentum_of_all_batch_norms(architecture: str) -> None:
    with torch.device("meta"):
        assert {norm.momentum for norm in batch_norms(build_encoder(architecture, 0.9))} == {0.9}
        assert {norm.momentum for norm in batch_norms(build_encoder(architecture))} == {0.1}


def test_bn_momentum_is_the_weight_of_the_current_batch() -> None:
    config = EncoderEntry.parse({**SMALL, "bn_momentum": 0.9}, "")
    norm = batch_norms(PretrainingModel(config, NumLabels(actions=2, concepts=0)).encoder)[0]
    with torch.no_grad():
        norm.train()(torch.full((2, norm.num_features, 1, 1, 1), 10.0))
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, torch.full((norm.num_features,), 9.0))


def test_r2plus1d_without_widening_has_torchvisions_number_of_parameters() -> None:
    narrow_planes = r2plus1d(dataclasses.replace(IG65M_34, widened=False))
    assert num_parameters(narrow_planes) + 512 * 400 + 400 == 61_831_661


def test_r2plus1d_computes_the_same_as_torchvisions() -> None:
    torch.manual_seed(0)
    reference = import_torchvision("torchvision.models.video").r2plus1d_18(weights=None)
    reference.fc = nn.Identity()
    ours = r2plus1d(dataclasses.replace(IG65M_34, blocks=(2, 2, 2, 2), widened=False, bn_eps=1e-5))
    ours.load_state_dict(reference.state_dict())
    clips = torch.randn(2, 3, 4, 24, 24)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(clips), reference.eval()(clips))
        torch.testing.assert_close(ours.train()(clips), reference.train()(clips))


@pytest.mark.parametrize(("architecture", "count"), [("r2plus1d_18", 31_505_325), ("r3d_18", 33_371_472)])
def test_torchvision_encoders_equal_the_networks_without_their_head(architecture: str, count: int) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(architecture)
    torch.manual_seed(0)
    reference = getattr(import_torchvision("torchvision.models.video"), architecture)(weights=None)
    assert num_parameters(encoder) + 512 * 400 + 400 == count
    assert encoder.dim == 512
    reference.fc = nn.Identity()
    clips = torch.randn(1, 3, 4, 16, 16)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(clips), reference.eval()(clips))
    assert encoder.state_dict().keys() == reference.state_dict().keys()


def test_r2plus1d_narrow_is_small_and_takes_clips_of_any_size() -> None:
    encoder = build_encoder("r2plus1d_narrow")
    assert encoder.dim == 128
    assert num_parameters(encoder) < 1_000_000
    for frames, size in ((8, 64), (16, 56), (3, 33)):
        assert encoder(torch.randn(2, 3, frames, size, size)).shape == (2, 128)


def test_build_encoder_gives_equal_weights_for_equal_seeds() -> None:
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(build_encoder("r2plus1d_narrow").state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_encoder_gives_the_same_features_in_channels_last_layout() -> None:
    torch.manual_seed(0)
    encoder = build_encoder("r2plus1d_narrow").eval()
    clips = torch.randn(2, 3, 8, 32, 32)
    with torch.no_grad():
        plain = encoder(clips)
        last = encoder.to(memory_format=torch.channels_last_3d)(clips.to(memory_format=torch.channels_last_3d))
    torch.testing.assert_close(plain, last, rtol=1e-4, atol=1e-5)


def test_build_encoder_refuses_an_unknown_architecture() -> None:
    with pytest.raises(PipelineError, match="no encoder architecture 'resnet'"):
        build_encoder("resnet")


@pytest.mark.parametrize("architecture", ENCODERS)
def test_build_encoder_builds_every_registered_architecture(architecture: str) -> None:
    with torch.device("meta"):
        encoder = build_encoder(architecture)
    assert isinstance(encoder, ClipEncoder)
    assert encoder.dim == ENCODERS[architecture].dim

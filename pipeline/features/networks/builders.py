"""How each extractor of the pool is put together: network, weights, what its windows go through."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.config.pretrain_encoder import Clip
from pipeline.encoders.architectures import build as build_encoder
from pipeline.encoders.geometry import stack
from pipeline.encoders.initial import load_initial
from pipeline.encoders.torchvision_shim import torchvision
from pipeline.errors import PipelineError
from pipeline.features.networks import bn_inception, flow, i3d, slowfast, vggish
from pipeline.features.networks.clip_encoder import prepared
from pipeline.features.networks.image_transforms import CAFFE, CLIP, IMAGENET, SLOWFAST, SYMMETRIC, Colours, Geometry
from pipeline.features.networks.log_mel import log_mel
from pipeline.features.networks.options import Options
from pipeline.features.networks.weights import Rename, Source, WeightFile, without

SHORT_256 = Geometry(short_side=256, crop=224)
UNSMOOTHED_256 = Geometry(short_side=256, crop=224, antialias=False)
CLIP_224 = Geometry(short_side=224, crop=224, mode="bicubic")
PCA = WeightFile(
    "vggish_pca_params-970ea276.pth",
    "https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish_pca_params-970ea276.pth",
    "Apache-2.0",
)
FRAMES_OF_FLOW = 5
"""That a temporal segment network sees at once."""


@dataclass(frozen=True)
class Made:
    """What a maker gives.

    Attributes:
        network: with its weights, on the CPU.
        prepared: of one window, what the network is to see.
        facts: weights and their sha256, geometry, options.
        stacked: prepared windows as the network takes them.
    """

    network: nn.Module
    prepared: Callable[[Tensor], Tensor]
    facts: dict[str, Any]
    stacked: Callable[..., Tensor] = lambda windows: torch.stack(list(windows))


@dataclass(frozen=True)
class Asked:
    """What a maker is given.

    Attributes:
        source: where weights come from.
        weights: the main file, as the entry has it.
        options: what was chosen.
        device: where flow is to be computed.
    """

    source: Source
    weights: WeightFile
    options: Options
    device: torch.device

    def load(self, network: nn.Module, rename: Rename) -> dict[str, Any]:
        """Load the main file, or leave random weights in place; facts about it."""
        return self.source.load(network, self.weights, rename)


Maker = Callable[[Asked], Made]


def resnet152(asked: Asked) -> Made:
    """torchvision's, without its classification layer."""
    with asked.source.seeded():
        network = torchvision("torchvision.models").resnet152(weights=None)
        for layer in (network.layer1, network.layer2, network.layer3, network.layer4):
            for block in layer:  # else random weights would let each of 50 blocks double what passes through
                nn.init.constant_(block.bn3.weight, 0.2)
    network.fc = nn.Identity()
    facts = asked.load(network, without("fc."))
    return Made(network, partial(_picture, SHORT_256, IMAGENET), {**facts, "geometry": SHORT_256.facts})


def i3d_rgb(asked: Asked) -> Made:
    """All frames of a window but the last, which only flow needs: both streams then see the same time."""
    with asked.source.seeded():
        network = i3d.I3D(3)
    facts = asked.load(network, i3d.rename)
    return Made(
        network, lambda window: _clip(SHORT_256, SYMMETRIC, window[:-1]), {**facts, "geometry": SHORT_256.facts}
    )


def i3d_flow(asked: Asked) -> Made:
    """Flow of the window's consecutive frames."""
    with asked.source.seeded():
        network = i3d.I3D(2)
    facts = asked.load(network, i3d.rename)
    method, about = flow.build(asked.options.flow, asked.source, asked.device)

    def prepared(window: Tensor) -> Tensor:
        return flow.for_i3d(SHORT_256.cropped(method(SHORT_256.resized(window))))

    return Made(network, prepared, {**facts, "geometry": SHORT_256.facts, "flow": about})


def tsn_rgb(asked: Asked) -> Made:
    """The first frame of a window, as temporal segment networks are tested."""
    with asked.source.seeded():
        network = bn_inception.BNInception(3)
    facts = asked.load(network, without("fc."))
    return Made(network, partial(_picture, SHORT_256, CAFFE), {**facts, "geometry": SHORT_256.facts})


def tsn_flow(asked: Asked) -> Made:
    """The window's five flows, one behind the other."""
    with asked.source.seeded():
        network = bn_inception.BNInception(2 * FRAMES_OF_FLOW)
    facts = asked.load(network, without("fc."))
    method, about = flow.build(asked.options.flow, asked.source, asked.device)

    def prepared(window: Tensor) -> Tensor:
        return flow.for_tsn(SHORT_256.cropped(method(SHORT_256.resized(window))))

    return Made(network, prepared, {**facts, "geometry": SHORT_256.facts, "flow": about})


def slowfast_r50(asked: Asked) -> Made:
    """What the fast pathway sees; the network chooses from it what the slow one does."""
    with asked.source.seeded():
        network = slowfast.SlowFast()
    facts = asked.load(network, without(f"blocks.{len(network.blocks) + 1}."))
    return Made(network, partial(_clip, UNSMOOTHED_256, SLOWFAST), {**facts, "geometry": UNSMOOTHED_256.facts})


def vggish_sound(asked: Asked) -> Made:
    """One log-mel spectrogram of 96 frames."""
    with asked.source.seeded():
        network = vggish.VGGish(relu=asked.options.vggish_relu)
        pca = vggish.PCA()
    about: dict[str, Any] = {**asked.load(network, without()), "relu": asked.options.vggish_relu, "pca": None}
    if asked.options.vggish_pca:
        about["pca"] = asked.source.load(pca, PCA, without(), main=False)
        network.pca = pca
    return Made(network, log_mel, about)


def clip_image(model: str, asked: Asked) -> Made:
    """CLIP's image tower, by open_clip.

    Raises:
        PipelineError: open_clip is not installed.
    """
    torchvision()  # open_clip imports it
    try:
        open_clip = importlib.import_module("open_clip")
    except ModuleNotFoundError as error:
        raise PipelineError(
            f"{asked.source.name} needs open_clip ({error}): pip install open_clip_torch, or pip install '.[clip]'"
        ) from None
    with asked.source.seeded():
        network = open_clip.create_model(model, pretrained=None).visual
    facts = asked.load(network, _image_tower)
    return Made(network, partial(_picture, CLIP_224, CLIP), {**facts, "geometry": CLIP_224.facts, "model": model})


def _image_tower(name: str) -> str | None:
    return name.removeprefix("visual.") if name.startswith("visual.") else None


def r2plus1d(architecture: str, asked: Asked) -> Made:
    """A clip encoder with TSP's geometry; one pretrained here has its own (`pipeline.features.networks.clip_encoder`)."""
    clip = Clip()
    with asked.source.seeded():
        encoder = build_encoder(architecture)
    facts: dict[str, Any] = {"weights": "random", "weights_sha256": None}
    if asked.source.given != "random":
        path = asked.source.find(asked.weights)
        facts = {"weights": path.name, "weights_sha256": load_initial(path, encoder).sha256}

    facts |= {"architecture": architecture, "clip": clip.model_dump(mode="json")}
    encoder.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    return Made(encoder, partial(prepared, clip=clip), facts, stack)


def _picture(geometry: Geometry, colours: Colours, window: Tensor) -> Tensor:
    return colours.normalised(geometry.cropped(geometry.resized(window[:1])))[0]


def _clip(geometry: Geometry, colours: Colours, window: Tensor) -> Tensor:
    return colours.normalised(geometry.cropped(geometry.resized(window))).transpose(0, 1)

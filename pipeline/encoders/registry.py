"""Published weights that encoders can start from: what there is, and where it stands."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import PipelineError

FOLDER = Path("weights")
"""Where the files of named weights are looked for, beside the Snakefile."""

_IG65M = "https://github.com/moabitcoin/ig65m-pytorch/releases/download/v1.0.0/"
_TORCHVISION = "https://download.pytorch.org/models/"
_TSP = "https://github.com/HumamAlwassel/TSP/releases/download/model_weights/"


@dataclass(frozen=True)
class Published:
    """A file of weights that somebody published.

    Attributes:
        name: what `initial_weights` and `fetch` call it; its authors' own name, where they gave it one.
        url: where it is fetched from.
        architecture: what `pipeline.encoders.architectures.build` calls the network.
        heads: which heads the file has, with their number of classes.
        what: what it was trained on, and how.
    """

    name: str
    url: str
    architecture: str
    heads: str
    what: str

    @property
    def file(self) -> str:
        """Name of the file."""
        return self.url.rpartition("/")[2]

    @property
    def digest(self) -> str:
        """First 8 hex digits of its sha256, which the name of every published file ends with."""
        return self.file.removesuffix(".pth").rpartition("-")[2]


def _tsp(name: str, file: str, heads: str, what: str) -> Published:
    return Published(name, f"{_TSP}{name}{file}.pth", name.partition("-")[0], heads, what)


_ACTIVITYNET = "action 200, region 2"
_TSP_ON = "TSP on ActivityNet, global feature by"

_ALL = (
    Published(
        "r2plus1d_34_8_kinetics",
        f"{_IG65M}r2plus1d_34_clip8_ft_kinetics_from_ig65m-0aa0550b.pth",
        "r2plus1d_34",
        "action 400",
        "IG-65M, then Kinetics-400, clips of 8 frames: what TSP and SA-TSP start from",
    ),
    Published(
        "r2plus1d_34_32_kinetics",
        f"{_IG65M}r2plus1d_34_clip32_ft_kinetics_from_ig65m-ade133f1.pth",
        "r2plus1d_34",
        "action 400",
        "IG-65M, then Kinetics-400, clips of 32 frames",
    ),
    Published(
        "r2plus1d_34_8_ig65m",
        f"{_IG65M}r2plus1d_34_clip8_ig65m_from_scratch-9bae36ae.pth",
        "r2plus1d_34",
        "action 487",
        "IG-65M alone, clips of 8 frames; its classes were not published",
    ),
    Published(
        "r2plus1d_34_32_ig65m",
        f"{_IG65M}r2plus1d_34_clip32_ig65m_from_scratch-449a7af9.pth",
        "r2plus1d_34",
        "action 359",
        "IG-65M alone, clips of 32 frames; its classes were not published",
    ),
    Published(
        "r2plus1d_18_kinetics",
        f"{_TORCHVISION}r2plus1d_18-91a641e6.pth",
        "r2plus1d_18",
        "action 400",
        "Kinetics-400 (torchvision: R2Plus1D_18_Weights.KINETICS400_V1)",
    ),
    Published(
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
        "TAC on Kinetics-400: what TSP's authors made the global features with",
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

PUBLISHED = {entry.name: entry for entry in _ALL}
"""Everything that can be named."""


def weight_file(weights: str) -> Path:
    """The file that `initial_weights` means: that of a published entry, below `weights/`, or a path as it stands.

    Raises:
        PipelineError: a published file that is not there (says how to fetch it), or a name that is neither.
    """
    path = FOLDER / PUBLISHED[weights].file if weights in PUBLISHED else Path(weights)
    if path.is_file():
        return path
    known = next((entry for entry in _ALL if entry.file == path.name), None)
    if known:
        raise PipelineError(
            f"{path}: no such weight file (key initial_weights); fetch it from {known.url}: "
            f"python -m pipeline.commands.weights fetch {known.name} --folder {path.parent}"
        )
    if not path.suffix:
        raise PipelineError(
            f"initial_weights = {weights!r}: neither a file nor the name of published weights; "
            "python -m pipeline.commands.weights list shows those"
        )
    raise PipelineError(f"{path}: no such weight file (key initial_weights)")

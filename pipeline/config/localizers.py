"""The localizers: one spec each. Config, `--help`, documents and tests list the localizers from here.

A localizer is a network that is trained on annotated action segments (`train_localizer`) and finds actions in any video
with the same features (`localize_actions`). To add one, write a module with a class that implements
`pipeline.localization.localizer.Localizer`, and add a settings model and a spec below.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Union

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.localization import BmnNetworkSettings, NetworkFeatureSettings
from pipeline.config.registry import Registry, Spec, validate_kind
from pipeline.config.training import FeatureTrainingSettings, epochs_field, lr_field


class LocalizerSettings(FeatureTrainingSettings, NetworkFeatureSettings):
    """Settings that all localizers share: their features and their training."""

    has_classes: ClassVar[bool] = False
    """Whether the detections have classes; if not, a classifier of whole videos gives them."""
    reads_proposals: ClassVar[bool] = False
    """Whether the localizer classifies proposals; then `proposals` names them."""

    splits: list[Literal["train", "enlarged"]] = Field(["train"], min_length=1, description="splits to train on")
    epochs: int = epochs_field(10)
    batch_size: int = Field(16, ge=1, description="videos (or windows) per step, and videos per batch of detections")
    lr: float = lr_field(4.0e-3)
    lr_decay: float = Field(0.1, gt=0, le=1, description="factor of the learning rate at each decay")
    lr_decay_every: int = Field(5, ge=1, description="epochs between two decays of the learning rate")
    weight_decay: float = Field(1.0e-4, ge=0, description="weight decay (L2 penalty)")
    clip_norm: float | None = Field(None, gt=0, description="gradients are scaled down to this norm (null: never)")
    selection: Literal["loss", "last"] = Field(
        "loss", description="which epoch to keep: the one with the lowest loss on the split `val`, or the last"
    )
    seed: int = Field(0, description="seed for weight initialisation, data order and sampling")
    proposals: str | None = Field(
        None, description="entry of `propose_events`, for localizers that classify proposals; null for the others"
    )

    def learning_rate(self, epoch: int, /) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        return self.lr * self.lr_decay ** ((epoch - 1) // self.lr_decay_every)


class GtadNetworkSettings(LocalizerSettings):
    """Settings of G-TAD in both of its forms; the defaults are those of the authors' code for ActivityNet."""

    temporal_scale: int = Field(100, ge=3, description="positions of a sequence")
    max_duration: int = Field(100, ge=1, description="positions of the longest segment")
    bins: int = Field(32, ge=1, description="bins of a segment")
    context_bins: int = Field(4, ge=1, description="bins of a segment in the features of graph neighbours")
    kernel: Literal[1, 3] = Field(1, description="kernel of the convolutions over the map of segments")
    hidden_dim_1d: int = Field(256, ge=4, multiple_of=4, description="channels of the convolutions over time")
    hidden_dim_2d: int = Field(128, ge=1, description="channels of the convolutions over the map of segments")
    hidden_dim_3d: int = Field(512, ge=1, description="channels of a segment after the convolution over its bins")
    reg_weight: float = Field(10.0, ge=0, description="weight of the regression of the tIoU in the loss")
    cls_weight: float = Field(1.0, ge=0, description="weight of the classification of the tIoU in the loss")
    added_count: int = Field(
        0, ge=0, description="added to the numbers of positives and negatives in the classification loss"
    )
    soft_nms_sigma: float = Field(
        0.8, gt=0, description="soft-NMS: width of the Gaussian (a score is multiplied by exp(-tIoU^2 / sigma))"
    )
    max_detections: int = Field(100, ge=1, description="segments per video, before they get classes")


class GtadSettings(GtadNetworkSettings):
    """G-TAD (Xu et al., 2020) on whole videos, with the settings of the authors' code for ActivityNet.

    The features of a video are rescaled to `temporal_scale` positions.
    """

    kind: Literal["gtad"] = Field("gtad", description="localizer: G-TAD on whole videos")


class GtadWindowsSettings(GtadNetworkSettings):
    """G-TAD on overlapping windows of long videos, with the settings of the authors' code for THUMOS14.

    The features are interpolated at the frames of a grid of `fps`; every `snippet_frames`-th is a snippet.
    """

    kind: Literal["gtad_windows"] = Field("gtad_windows", description="localizer: G-TAD on windows of long videos")
    fps: float = Field(30.0, gt=0, description="frames per second of the grid of snippets")
    snippet_frames: int = Field(5, ge=1, description="frames from one snippet to the next")
    window_stride: int = Field(128, ge=1, description="snippets from the start of one window to the next")
    min_share: float = Field(
        0.9, ge=0, lt=1, description="a window is trained on if more than this share of an action lies in it"
    )
    max_seconds: float = Field(10.0, gt=0, description="segments of this length and longer get the score 0 [s]")
    temporal_scale: int = Field(256, ge=3, description="snippets of a window")
    max_duration: int = Field(64, ge=1, description="snippets of the longest segment")
    bins: int = Field(16, ge=1, description="bins of a segment")
    context_bins: int = Field(16, ge=1, description="bins of a segment in the features of graph neighbours")
    kernel: Literal[1, 3] = Field(3, description="kernel of the convolutions over the map of segments")
    reg_weight: float = Field(1.0, ge=0, description="weight of the regression of the tIoU in the loss")
    cls_weight: float = Field(10.0, ge=0, description="weight of the classification of the tIoU in the loss")
    added_count: int = Field(
        10, ge=0, description="added to the numbers of positives and negatives in the classification loss"
    )
    soft_nms_sigma: float = Field(
        0.46, gt=0, description="soft-NMS: width of the Gaussian (a score is multiplied by exp(-tIoU^2 / sigma))"
    )
    max_detections: int = Field(200, ge=1, description="segments per window and per video, before they get classes")
    batch_size: int = Field(8, ge=1, description="windows per step, and videos per batch of detections")
    lr: float = lr_field(4.0e-5)
    clip_norm: float | None = Field(1.0, gt=0, description="gradients are scaled down to this norm (null: never)")
    selection: Literal["loss", "last"] = Field(
        "last", description="which epoch to keep: the one with the lowest loss on the split `val`, or the last"
    )


class BmnLocalizerSettings(BmnNetworkSettings, LocalizerSettings):
    """The boundary-matching network (Lin et al., 2019) on action segments, as in the code that TSP used."""

    kind: Literal["bmn"] = Field("bmn", description="localizer: the boundary-matching network on action segments")
    epochs: int = epochs_field(9)
    lr: float = lr_field(1.0e-3)
    lr_decay_every: int = Field(7, ge=1, description="epochs between two decays of the learning rate")
    selection: Literal["loss", "last"] = Field(
        "last", description="which epoch to keep: the one with the lowest loss on the split `val`, or the last"
    )
    max_detections: int = Field(100, ge=1, description="segments per video, before they get classes")


class PgcnPools(Section):
    """Which proposals of a training video join which pool; the defaults are those of the authors' code for THUMOS14."""

    foreground: float = Field(0.7, ge=0, lt=1, description="a foreground proposal has a higher tIoU with its action")
    incomplete: float = Field(0.3, ge=0, le=1, description="an incomplete proposal has a lower tIoU, and")
    incomplete_overlap: float = Field(
        0.01, ge=0, lt=1, description="more than this share of an incomplete proposal lies in its action"
    )
    background: float = Field(0.01, ge=0, le=1, description="another proposal with a lower tIoU is background, if")
    background_coverage: float = Field(0.02, ge=0, lt=1, description="it is longer than this share of the video")


class PgcnSettings(LocalizerSettings):
    """P-GCN (Zeng et al., 2019): it classifies proposals and moves their boundaries.

    The defaults are those of the authors' code for THUMOS14.
    """

    has_classes: ClassVar[bool] = True
    reads_proposals: ClassVar[bool] = True

    kind: Literal["pgcn"] = Field("pgcn", description="localizer: graph convolutions over the proposals of a video")
    proposals: str | None = Field("learned", description="entry of `propose_events` whose proposals are classified")
    pools: PgcnPools = Field(PgcnPools(), description="which proposals of a training video join which pool")
    repeats: int = Field(20, ge=1, description="how often an epoch goes through each video, eight proposals at a time")
    max_pairs: int = Field(2000, ge=1, description="pairs of a proposal and a class that are kept of a video")
    nms_tiou: float = Field(
        0.2, gt=0, le=1, description="of two detections of a class with a higher tIoU, the one of higher score stays"
    )
    epochs: int = epochs_field(70)
    batch_size: int = Field(32, ge=1, description="videos per step, and videos per batch of detections")
    lr: float = lr_field(0.01)
    momentum: float = Field(0.9, ge=0, lt=1, description="momentum of SGD")
    lr_decay_every: int = Field(15, ge=1, description="epochs between two decays of the learning rate")
    max_decays: int = Field(3, ge=0, description="how often the learning rate decays")
    weight_decay: float = Field(5.0e-4, ge=0, description="weight decay (L2 penalty), of weights without biases")

    def learning_rate(self, epoch: int, /) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        return self.lr * self.lr_decay ** min((epoch - 1) // self.lr_decay_every, self.max_decays)


@dataclass(frozen=True)
class LocalizerSpec(Spec):
    """What the registry knows of a localizer.

    Attributes:
        source: the publication it comes from, for the documents.
    """

    columns: ClassVar[tuple[str, ...]] = ("description", "source")

    source: str


LOCALIZERS = Registry(
    "localizer",
    [
        LocalizerSpec(
            name="gtad",
            description="sub-graphs of snippets, each scored as a segment of the whole video",
            settings=GtadSettings,
            build="pipeline.localization.gtad.localizer:GtadLocalizer",
            source="Xu et al., 2020 (ActivityNet)",
        ),
        LocalizerSpec(
            name="gtad_windows",
            description="the same on overlapping windows of long videos",
            settings=GtadWindowsSettings,
            build="pipeline.localization.gtad.window_localizer:GtadWindowLocalizer",
            source="Xu et al., 2020 (THUMOS14)",
        ),
        LocalizerSpec(
            name="bmn",
            description="the boundary-matching network scores every pair of a start and an end",
            settings=BmnLocalizerSettings,
            build="pipeline.localization.bmn.localizer:BmnLocalizer",
            source="Lin et al., 2019",
        ),
        LocalizerSpec(
            name="pgcn",
            description="graph convolutions over the proposals of a video classify them and move their boundaries",
            settings=PgcnSettings,
            build="pipeline.localization.pgcn.localizer:PgcnLocalizer",
            source="Zeng et al., 2019 (THUMOS14)",
        ),
    ],
)

ANY_LOCALIZER: Any = Union[tuple(spec.settings for spec in LOCALIZERS.values())]  # noqa: UP007  # of a tuple
"""Settings of any localizer, for the JSON schema."""


def validate_localizer(entry: Any, _handler: Any) -> Any:
    """Validate plain data as the settings of the localizer that its `kind` names."""
    return validate_kind(entry, {name: spec.settings for name, spec in LOCALIZERS.items()})

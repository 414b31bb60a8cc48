"""Section `propose_events`: one entry per proposer."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel

from pipeline.config.base import Device, Section, Settings, cache_field, device_field, steps_field
from pipeline.config.combination import Align, Missing, align_field, missing_field


class Kind(Section):
    """Which proposer a section is for; the rest of it is read by that one."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["gt", "file", "boundary", "bmn"]


class GroundTruth(Section):
    """The annotated events themselves."""

    kind: Literal["gt"] = Field("gt", description="the annotated events themselves")
    annotator: int = Field(1, ge=1, le=2, description="whose events, where several annotated")


class File(Section):
    """Proposals that are there already."""

    kind: Literal["file"] = Field("file", description="proposals made elsewhere, mended by stated rules")
    path: str = Field(
        min_length=1, description="ActivityNet's JSON of proposals, or a table (.csv) of video, start, end, score"
    )
    score: str = Field(
        "score", min_length=1, description="key or column of the score; scores are 1 where no proposal has it"
    )


class Learned(Section):
    """What learned proposers have in common.

    A network is trained on caption events; of what it finds, the likely events are chosen by soft-NMS.
    """

    kind: Literal["boundary", "bmn"]
    features: list[str] = Field(min_length=1, description="entries of `extract_features`, concatenated")
    align: Align = align_field()
    missing: Missing = missing_field()
    epochs: int = Field(ge=1, description="passes over the training videos")
    steps_per_epoch: int | None = steps_field()
    batch_size: int = Field(16, ge=1, description="videos per step")
    lr: float = Field(1.0e-3, gt=0, description="of Adam")
    weight_decay: float = Field(1.0e-4, ge=0, description="of Adam")
    soft_nms_sigma: float = Field(0.4, gt=0, description="width of the Gaussian of soft-NMS, in tIoU")
    max_proposals: int = Field(10, ge=1, description="kept per video")
    min_score: float = Field(0.1, ge=0, le=1, description="proposals below this share of the video's best are dropped")
    cache_gb: float = cache_field()
    device: Device = device_field()
    seed: int = Field(0, description="of weights and order")

    def lr_in(self, _epoch: int, /) -> float:
        """Learning rate of an epoch, numbered from 1."""
        return self.lr


class Boundary(Learned):
    """Learned: a temporal network scores starts, ends and insides, candidates are paired and thinned by soft-NMS."""

    kind: Literal["boundary"] = Field("boundary", description="a small temporal network, trained on caption events")
    hidden: int = Field(256, ge=1, description="channels of the temporal network")
    epochs: int = Field(20, ge=1, description="passes over the training videos")
    dropout: float = Field(0.3, ge=0, lt=1, description="on the features")


class Bmn(Learned):
    """Learned: the boundary-matching network (Lin et al., 2019), with the settings of the implementation that TSP used.

    It scores every pair of a start and an end on a video of `positions` equal parts.
    """

    kind: Literal["bmn"] = Field("bmn", description="the boundary-matching network, trained on caption events")
    positions: int = Field(100, ge=2, description="a video is rescaled to so many")
    samples: int = Field(32, ge=2, description="taken of each possible proposal")
    temporal: int = Field(256, ge=4, multiple_of=4, description="channels of the convolutions over time")
    combined: int = Field(512, ge=1, description="channels of a possible proposal's combined samples")
    confidence: int = Field(128, ge=1, description="channels of the convolutions over the map of possible proposals")
    epochs: int = Field(9, ge=1, description="passes over the training videos")
    lr_epochs: int = Field(7, ge=1, description="epochs after which the learning rate is lowered")
    lr_factor: float = Field(0.1, gt=0, le=1, description="by which it is multiplied then, each time")
    candidates: int = Field(100, ge=1, description="kept by the published soft-NMS; of them, events are chosen")
    all_candidates: bool = Field(
        False,
        description="propose all candidates (as the published network does, to measure AR) instead of a video's likely "
        "events, to which `soft_nms_sigma`, `max_proposals` and `min_score` belong",
    )

    def lr_in(self, epoch: int, /) -> float:
        """Learning rate of an epoch, numbered from 1."""
        return self.lr * self.lr_factor ** ((epoch - 1) // self.lr_epochs)


class ProposeEvents(RootModel[Annotated[GroundTruth | File | Boundary | Bmn, Field(discriminator="kind")]], Settings):
    """One proposer, of whatever kind."""

"""Section `propose_events`: one entry per proposer."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, RootModel

from pipeline.config.base import Section, Settings
from pipeline.config.combination import Align, Missing, align_field, missing_field


class Kind(Section):
    """Which proposer a section is for; the rest of it is read by that one."""

    model_config = ConfigDict(extra="ignore")

    kind: Literal["gt", "boundary"]


class GroundTruth(Section):
    """The annotated events themselves."""

    kind: Literal["gt"] = Field("gt", description="the annotated events themselves")
    annotator: int = Field(1, ge=1, le=2, description="whose events, where several annotated")


class Boundary(Section):
    """Learned: a temporal network scores starts, ends and insides, candidates are paired and thinned by soft-NMS."""

    kind: Literal["boundary"] = Field("boundary", description="a small temporal network, trained on caption events")
    features: list[str] = Field(min_length=1, description="entries of `extract_features`, concatenated")
    align: Align = align_field()
    missing: Missing = missing_field()
    hidden: int = Field(256, ge=1, description="channels of the temporal network")
    epochs: int = Field(20, ge=1, description="passes over the training videos")
    batch_size: int = Field(16, ge=1, description="videos per step")
    lr: float = Field(1.0e-3, gt=0, description="of Adam")
    weight_decay: float = Field(1.0e-4, ge=0, description="of Adam")
    dropout: float = Field(0.3, ge=0, lt=1, description="on the features")
    soft_nms_sigma: float = Field(0.4, gt=0, description="width of the Gaussian of soft-NMS, in tIoU")
    max_proposals: int = Field(10, ge=1, description="kept per video")
    min_score: float = Field(0.1, ge=0, le=1, description="proposals below this share of the video's best are dropped")
    cache_gb: float = Field(
        4.0, ge=0, description="clip features kept in memory, up to this many GB; the rest is reread"
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto takes a GPU if there is one")
    seed: int = Field(0, description="of weights and order")


class ProposeEvents(RootModel[Annotated[GroundTruth | Boundary, Field(discriminator="kind")]], Settings):
    """One proposer, of either kind."""

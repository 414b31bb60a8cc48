"""Settings that proposers and localizers have in common; the registries of both kinds stand in modules of their own."""

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.feature_combination import Align, Missing, align_field, missing_field


class ProposalSelection(Section):
    """How proposals are selected from the scored candidates of a proposer."""

    soft_nms_sigma: float = Field(
        0.4, gt=0, description="soft-NMS: width of the Gaussian (a score is multiplied by exp(-tIoU^2 / sigma))"
    )
    max_proposals: int = Field(10, ge=1, description="maximum number of proposals per video")
    min_score: float = Field(
        0.1, ge=0, le=1, description="drop proposals that score below this fraction of the video's best score"
    )
    candidates: int = Field(
        100, ge=1, description="candidates per video: how many BMN's own soft-NMS keeps, and `all_candidates` writes"
    )
    all_candidates: bool = Field(
        False,
        description="propose the best `candidates` as they are, as the published BMN does to measure AR; the other "
        "settings of the selection are then not used",
    )


class NetworkFeatureSettings(Section):
    """The kind of a network, and the features that it reads."""

    kind: str
    features: list[str] = Field(min_length=1, description="entries of `extract_features`, concatenated")
    align: Align = align_field()
    missing: Missing = missing_field()


class BmnNetworkSettings(Section):
    """Sizes of the boundary-matching network; the defaults are the published ones."""

    temporal_scale: int = Field(100, ge=2, description="positions that a video is rescaled to")
    num_samples: int = Field(32, ge=2, description="features sampled from each pair of a start and an end")
    hidden_dim_1d: int = Field(256, ge=4, multiple_of=4, description="channels of the convolutions over time")
    hidden_dim_2d: int = Field(128, ge=1, description="channels of the convolutions over the map of pairs")
    hidden_dim_3d: int = Field(512, ge=1, description="channels of the convolution over the samples of a pair")

"""The proposers: one spec each. Config, `--help`, documents and tests list the proposers from here.

A proposer is a network that is trained on annotated events (`train_proposer`) and proposes events in any video with
the same features (`propose_events`). To add one, write a module with a class that implements
`pipeline.localization.proposer.TrainableProposer`, and add a settings model and a spec below.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Union

from pydantic import Field

from pipeline.config.base import Section, Settings
from pipeline.config.feature_combination import Align, Missing, align_field, missing_field
from pipeline.config.registry import Registry, Spec
from pipeline.config.training import FeatureTrainingSettings, epochs_field, lr_field


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


class ProposerBaseSettings(Section):
    """The kind of a proposer, and the features that it reads."""

    kind: str
    features: list[str] = Field(min_length=1, description="entries of `extract_features`, concatenated")
    align: Align = align_field()
    missing: Missing = missing_field()


class ProposerSettings(FeatureTrainingSettings, ProposerBaseSettings):
    """Settings that all proposers share: their features, their training and their validation."""

    epochs: int = epochs_field(20)
    batch_size: int = Field(16, ge=1, description="videos per step, and per batch of predictions")
    lr: float = lr_field(1.0e-3)
    weight_decay: float = Field(1.0e-4, ge=0, description="weight decay (L2 penalty) of Adam")
    seed: int = Field(0, description="seed for weight initialisation and data order")
    validation: ProposalSelection = Field(
        ProposalSelection(), description="selection of the proposals whose precision and recall on `val` are logged"
    )

    def learning_rate(self, _epoch: int, /) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        return self.lr


class BoundarySettings(ProposerSettings):
    """A small temporal network: it scores starts, ends and actionness, and pairs the best starts and ends."""

    kind: Literal["boundary"] = Field("boundary", description="proposer: dilated temporal convolutions")
    hidden: int = Field(256, ge=1, description="channels of the temporal convolutions")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout on the input features")


class BmnSettings(ProposerSettings):
    """The boundary-matching network (Lin et al., 2019), with the settings of the implementation that TSP used.

    It scores every pair of a start and an end on a grid of `temporal_scale` equal parts of the video.
    """

    kind: Literal["bmn"] = Field("bmn", description="proposer: the boundary-matching network")
    temporal_scale: int = Field(100, ge=2, description="positions that a video is rescaled to")
    num_samples: int = Field(32, ge=2, description="features sampled from each pair of a start and an end")
    hidden_dim_1d: int = Field(256, ge=4, multiple_of=4, description="channels of the convolutions over time")
    hidden_dim_2d: int = Field(128, ge=1, description="channels of the convolutions over the map of pairs")
    hidden_dim_3d: int = Field(512, ge=1, description="channels of the convolution over the samples of a pair")
    epochs: int = epochs_field(9)
    lr_decay: float = Field(0.1, gt=0, le=1, description="factor of the learning rate at each decay")
    lr_decay_every: int = Field(7, ge=1, description="epochs between two decays of the learning rate")

    def learning_rate(self, epoch: int, /) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        return self.lr * self.lr_decay ** ((epoch - 1) // self.lr_decay_every)


@dataclass(frozen=True)
class ProposerSpec(Spec):
    """What the registry knows of a proposer.

    Attributes:
        source: the publication it comes from, for the documents.
    """

    columns: ClassVar[tuple[str, ...]] = ("description", "source")

    source: str


PROPOSERS = Registry(
    "proposer",
    [
        ProposerSpec(
            name="boundary",
            description="temporal convolutions score starts, ends and actionness; pairs of peaks are the candidates",
            settings=BoundarySettings,
            build="pipeline.localization.boundary:BoundaryProposer",
            source="this project, after the boundary scores of BSN (Lin et al., 2018)",
        ),
        ProposerSpec(
            name="bmn",
            description="the boundary-matching network scores every pair of a start and an end",
            settings=BmnSettings,
            build="pipeline.localization.bmn.proposer:BmnProposer",
            source="Lin et al., 2019",
        ),
    ],
)

ANY_PROPOSER: Any = Union[tuple(spec.settings for spec in PROPOSERS.values())]  # noqa: UP007  # of a tuple
"""Settings of any proposer, for the JSON schema."""


def validate_kind(entry: Any, kinds: Mapping[str, type[Settings]]) -> Any:
    """Validate plain data as the settings that its key `kind` names.

    Raises:
        ValueError: `kind` is missing or names none of `kinds`.
    """
    if isinstance(entry, Settings):
        return entry
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or kind not in kinds:
        raise ValueError(f"kind = {kind!r}; expected one of {', '.join(kinds)}")
    return kinds[kind].model_validate(entry)


def validate_proposer(entry: Any, _handler: Any) -> Any:
    """Validate plain data as the settings of the proposer that its `kind` names."""
    return validate_kind(entry, {name: spec.settings for name, spec in PROPOSERS.items()})

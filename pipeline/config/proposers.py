"""The proposers: one spec each. Config, `--help`, documents and tests list the proposers from here.

A proposer is a network that is trained on annotated events (`train_proposer`) and proposes events in any video with
the same features (`propose_events`). To add one, write a module with a class that implements
`pipeline.localization.proposer.TrainableProposer`, and add a settings model and a spec below.
"""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self, Union

from pydantic import AfterValidator, Field, model_validator

from pipeline.config.base import Section
from pipeline.config.bimodal import VISUAL_AND_AUDIO, BiModalSettings
from pipeline.config.feature_combination import (
    Align,
    FeatureStreamNames,
    Missing,
    align_field,
    missing_field,
    name_streams,
    streams_field,
)
from pipeline.config.localization import BmnNetworkSettings, ProposalSelection
from pipeline.config.registry import Registry, Spec, validate_kind
from pipeline.config.training import FeatureTrainingSettings, epochs_field, lr_field


class ProposerStreamSettings(Section):
    """The kind of a proposer, and the features that it reads: one list, or for some kinds named streams."""

    kind: str
    features: FeatureStreamNames = streams_field()
    align: Align = align_field()
    missing: Missing = missing_field()


class TrainedEncoder(Section):
    """A trained captioner whose encoder a proposer takes over, after the captioner's cross-entropy training."""

    captioner: str = Field(description="entry of `train_captioner` of architecture `bmt` with the same features")
    seed: int = Field(0, ge=0, description="seed of the captioner")
    finetune: bool = Field(False, description="train the encoder further (false: it stays as it is)")


class ProposerSettings(FeatureTrainingSettings, ProposerStreamSettings):
    """Settings that all proposers share: their features, their training and their validation.

    Attributes:
        reads_streams: whether the proposer reads several streams of features.
    """

    reads_streams: ClassVar[bool] = False

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

    @property
    def streams(self) -> dict[str, list[str]]:
        """Features of each stream by its name; a plain list is one stream."""
        return name_streams(self.features)

    @property
    def feature_names(self) -> list[str]:
        """All features, stream by stream."""
        return [name for names in self.streams.values() for name in names]

    @property
    def trained_encoder(self) -> TrainedEncoder | None:
        """The captioner whose encoder the proposer takes over; None: there is none."""
        return None

    @model_validator(mode="after")
    def _check_streams(self) -> Self:
        if isinstance(self.features, dict) and not self.reads_streams:
            raise ValueError(
                f"proposer {self.kind} reads one stream of features, not {', '.join(self.features)}; give one list"
            )
        return self


class BoundarySettings(ProposerSettings):
    """A small temporal network: it scores starts, ends and actionness, and pairs the best starts and ends."""

    kind: Literal["boundary"] = Field("boundary", description="proposer: dilated temporal convolutions")
    hidden: int = Field(256, ge=1, description="channels of the temporal convolutions")
    dropout: float = Field(0.3, ge=0, lt=1, description="dropout on the input features")


class BmnSettings(BmnNetworkSettings, ProposerSettings):
    """The boundary-matching network (Lin et al., 2019), with the settings of the implementation that TSP used.

    It scores every pair of a start and an end on a grid of `temporal_scale` equal parts of the video.
    """

    kind: Literal["bmn"] = Field("bmn", description="proposer: the boundary-matching network")
    epochs: int = epochs_field(9)
    lr_decay: float = Field(0.1, gt=0, le=1, description="factor of the learning rate at each decay")
    lr_decay_every: int = Field(7, ge=1, description="epochs between two decays of the learning rate")

    def learning_rate(self, epoch: int, /) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        return self.lr * self.lr_decay ** ((epoch - 1) // self.lr_decay_every)


def _check_odd(size: int) -> int:
    if size % 2 == 0:
        raise ValueError("expected an odd number: as many rows before as after the one in the middle")
    return size


OddSize = Annotated[int, Field(ge=1), AfterValidator(_check_odd)]


class BmtProposerSettings(BiModalSettings, ProposerSettings):
    """The proposal generator of the bi-modal transformer (Iashin and Rahtu, 2020), with the published settings.

    Convolutions over encoded visual and audio rows predict events around anchors, which are typical lengths of events.
    """

    reads_streams: ClassVar[bool] = True

    kind: Literal["bmt"] = Field("bmt", description="proposer: the proposal generator of the bi-modal transformer")
    encoder: TrainedEncoder | None = Field(
        None, description="a captioner whose encoder is used, as published (null: an encoder is learned from scratch)"
    )
    visual_anchors: int = Field(128, ge=1, description="number of typical lengths, for visual rows")
    audio_anchors: int = Field(48, ge=1, description="number of typical lengths, for audio rows")
    visual_kernels: list[OddSize] = Field(
        [1, 5, 9, 13, 19, 25, 35, 45, 61, 79], min_length=1, description="visual rows that each head sees; odd"
    )
    audio_kernels: list[OddSize] = Field(
        [5, 13, 23, 35, 51, 69, 91, 121, 161, 211], min_length=1, description="audio rows that each head sees; odd"
    )
    head_channels: list[int] = Field([512, 512], min_length=1, description="channels of the hidden layers of a head")
    negative_weight: float = Field(100.0, gt=0, description="weight of the loss where there is no event")
    max_tiou: float | None = Field(
        None, gt=0, le=1, description="drop candidates whose tIoU with a better one is this or more (null: none)"
    )
    epochs: int = epochs_field(17)
    lr: float = lr_field(5.0e-5)
    weight_decay: float = Field(0.0, ge=0, description="weight decay (L2 penalty) of Adam")

    @property
    def trained_encoder(self) -> TrainedEncoder | None:
        """The captioner whose encoder the proposer takes over."""
        return self.encoder

    @model_validator(mode="after")
    def _check_stream_names(self) -> Self:
        if self.streams.keys() != VISUAL_AND_AUDIO:
            raise ValueError(
                f"proposer bmt reads two streams of features, visual and audio, not {', '.join(self.streams)}; "
                "give features: {visual: [...], audio: [...]}"
            )
        return self


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
        ProposerSpec(
            name="bmt",
            description="convolutions over visual and audio rows, which attend to each other, predict events around "
            "typical lengths",
            settings=BmtProposerSettings,
            build="pipeline.localization.bmt.proposer:BmtProposer",
            source="Iashin and Rahtu, 2020",
        ),
    ],
)

ANY_PROPOSER: Any = Union[tuple(spec.settings for spec in PROPOSERS.values())]  # noqa: UP007  # of a tuple
"""Settings of any proposer, for the JSON schema."""


def validate_proposer(entry: Any, _handler: Any) -> Any:
    """Validate plain data as the settings of the proposer that its `kind` names."""
    return validate_kind(entry, {name: spec.settings for name, spec in PROPOSERS.items()})

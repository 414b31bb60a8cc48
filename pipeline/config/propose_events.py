"""Section `propose_events`: one entry per set of proposals."""

from typing import Annotated, Any, Literal

from pydantic import Field, RootModel, SerializeAsAny, WrapValidator

from pipeline.config.base import Device, Section, Settings, device_field
from pipeline.config.localization import ProposalSelection
from pipeline.config.registry import validate_kind


class GroundTruthProposalSettings(Section):
    """The annotated events themselves."""

    kind: Literal["gt"] = Field("gt", description="the annotated events themselves")
    annotator: int = Field(
        1, ge=1, le=2, description="annotator whose events are used; of a video without any, the first annotator's"
    )


class FileProposalSettings(Section):
    """Proposals of a file."""

    kind: Literal["file"] = Field("file", description="proposals of a file, clipped to the videos and checked")
    path: str = Field(
        min_length=1,
        description="proposals in ActivityNet's JSON, a table (.csv) with video, start, end, score, or a list in the "
        "text format of SSN (.txt)",
    )
    score: str = Field(
        "score", min_length=1, description="key or column of the score; all scores are 1 if no proposal has one"
    )


class LearnedProposalSettings(ProposalSelection):
    """Proposals of a trained proposer."""

    kind: Literal["learned"] = Field(
        "learned", description="proposals of a trained proposer, in every video with features"
    )
    proposer: str = Field("learned", description="entry of `train_proposer`")
    device: Device = device_field()


PROPOSAL_KINDS: dict[str, type[Section]] = {
    "gt": GroundTruthProposalSettings,
    "file": FileProposalSettings,
    "learned": LearnedProposalSettings,
}
"""The value of `kind` -> its settings."""


def _validate(entry: Any, _handler: Any) -> Any:
    return validate_kind(entry, PROPOSAL_KINDS)


ProposalSettings = GroundTruthProposalSettings | FileProposalSettings | LearnedProposalSettings


class ProposalsEntry(
    RootModel[
        Annotated[
            SerializeAsAny[ProposalSettings],
            WrapValidator(_validate, json_schema_input_type=Annotated[ProposalSettings, Field(discriminator="kind")]),
        ]
    ],
    Settings,
):
    """One set of proposals, of any kind."""

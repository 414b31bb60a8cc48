"""Section `train_proposer`: one entry per proposer, whose `kind` names the network."""

from typing import Annotated

from pydantic import Field, RootModel, SerializeAsAny, WrapValidator

from pipeline.config.base import Settings
from pipeline.config.proposers import ANY_PROPOSER, ProposerSettings, validate_proposer


class ProposerEntry(
    RootModel[
        Annotated[
            SerializeAsAny[ProposerSettings],
            WrapValidator(
                validate_proposer, json_schema_input_type=Annotated[ANY_PROPOSER, Field(discriminator="kind")]
            ),
        ]
    ],
    Settings,
):
    """One proposer: the network that `kind` names."""

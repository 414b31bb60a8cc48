"""Section `train_proposer`: one entry per proposer; the settings are those of its localizer."""

from typing import Annotated

from pydantic import Field, RootModel, SerializeAsAny, WrapValidator

from pipeline.config.base import Settings
from pipeline.config.localizers import ANY_LOCALIZER, LocalizerSettings, validate_localizer


class TrainProposer(
    RootModel[
        Annotated[
            SerializeAsAny[LocalizerSettings],
            WrapValidator(
                validate_localizer, json_schema_input_type=Annotated[ANY_LOCALIZER, Field(discriminator="kind")]
            ),
        ]
    ],
    Settings,
):
    """One proposer: the localizer that `kind` names."""

"""Section `train_localizer`: one entry per localizer, whose `kind` names the network."""

from typing import Annotated

from pydantic import Field, RootModel, SerializeAsAny, WrapValidator

from pipeline.config.base import Settings
from pipeline.config.localizers import ANY_LOCALIZER, LocalizerSettings, validate_localizer


class LocalizerEntry(
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
    """One localizer: the network that `kind` names."""

    TARGET = "results/{dataset}_test_detections.json"

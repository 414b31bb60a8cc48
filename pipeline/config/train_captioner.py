"""Section `train_captioner`: one entry per captioner (section 1.4 of the paper).

An entry holds the training settings below and, beside them, the settings of the captioner that `architecture` names.
"""

from functools import cache
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BeforeValidator, Field, RootModel, SerializeAsAny, WrapValidator, create_model

from pipeline.config.base import Settings
from pipeline.config.captioners import CAPTIONERS, DEFAULT_CAPTIONER, CaptionerSettings
from pipeline.config.feature_combination import Align, Missing, align_field, missing_field
from pipeline.config.training import CaptionerTrainingSettings
from pipeline.errors import nearest

DEFAULT_STREAM = "features"
"""Name of the stream that a plain list of features makes."""


def _check_features(features: Any) -> Any:
    """Refuse what is neither a list of features nor a mapping of stream names to such lists."""
    streams = list(features.values()) if isinstance(features, dict) else [features]
    lists = [names for names in streams if isinstance(names, list) and names]
    if not streams or len(lists) < len(streams) or not all(isinstance(name, str) for names in lists for name in names):
        raise ValueError(
            "expected a list of entries of `extract_features`, or named streams: {visual: [a, b], audio: [c]}"
        )
    return features


def _check_stream_names(features: Any) -> Any:
    """Refuse stream names that cannot name a part of a network."""
    for name in features if isinstance(features, dict) else []:
        if not name.isidentifier():
            raise ValueError(f"stream {name!r}: expected a name of letters, digits and _")
    return features


FeatureStreamNames = Annotated[
    list[str] | dict[str, list[str]], BeforeValidator(_check_features), AfterValidator(_check_stream_names)
]


class CaptionerFeatureSettings(CaptionerSettings):
    """The features that a captioner reads, and how several of them are combined."""

    features: FeatureStreamNames = Field(
        description="entries of `extract_features`: a list, concatenated along channels, or named streams of lists, "
        "each on its own time grid"
    )
    align: Align = align_field()
    missing: Missing = missing_field()


class CrossEntropySettings(CaptionerTrainingSettings, CaptionerFeatureSettings):
    """Cross-entropy training of one captioner; the settings of its architecture come beside these."""

    max_words: int = Field(28, ge=1, description="maximum number of words per caption; longer sentences are truncated")
    weight_decay: float = Field(0.0, ge=0, description="weight decay (L2 penalty) of Adam")
    scheduled_sampling: float = Field(
        0.0,
        ge=0,
        le=1,
        description="final probability of feeding back a sampled word instead of the annotated one (scheduled "
        "sampling)",
    )
    scheduled_sampling_epochs: int = Field(
        20, ge=1, description="epochs over which that probability rises linearly from 0, its value in the first epoch"
    )
    self_critical: bool = Field(
        True, description="caption with the weights after `finetune_scst` (false: with those after cross-entropy)"
    )

    @property
    def streams(self) -> dict[str, list[str]]:
        """Features of each stream by its name; a plain list is one stream."""
        return self.features if isinstance(self.features, dict) else {DEFAULT_STREAM: self.features}

    @property
    def feature_names(self) -> list[str]:
        """All features, stream by stream."""
        return [name for names in self.streams.values() for name in names]

    @property
    def architecture_settings(self) -> CaptionerSettings:
        """The settings of the architecture alone."""
        model = CAPTIONERS[self.architecture].settings
        settings = model.model_validate({name: getattr(self, name) for name in model.model_fields})
        assert isinstance(settings, CaptionerSettings)
        return settings

    def sampling_prob(self, epoch: int) -> float:
        """Return the probability of scheduled sampling in an epoch, counted from 1."""
        return self.scheduled_sampling * min(1.0, (epoch - 1) / self.scheduled_sampling_epochs)


@cache
def entry_model(settings: type[CaptionerSettings]) -> type[CrossEntropySettings]:
    """Build the model of an entry: the training settings and the settings of one architecture."""
    bases = cast("tuple[type[CrossEntropySettings], ...]", (settings, CrossEntropySettings))
    name = settings.__name__.removesuffix("Settings") + "Entry"
    return create_model(name, __base__=bases, __doc__=settings.__doc__, __module__=__name__)


def _validate(entry: Any, _handler: Any) -> Any:
    """Validate plain data as the entry of the captioner that its key `architecture` names."""
    if isinstance(entry, CrossEntropySettings):
        return entry
    if not isinstance(entry, dict):
        raise ValueError("expected a mapping of settings")
    name = entry.get("architecture", DEFAULT_CAPTIONER)
    if not isinstance(name, str) or name not in CAPTIONERS:
        raise ValueError(f"no captioner {name!r}{nearest(str(name), CAPTIONERS)}")
    validated = entry_model(CAPTIONERS[name].settings).model_validate(entry)
    validated.check_streams(validated.streams)
    return validated


def _any_entry() -> Any:
    models = [entry_model(spec.settings) for spec in CAPTIONERS.values()]
    united: Any = models[0]
    for model in models[1:]:
        united = united | model
    return united


class CaptionerEntry(
    RootModel[
        Annotated[SerializeAsAny[CrossEntropySettings], WrapValidator(_validate, json_schema_input_type=_any_entry())]
    ],
    Settings,
):
    """One captioner: its cross-entropy training, and the architecture that `architecture` names."""

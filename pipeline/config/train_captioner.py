"""Section `train_captioner`: one entry per captioner (section 1.4 of the paper).

An entry holds the training settings below and, beside them, the settings of the captioner that `architecture` names.
"""

from functools import cache
from typing import Annotated, Any, cast

from pydantic import Field, RootModel, SerializeAsAny, WrapValidator, create_model

from pipeline.config.base import Section, Settings
from pipeline.config.captioners import CAPTIONERS, DEFAULT_CAPTIONER, CaptionerSettings
from pipeline.config.feature_combination import (
    Align,
    FeatureStreamNames,
    Missing,
    align_field,
    missing_field,
    name_streams,
    streams_field,
)
from pipeline.config.mine_concepts import WordSplit
from pipeline.config.training import CaptionerTrainingSettings
from pipeline.errors import nearest

TEACHER = "arb"
"""Architecture of captioners that can teach others."""


class CaptionerFeatureSettings(CaptionerSettings):
    """The features that a captioner reads, and how several of them are combined."""

    features: FeatureStreamNames = streams_field()
    align: Align = align_field()
    missing: Missing = missing_field()


class VocabularySettings(Section):
    """A vocabulary of the captioner's own, counted from the sentences that it is trained on."""

    word_split: WordSplit = Field(
        "english",
        description="words: english: tokens of spaCy, punctuation among them; punctuation: separated by spaces and "
        "punctuation; spaces: by spaces only",
    )
    min_count: int = Field(1, ge=1, description="minimum number of occurrences of a word")


class CrossEntropySettings(CaptionerTrainingSettings, CaptionerFeatureSettings):
    """Cross-entropy training of one captioner; the settings of its architecture come beside these."""

    vocabulary: VocabularySettings | None = Field(
        None,
        description="a vocabulary of the captioner's own, counted from its training sentences (null: that of "
        "`mine_concepts`)",
    )
    max_words: int = Field(28, ge=1, description="maximum number of words per caption; longer sentences are truncated")
    weight_decay: float = Field(0.0, ge=0, description="weight decay (L2 penalty) of Adam")
    lr_decay: float = Field(1.0, gt=0, le=1, description="factor of the learning rate after each epoch (1: constant)")
    lr_min: float = Field(0.0, ge=0, description="smallest learning rate of the decay")
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
        return name_streams(self.features)

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

    def learning_rate(self, epoch: int) -> float:
        """Return the learning rate of an epoch, counted from 1."""
        return max(self.lr * self.lr_decay ** (epoch - 1), min(self.lr, self.lr_min))

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

"""Section `extract_features`: one entry per feature."""

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, RootModel, WrapValidator

from pipeline.config.base import Section, Settings
from pipeline.config.extractors import EXTRACTORS, PublishedFeatureSettings, ShardPassSettings


class EncoderFeatureSettings(ShardPassSettings):
    """Feature of an encoder that `pretrain_encoder` trained."""

    encoder: str = Field(description="entry of `pretrain_encoder`: the encoder of the feature")
    stride: int = Field(16, ge=1, description="frames at the clip's frame rate from one clip to the next")


class ImportedFeatureSettings(Section):
    """Feature that already exists in the files of another project (docs/exchange.md)."""

    file: str = Field(min_length=1, description="HDF5 file, or folder of HDF5, .npy or .pt files")
    suffix: str = Field("", description="text between the video id and `.npy` or `.pt` in the file names")
    key: str | None = Field(
        None,
        min_length=1,
        description="HDF5: dataset in each video's group; .pt: key of a dict; null: the only one there",
    )
    fps: float = Field(gt=0, description="frames per second within a clip, as used to make the feature")
    frames: int = Field(ge=1, description="frames of a clip, as used to make the feature")
    stride: int = Field(ge=1, description="frames from one clip to the next, as used to make the feature")
    max_rejected: float = Field(0.0, ge=0, le=1, description="share of a shard's videos whose arrays may be faulty")


FEATURE_KINDS: dict[str, type[Section]] = {
    "extractor": PublishedFeatureSettings,
    "file": ImportedFeatureSettings,
    "encoder": EncoderFeatureSettings,
}
"""The key that tells the kind of an entry -> its settings."""

if TYPE_CHECKING:
    AnyFeatureSettings = EncoderFeatureSettings | PublishedFeatureSettings | ImportedFeatureSettings
else:
    AnyFeatureSettings = functools.reduce(
        operator.or_, dict.fromkeys([*FEATURE_KINDS.values(), *(spec.settings for spec in EXTRACTORS.values())])
    )
"""Settings of any entry, those of every extractor among them."""


def _validate(entry: Any, _: Any) -> Any:
    """Validate an entry as the kind that its keys name; an entry without such a key is one of an encoder."""
    if not isinstance(entry, dict):
        return entry if isinstance(entry, Section) else EncoderFeatureSettings.model_validate(entry)
    model = next((model for key, model in FEATURE_KINDS.items() if key in entry), EncoderFeatureSettings)
    name = entry.get("extractor")
    if isinstance(name, str) and name in EXTRACTORS:
        return EXTRACTORS[name].settings.model_validate(entry)
    return model.model_validate(entry)


class FeatureEntry(RootModel[Annotated[AnyFeatureSettings, WrapValidator(_validate)]], Settings):
    """One feature: of an encoder trained here (`encoder`), of a published network (`extractor`), or a `file`."""

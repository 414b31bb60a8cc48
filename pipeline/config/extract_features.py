"""Section `extract_features`: one entry per feature."""

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, RootModel, WrapValidator, model_validator

from pipeline.config.base import Device, Section, Settings, device_field
from pipeline.config.extractors import EXTRACTORS, PublishedFeatureSettings, ShardPassSettings, SnippetSettings


class EncoderFeatureSettings(ShardPassSettings, SnippetSettings):
    """Feature of an encoder that `pretrain_encoder` trained."""

    encoder: str = Field(description="entry of `pretrain_encoder`: the encoder of the feature")
    stride: int = Field(
        16, ge=1, description="frames at the clip's frame rate from one clip to the next; not used with `snippets`"
    )


class ImportedFeatureSettings(Section):
    """Feature that already exists in the files of another project (docs/exchange.md)."""

    file: str = Field(min_length=1, description="HDF5 file, or folder of HDF5, .npy or .pt files")
    suffix: str = Field("", description="text between the video id and `.npy` or `.pt` in the file names")
    key: str | None = Field(
        None,
        min_length=1,
        description="HDF5: dataset in each video's group; .pt: key of a dict; null: the only one there",
    )
    fps: float | None = Field(None, gt=0, description="frames per second within a clip, as used to make the feature")
    frames: int | None = Field(None, ge=1, description="frames of a clip, as used to make the feature")
    stride: int | None = Field(None, ge=1, description="frames from one clip to the next, as used to make the feature")
    snippets: int | None = Field(
        None,
        ge=1,
        description="number of rows of every video, if they are those of equal snippets (60 for files of CLIP-DAP), "
        "whose times `fps`, `frames` and `stride` do not decide; null: rows at a constant rate",
    )
    max_rejected: float = Field(0.0, ge=0, le=1, description="share of a shard's videos whose arrays may be faulty")

    @model_validator(mode="after")
    def _states_a_grid(self) -> Self:
        rate = [name for name in ("fps", "frames", "stride") if getattr(self, name) is None]
        if self.snippets is None and rate:
            raise ValueError(f"{rate[0]} is missing: give fps, frames and stride of the feature's rows, or snippets")
        return self


class RecognizerFeatureSettings(Section):
    """Feature of a recognizer that `train_recognizer` trained: one vector per frame."""

    recognizer: str = Field(description="entry of `train_recognizer`: the recognizer of the feature")
    dataset: str | None = Field(
        None, description="dataset whose recognizer it is (transfer to other videos); null: this one"
    )
    batch_size: int = Field(8, ge=1, description="clips per forward pass")
    max_rejected: float = Field(
        0.0, ge=0, le=1, description="share of a shard's re-encoded videos that may fail to decode"
    )
    device: Device = device_field()


FEATURE_KINDS: dict[str, type[Section]] = {
    "extractor": PublishedFeatureSettings,
    "file": ImportedFeatureSettings,
    "recognizer": RecognizerFeatureSettings,
    "encoder": EncoderFeatureSettings,
}
"""The key that tells the kind of an entry -> its settings."""

if TYPE_CHECKING:
    AnyFeatureSettings = (
        EncoderFeatureSettings | PublishedFeatureSettings | ImportedFeatureSettings | RecognizerFeatureSettings
    )
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
    """One feature: of an `encoder` or `recognizer` trained here, of a published network (`extractor`), or a `file`."""

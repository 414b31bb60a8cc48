"""Section `extract_features`: one entry per feature."""

import functools
import operator
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, RootModel, WrapValidator

from pipeline.config.base import Section, Settings
from pipeline.config.extractors import EXTRACTORS, PublishedFeature, ShardExtraction


class EncoderFeature(ShardExtraction):
    """Feature of an encoder that `pretrain_encoder` trained."""

    encoder: str = Field(description="entry of `pretrain_encoder`: the encoder of the feature")
    stride: int = Field(16, ge=1, description="frames at the clip's frame rate from one clip to the next")


class ImportedFeature(Section):
    """Feature that already exists: TSP's h5 files, or a folder of .npy files (docs/exchange.md)."""

    file: str = Field(min_length=1, description="HDF5 file, folder of HDF5 files, or folder of .npy files")
    suffix: str = Field("", description="text between the video id and `.npy` in the file names")
    fps: float = Field(gt=0, description="frames per second within a clip, as used to make the feature")
    frames: int = Field(ge=1, description="frames of a clip, as used to make the feature")
    stride: int = Field(ge=1, description="frames from one clip to the next, as used to make the feature")


KINDS: dict[str, type[Section]] = {
    "extractor": PublishedFeature,
    "file": ImportedFeature,
    "encoder": EncoderFeature,
}
"""The key that tells the kind of an entry -> its settings."""

if TYPE_CHECKING:
    AnyFeature = EncoderFeature | PublishedFeature | ImportedFeature
else:
    AnyFeature = functools.reduce(
        operator.or_, dict.fromkeys([*KINDS.values(), *(spec.settings for spec in EXTRACTORS.values())])
    )
"""Settings of any entry, those of every extractor among them."""


def _validate(entry: Any, _: Any) -> Any:
    """Validate an entry as the kind that its keys name; an entry without such a key is one of an encoder."""
    if not isinstance(entry, dict):
        return entry if isinstance(entry, Section) else EncoderFeature.model_validate(entry)
    model = next((model for key, model in KINDS.items() if key in entry), EncoderFeature)
    name = entry.get("extractor")
    if isinstance(name, str) and name in EXTRACTORS:
        return EXTRACTORS[name].settings.model_validate(entry)
    return model.model_validate(entry)


class ExtractFeatures(RootModel[Annotated[AnyFeature, WrapValidator(_validate)]], Settings):
    """One feature: of an encoder trained here (`encoder`), of a published network (`extractor`), or a `file`."""

"""Section `extract_features`: one entry per feature."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, RootModel, Tag

from pipeline.config.base import MACHINE, Device, Section, Settings, device_field


class Extraction(Section):
    """How windows of videos are cut and looked at, whoever looks."""

    tail: Literal["drop", "pad"] = Field(
        "drop", description="the end of a video that no whole clip covers: left out, as TSP does, or padded to a clip"
    )
    batch_size: int = Field(32, ge=1, description="clips per forward pass, fewer where those take much memory")
    workers: int = Field(
        1,
        ge=1,
        description="threads that decode; a GPU is worth several, the cores of a CPU are not",
        json_schema_extra=MACHINE,
    )
    device: Device = device_field()
    timeout_s: float = Field(
        300.0,
        gt=0,
        description="a video of which the decoder gives nothing for so long is left out, seconds",
        json_schema_extra=MACHINE,
    )


class PublishedOptions(Section):
    """What may be chosen about published networks; each takes heed of what concerns it."""

    flow: Literal["raft", "tvl1"] = Field("raft", description="optical flow of i3d_flow and tsn_flow")
    vggish_relu: bool = Field(True, description="VGGish's last layer is rectified, as in most published features")
    vggish_pca: bool = Field(False, description="VGGish's features are whitened and quantised, as AudioSet's own")


class AnyVideos(Extraction, PublishedOptions):
    """What `--features` is told of videos that belong to no dataset."""

    stride: int = Field(16, ge=1, description="of our own encoders: frames, at the clip's rate, from clip to clip")


class _OfShard(Extraction):
    max_rejected: float = Field(
        0.0, ge=0, le=1, description="share of a shard's re-encoded videos that may turn out not to be decodable"
    )


class OwnFeature(_OfShard):
    """Clip features by an encoder that `pretrain_encoder` made."""

    encoder: str = Field(description="the entry of `pretrain_encoder` that makes them")
    stride: int = Field(16, ge=1, description="frames, at the clip's frame rate, from one clip to the next")


class PublishedFeature(_OfShard, PublishedOptions):
    """Features by a published network, with its own windows."""

    extractor: str = Field(description="name of the network in `pipeline.features.networks.registry`")
    weights: str = Field(min_length=1, description="file of its weights, a folder of such files, or the word random")
    stride: int | None = Field(
        None, ge=1, description="frames (sound: samples), at its own rate, from window to window; null: its own"
    )


class GivenFeature(Section):
    """Features that are there already: TSP's h5, or a folder of .npy (docs/exchange.md)."""

    file: str = Field(min_length=1, description="an HDF5 file, a folder of such, or a folder of .npy files")
    suffix: str = Field("", description="what stands between a video's id and .npy")
    fps: float = Field(gt=0, description="frames per second within a clip that they were made with")
    frames: int = Field(ge=1, description="frames of a clip that they were made with")
    stride: int = Field(ge=1, description="frames from one clip to the next that they were made with")


KINDS = ("extractor", "file", "encoder")
"""What an entry names says what it is; one that names nothing is asked for an encoder."""


def _kind(entry: Any) -> str:
    named = entry if isinstance(entry, dict) else getattr(entry, "__dict__", {})
    return next((kind for kind in KINDS if kind in named), KINDS[-1])


class ExtractFeatures(
    RootModel[
        Annotated[
            Annotated[OwnFeature, Tag("encoder")]
            | Annotated[PublishedFeature, Tag("extractor")]
            | Annotated[GivenFeature, Tag("file")],
            Discriminator(_kind),
        ]
    ],
    Settings,
):
    """One feature: of an own encoder (`encoder`), of a published network (`extractor`), or one given (`file`)."""

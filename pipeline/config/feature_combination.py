"""Settings for the combination of several features, which several sections share."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

Align = Literal["nearest", "linear"]
Missing = Literal["fail", "zeros"]


def align_field() -> Any:
    """Return the field of the setting `align`."""
    return Field(
        "nearest",
        description="how features on other time grids are aligned with the rows of the first feature: nearest row, or "
        "linear interpolation between the two rows around",
    )


def missing_field() -> Any:
    """Return the field of the setting `missing`."""
    return Field(
        "fail",
        description="what to do with a video that misses one of several features: fail, or fill with zeros and add one "
        "mask channel per feature (1: available, 0: filled)",
    )


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
"""Features of a network: a list, or named streams of lists."""


def streams_field() -> Any:
    """Return the field `features` of networks that may read several streams."""
    return Field(
        description="entries of `extract_features`: a list, concatenated along channels, or named streams of lists, "
        "each on its own time grid"
    )


def name_streams(features: list[str] | dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the features of each stream by its name; a plain list is one stream."""
    return features if isinstance(features, dict) else {DEFAULT_STREAM: features}

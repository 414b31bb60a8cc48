"""Settings for the combination of several features, which several sections share."""

from typing import Any, Literal

from pydantic import Field

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

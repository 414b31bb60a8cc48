"""How features are combined: words that several sections share."""

from typing import Any, Literal

from pydantic import Field

Align = Literal["nearest", "linear"]
Missing = Literal["fail", "zeros"]


def align_field() -> Any:
    """The setting `align`."""
    return Field(
        "nearest",
        description="what a row of the first feature is joined with where others lie on another time grid: the row "
        "whose middle is nearest, or the two around, interpolated (linear)",
    )


def missing_field() -> Any:
    """The setting `missing`."""
    return Field(
        "fail",
        description="where a video lacks one of several features: fail, or zeros, with one channel for each feature "
        "that says where it is there (1) or not (0)",
    )

"""Settings of a clip, which pretraining and feature extraction share."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section


class ClipGeometry(Section):
    """Geometry of a clip, a window of frames, in time and in space."""

    frames: int = Field(16, ge=1, description="frames per clip")
    fps: float = Field(15.0, gt=0, description="frames per second within a clip; divides the re-encoded frame rate")
    resize: Literal["stretch", "short_side"] = Field(
        "stretch",
        description="`stretch` resizes frames to height x width and ignores the aspect ratio (TSP's code); "
        "`short_side` resizes the short side to height (TSP's paper)",
    )
    height: int = Field(128, ge=8, description="height of the resized frame, or its short side [pixels]")
    width: int = Field(171, ge=8, description="width of the resized frame; unused with short_side [pixels]")
    crop: int = Field(112, ge=8, description="side of the square crop: random in training, else central [pixels]")

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop > min(self.resized(self.height, self.width)):
            raise ValueError(f"crop {self.crop} exceeds the frame of {self.height} x {self.width}")
        return self

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width, in pixels, that a frame of the given size has after resizing."""
        if self.resize == "stretch":
            return self.height, self.width
        # The long side is rounded down, as in torchvision.
        if height <= width:
            return self.height, self.height * width // height
        return self.height * height // width, self.height

    @property
    def seconds(self) -> float:
        """Duration of a clip in seconds (16/15 as published)."""
        return self.frames / self.fps

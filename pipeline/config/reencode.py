"""Section `reencode`: raw videos to constant frame rate (TSP, section 4; `fps=fps=30`)."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section


class Reencode(Section):
    """How every video is re-encoded before anything looks at it."""

    fps: int = Field(30, ge=1, le=120, description="constant frame rate, frames per second")
    crf: int = Field(23, ge=0, le=51, description="x264 quality, lower is better; 23 is ffmpeg's default, as TSP's")
    preset: Literal["ultrafast", "veryfast", "fast", "medium", "slow"] = Field(
        "medium", description="x264 effort; medium is ffmpeg's default, as TSP's"
    )
    gop: int = Field(250, ge=1, description="frames between key frames; short ones make seeking cheap, 250 is as TSP's")
    short_side: int | None = Field(
        None,
        ge=16,
        description="scale so that the shorter side has this many pixels; null keeps the size, as TSP",
    )
    encoder_threads: int = Field(
        1, ge=1, description="fixed here because the number of threads changes the decoded frames"
    )
    tolerance_s: float = Field(
        0.2,
        gt=0,
        description="picture or sound may come out this much shorter, or the picture longer, than they were, seconds "
        "(and one frame of the source); more is damage",
    )
    partial: Literal["keep", "reject"] = Field(
        "keep",
        description="damaged files: keep, and mark, what comes before the first error, if it is enough; or reject",
    )
    least_share: float = Field(
        0.5, ge=0, le=1, description="share of a damaged file's length that must decode without error for it to be kept"
    )
    least_s: float = Field(
        2.0, ge=0, description="seconds of a damaged file that must decode without error for it to be kept"
    )
    timeout_s: float = Field(600.0, gt=0, description="a video that takes longer is rejected, seconds")
    max_rejected: float = Field(
        0.05,
        ge=0,
        le=1,
        description="share of a shard's videos that may be rejected before the run fails; one always may",
    )

"""Section `reencode`: raw videos to a constant frame rate (Alwassel et al., TSP, 2021, section 4; `fps=fps=30`)."""

from typing import Literal

from pydantic import Field

from pipeline.config.base import Section


class Reencode(Section):
    """How raw videos are re-encoded before all other stages."""

    fps: int = Field(30, ge=1, le=120, description="constant frame rate (frames/s)")
    crf: int = Field(
        23, ge=0, le=51, description="x264 quality, lower is better; 23 is the default of ffmpeg, which TSP uses"
    )
    preset: Literal["ultrafast", "veryfast", "fast", "medium", "slow"] = Field(
        "medium", description="x264 effort; medium is the default of ffmpeg, which TSP uses"
    )
    gop: int = Field(
        250, ge=1, description="frames between key frames; fewer make seeking faster; 250 is the x264 default"
    )
    short_side: int | None = Field(
        None, ge=16, description="size of the shorter side after scaling (pixels); null keeps the size, as TSP does"
    )
    encoder_threads: int = Field(
        1, ge=1, description="x264 threads; a fixed number, because it changes the decoded frames"
    )
    partial: Literal["keep", "reject"] = Field(
        "keep",
        description="damaged files: keep the part before the first error if it is long enough, or reject the file",
    )
    least_share: float = Field(
        0.5, ge=0, le=1, description="smallest fraction of a damaged file that must decode without error to be kept"
    )
    least_s: float = Field(
        2.0, ge=0, description="smallest duration of a damaged file that must decode without error to be kept (seconds)"
    )
    timeout_s: float = Field(600.0, gt=0, description="time limit per video, after which it is rejected (seconds)")
    max_rejected: float = Field(
        0.05,
        ge=0,
        le=1,
        description="largest fraction of rejected videos in a shard before the run fails; one video is always allowed",
    )

"""Section `analyze_clips`: analyses of a captioner of clips."""

from typing import Annotated

from pydantic import Field, field_validator

from pipeline.config.base import Section
from pipeline.config.evaluate_clips import EvaluateClips
from pipeline.config.generate_captions import GenerateCaptions


class AnalyzeClips(Section):
    """Analyses of a trained captioner of clips (Yang et al., 2022, figures 4 to 8)."""

    TARGET = "results/{dataset}/clip_analyses/sa_tsp-0-test.json"

    neighbours: int = Field(3, ge=1, description="number of nearest clips of each clip")
    attributes: int = Field(10, ge=1, description="number of most probable attributes of each clip")
    attribute_map: bool = Field(
        False, description="map of the embeddings of attributes by t-SNE (needs the optional library scikit-learn)"
    )
    frames: list[Annotated[int, Field(ge=1)]] = Field(
        [],
        description="numbers of feature rows of each clip with which captions are scored, for captioners with "
        "`max_rows` ([]: none; the paper has 1 to 28)",
    )
    word_maps: str | None = Field(
        None,
        description="entry of `extract_features`: pictures show where its network sees each word of a clip's caption "
        "(Grad-CAM); the captioner must read the feature as a stream of its own (null: none)",
    )
    word_map_clips: int = Field(4, ge=1, description="number of clips of `word_maps`, the first of the split")
    word_map_frames: int = Field(8, ge=1, description="frames in a picture of `word_maps`, evenly spaced")
    decoding: GenerateCaptions = Field(
        GenerateCaptions(), description="decoding of captions for `frames` and `word_maps`"
    )
    scores: EvaluateClips = Field(EvaluateClips(), description="scores of captions for `frames`")

    @field_validator("frames")
    @classmethod
    def _frames_ascend(cls, frames: list[int]) -> list[int]:
        if sorted(set(frames)) != frames:
            raise ValueError("frames must ascend, each number once")
        return frames

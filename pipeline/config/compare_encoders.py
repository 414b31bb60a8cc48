"""Section `compare_encoders`: encoders beside one another, on several corpora of one kind."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.evaluate import Evaluate

SHUFFLED = "shuffled"
"""Name of the floor: features of the arm `floor`, but every video has another's."""


class Arm(Section):
    """One encoder of the comparison, known by its feature."""

    feature: str = Field(description="entry of `extract_features`")
    captioner: str = Field(description="entry of `train_captioner` that reads this feature alone")


class Pair(Section):
    """Two arms whose difference is told."""

    arm: str = Field(description="feature of an arm")
    than: str = Field(description="feature of an arm, or `shuffled`")


class CompareEncoders(Section):
    """What is compared, on which corpora, and how it is scored."""

    arms: list[Arm] = Field(
        [Arm(feature="sa_tsp", captioner="sa_tsp")], min_length=1, description="encoders to compare, with captioners"
    )
    floor: str = Field("sa_tsp", description="arm whose captioner is given other videos' features: `shuffled`")
    pairs: list[Pair] = Field([Pair(arm="sa_tsp", than=SHUFFLED)], description="differences that are told")
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [31, 32, 33],
        min_length=1,
        description="of the corpora `<dataset>_s<seed>`: drawn anew, with encoders begun anew; none that settings "
        "were settled on",
    )
    captioner_seed: int = Field(0, ge=0, description="of every captioner")
    split: Literal["val", "test"] = Field("test", description="whose videos are captioned")
    scores: Evaluate = Field(Evaluate(metrics=["METEOR", "CIDEr"]), description="how captions are scored")

    @model_validator(mode="after")
    def _arms_are_known(self) -> Self:
        features = [arm.feature for arm in self.arms]
        if SHUFFLED in features:
            raise ValueError(f"arms: {SHUFFLED} is the name of the floor")
        for name, values in (("arms", features), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names one twice: {', '.join(map(str, values))}")
        for key, named in (("floor", self.floor), *(("pairs", pair.arm) for pair in self.pairs)):
            if named not in features:
                raise ValueError(f"{key} names {named!r}; there are the arms {', '.join(features)}")
        for pair in self.pairs:
            if pair.than not in [*features, SHUFFLED]:
                raise ValueError(f"pairs names {pair.than!r}; there are {', '.join([*features, SHUFFLED])}")
        return self

"""Section `compare_localization`: the study of encoders on the tasks of localization, TSP's Tables 1 to 5."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.dataset_names import DATASET
from pipeline.config.evaluate import tious_field

Published = dict[str, dict[str, dict[str, float]]]
"""Task -> column -> metric -> published score in points of 100."""


class CaptionScore(Section):
    """Where the scores of the captions of a system are."""

    comparison: str = Field(description="entry of `compare_systems`")
    system: str = Field(description="a system of it")
    proposals: str = Field("learned", description="proposals that were captioned")


class LocalizationSystem(Section):
    """A row of the study: an encoder, and what was made from its features."""

    name: str = Field(description="name in the result")
    label: str | None = Field(None, description="title in tables and pictures; null: the name")
    detections: dict[str, str] = Field(
        {}, description="column -> entry of `localize_actions` whose mean average precision is computed"
    )
    proposals: dict[str, str] = Field(
        {}, description="column -> entry of `localize_actions` whose average recall is computed"
    )
    captions: dict[str, CaptionScore] = Field({}, description="column -> where METEOR of its captions is")
    feature: str | None = Field(None, description="entry of `extract_features` whose region contrast is computed")
    published: dict[str, Published] = Field(
        {},
        description="source -> task (detections, proposals, captions) -> column -> metric -> published score in points "
        "of 100",
    )

    @model_validator(mode="after")
    def _check_name(self) -> Self:
        if not re.fullmatch(DATASET, self.name):
            raise ValueError(f"system {self.name!r}: a name has small letters, digits and _, and begins with a letter")
        return self

    @property
    def title(self) -> str:
        """Name in tables and pictures."""
        return self.label or self.name

    @property
    def detection_entries(self) -> list[str]:
        """The entries of `localize_actions` that are scored, each once."""
        return list(dict.fromkeys([*self.detections.values(), *self.proposals.values()]))


class LocalizationPair(Section):
    """Two systems whose difference is reported."""

    system: str = Field(description="a system")
    compared_to: str = Field(description="another system, whose scores are subtracted")


class CompareLocalization(Section):
    """Which encoders are compared, and how they are scored."""

    TARGET = "results/{dataset}_localization.json"

    systems: list[LocalizationSystem] = Field(
        [LocalizationSystem(name="sa_tsp", detections={"gtad": "gtad"}, proposals={"gtad": "gtad"}, feature="sa_tsp")],
        min_length=1,
        description="the encoders, one row each",
    )
    pairs: list[LocalizationPair] = Field([], description="pairs of systems whose differences are reported")
    seeds: list[int] = Field(
        [], description="seeds of the synthetic datasets `<dataset>_s<seed>` to average over; empty: the dataset itself"
    )
    test_splits: list[Literal["enlarged", "val", "test"]] = Field(
        ["test"], min_length=1, description="splits of the corpus that are scored together"
    )
    tious: list[Annotated[float, Field(gt=0, le=1)]] = tious_field()
    max_avg_nr_proposals: float = Field(
        100.0, gt=0, description="average number of proposals per video that count in the recall"
    )
    bootstrap: int = Field(
        200, ge=0, description="draws of videos for the 95 % intervals; 0: no intervals (large data sets take minutes)"
    )

    @model_validator(mode="after")
    def _check_systems(self) -> Self:
        names = [system.name for system in self.systems]
        if len(set(names)) < len(names):
            raise ValueError(f"systems names one twice: {', '.join(names)}")
        for pair in self.pairs:
            for name in (pair.system, pair.compared_to):
                if name not in names:
                    raise ValueError(f"pairs: there is no system {name!r}, only {', '.join(names)}")
        return self

    def datasets(self, dataset: str) -> list[str]:
        """Return the datasets of the study: those of the seeds, or the dataset itself."""
        return [f"{dataset}_s{seed}" for seed in self.seeds] or [dataset]

    @property
    def comparisons(self) -> list[str]:
        """The entries of `compare_systems` that are read, each once."""
        scores = [score for system in self.systems for score in system.captions.values()]
        return list(dict.fromkeys(score.comparison for score in scores))

"""Section `climb_ladder`: the rungs of the paper's Table 2, each with what it adds to the one before."""

import re
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.evaluate import Evaluate
from pipeline.config.select_captions import Member

ENSEMBLE = "ensemble"
"""The ensemble of `select_captions`, in the names of files."""
NAME = re.compile("[a-z][a-z0-9_]*")


class Paper(Section):
    """METEOR that a paper reports for a rung, points of 100."""

    gt: float | None = Field(None, description="with ground-truth proposals")
    learned: float | None = Field(None, description="with learned proposals")


class Rung(Section):
    """One step of the ladder: a captioner, or several with the best of their captions."""

    name: str = Field(description="of the rung; files of captions selected for it begin with it")
    members: list[Member] = Field(
        [], description="one captioner, or several that are ensembled; none: those of `select_captions`"
    )
    paper: Paper = Field(Paper(), description="the paper's row")

    @model_validator(mode="after")
    def _name_fits(self) -> Self:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"name {self.name!r}: names are small letters, digits and _")
        if (self.name == ENSEMBLE) == bool(self.members):
            raise ValueError(f"rung {self.name!r}: {ENSEMBLE} is the rung without members, and no other")
        if len({member.label for member in self.members}) < len(self.members):
            raise ValueError(f"rung {self.name!r}: members names a captioner with the same seed twice")
        return self

    @property
    def label(self) -> str:
        """What its files of captions begin with: its only member's, or those selected from several."""
        return self.members[0].label if len(self.members) == 1 else self.name


class ClimbLadder(Section):
    """Which rungs, on which corpora, and how they are scored."""

    rungs: list[Rung] = Field(
        [
            Rung(name="single", members=[Member(captioner="sa_tsp", before_scst=True)]),
            Rung(name="scst", members=[Member(captioner="sa_tsp")], paper=Paper(gt=15.89, learned=11.42)),
            Rung(name=ENSEMBLE, paper=Paper(gt=16.19, learned=11.50)),
        ],
        min_length=1,
        description="from the lowest; differences are told of each to the one before",
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [],
        description="of the corpora `<dataset>_s<seed>`: drawn anew, encoders begun anew; none: the dataset itself",
    )
    split: Literal["val", "test"] = Field("test", description="whose videos are captioned")
    scores: Evaluate = Field(
        Evaluate(metrics=["METEOR", "CIDEr", "Bleu", "SODA_c"]), description="how captions are scored"
    )

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for name, values in (("rungs", [rung.name for rung in self.rungs]), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name} names one twice: {', '.join(map(str, values))}")
        return self

    def members(self, name: str) -> list[Member]:
        """Members of the rung of several captioners that files of captions are named after; none: there is none."""
        return next((rung.members for rung in self.rungs if rung.name == name and len(rung.members) > 1), [])

    def datasets(self, dataset: str) -> list[str]:
        """Names of the corpora."""
        return [f"{dataset}_s{seed}" for seed in self.seeds] or [dataset]

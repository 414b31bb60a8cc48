"""Section `compare_systems`: named comparisons of captioning systems on the same videos."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section
from pipeline.config.dataset_names import DATASET
from pipeline.config.evaluate import Evaluate
from pipeline.config.select_captions import EnsembleMember

ENSEMBLE = "ensemble"
"""System without members: the ensemble of the section `select_captions`."""

CONTROL = "control"
"""System that captions each video from the features of another video; also the name of the proposals in its files."""

GROUND_TRUTH = "gt"
"""Proposals that the control captions."""


def _duplicate(values: Iterable[Any]) -> Any:
    """Return the first value that occurs twice; None if all are distinct."""
    seen = set()
    for value in values:
        if value in seen:
            return value
        seen.add(value)
    return None


class System(Section):
    """One captioning system: a captioner, or several captioners of which one caption is selected for each proposal."""

    name: str = Field(description="name in the result; caption files of a system of several members begin with it")
    label: str | None = Field(None, description="title in tables and pictures; null: the name")
    members: list[EnsembleMember] = Field(
        [], description="one captioner, or several that form an ensemble; empty: the ensemble of `select_captions`"
    )
    feature: str | None = Field(
        None,
        description="entry of `extract_features` whose probes are shown with the scores; the captioner must read this "
        "feature alone",
    )
    paper: dict[str, dict[str, float]] = Field(
        {}, description="published scores in points of 100: {proposals: {metric: score}}"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not re.fullmatch(DATASET, self.name):
            raise ValueError(f"system {self.name!r}: a name has small letters, digits and _, and begins with a letter")
        if self.name == CONTROL:
            raise ValueError(f"system {CONTROL!r}: this name is reserved for the control; rename the system")
        if (self.name == ENSEMBLE) == bool(self.members):
            raise ValueError(
                f"system {self.name!r}: only the system {ENSEMBLE!r} has no members, and it must have none"
            )
        if duplicate := _duplicate(member.label for member in self.members):
            raise ValueError(f"system {self.name!r}: members lists {duplicate} twice")
        if self.feature is not None and len(self.members) != 1:
            raise ValueError(f"system {self.name!r}: a system with a feature has exactly one member")
        return self

    @property
    def title(self) -> str:
        """Name in tables and pictures."""
        return self.label or self.name

    @property
    def caption_prefix(self) -> str:
        """First part of the names of its caption files: the label of its only member, or the name of the ensemble."""
        return self.members[0].label if len(self.members) == 1 else self.name


class SystemPair(Section):
    """Two systems whose difference is reported."""

    system: str = Field(description="name of a system, or `control`")
    compared_to: str = Field(description="name of a system, or `control`")


class ComparisonEntry(Section):
    """One comparison: which systems are compared, on which corpora, and how they are scored."""

    TARGET = "results/{dataset}_ablation.json"

    systems: list[System] = Field(min_length=1, description="systems, in the order of the tables")
    pairs: list[SystemPair] | None = Field(
        None, description="pairs of systems whose difference is reported; null: each system with the one before it"
    )
    control: str | None = Field(
        None,
        description="system whose captioner also captions each video from the features of another video: `control`; "
        "null: no control",
    )
    seeds: list[Annotated[int, Field(ge=0)]] = Field(
        [],
        description="seeds of the synthetic datasets `<dataset>_s<seed>`, unused in tuning; empty: the dataset itself",
    )
    split: Literal["val", "test"] = Field("test", description="split whose videos are captioned")
    proposals: list[str] = Field([GROUND_TRUTH], min_length=1, description="entries of `propose_events` to caption")
    scores: Evaluate = Field(Evaluate(metrics=["METEOR", "CIDEr"]), description="how captions are scored")

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [system.name for system in self.systems]
        for key, values in (("systems", names), ("seeds", self.seeds), ("proposals", self.proposals)):
            if (duplicate := _duplicate(values)) is not None:
                raise ValueError(f"{key} lists {duplicate} twice")
        if self.control is not None and self.control not in names:
            raise ValueError(f"control = {self.control!r} is not a system; systems: {', '.join(names)}")
        if self.control is not None and GROUND_TRUTH not in self.proposals:
            raise ValueError(f"control = {self.control!r}: proposals must contain {GROUND_TRUTH!r}")
        for system in self.systems:
            if unknown := sorted(set(system.paper) - set(self.proposals)):
                raise ValueError(
                    f"system {system.name!r}: paper has scores of {unknown[0]!r}, which is not in proposals"
                )
        return self

    @model_validator(mode="after")
    def _check_pairs(self) -> Self:
        names = [system.name for system in self.systems] + ([CONTROL] if self.control else [])
        for pair in self.pairs or []:
            for name in (pair.system, pair.compared_to):
                if name not in names:
                    raise ValueError(f"pairs: {name!r} is not a system; systems: {', '.join(names)}")
        return self

    @property
    def reported_pairs(self) -> list[SystemPair]:
        """Pairs whose difference is reported."""
        if self.pairs is not None:
            return self.pairs
        return [SystemPair(system=system.name, compared_to=before.name) for before, system in pairwise(self.systems)]

    def datasets(self, dataset: str) -> list[str]:
        """Return the names of the datasets on which the systems are compared."""
        return [f"{dataset}_s{seed}" for seed in self.seeds] or [dataset]

    def caption_files(self) -> dict[str, dict[str, str]]:
        """Return the caption files of all systems, the control included: system -> proposals -> file name."""
        files = {
            system.name: {
                proposals: f"{system.caption_prefix}-{self.split}-{proposals}.json" for proposals in self.proposals
            }
            for system in self.systems
        }
        for system in self.systems:
            if system.name == self.control:
                files[CONTROL] = {GROUND_TRUTH: f"{system.caption_prefix}-{self.split}-{CONTROL}.json"}
        return files


def collect_ensembles(comparisons: Iterable[ComparisonEntry]) -> dict[str, list[EnsembleMember]]:
    """Return the members of all systems of several captioners, by the name that their caption files begin with.

    Raises:
        ValueError: two comparisons give the same name to different ensembles.
    """
    members: dict[str, list[EnsembleMember]] = {}
    for system in (system for comparison in comparisons for system in comparison.systems):
        if len(system.members) > 1 and members.setdefault(system.name, system.members) != system.members:
            raise ValueError(
                f"compare_systems: two systems {system.name!r} have different members but the same caption files; "
                "rename one"
            )
    return members


DEFAULT_COMPARISONS = {
    "pretraining": ComparisonEntry(
        systems=[System(name="sa_tsp", members=[EnsembleMember(captioner="sa_tsp")], feature="sa_tsp")],
        pairs=[SystemPair(system="sa_tsp", compared_to=CONTROL)],
        control="sa_tsp",
        seeds=[31, 32, 33],
    ),
    "ablation": ComparisonEntry(
        systems=[
            System(name="single", members=[EnsembleMember(captioner="sa_tsp", before_scst=True)]),
            System(
                name="scst",
                members=[EnsembleMember(captioner="sa_tsp")],
                paper={"gt": {"METEOR": 15.89}, "learned": {"METEOR": 11.42}},
            ),
            System(name=ENSEMBLE, paper={"gt": {"METEOR": 16.19}, "learned": {"METEOR": 11.50}}),
        ],
        proposals=["gt", "learned"],
        scores=Evaluate(metrics=["METEOR", "CIDEr", "Bleu", "SODA_c"]),
    ),
}
"""`pretraining`: what encoders add; `ablation`: Table 2 of SA-TSP."""

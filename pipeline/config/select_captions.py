"""Section `select_captions`: the ensemble (section 1.3 of the paper)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section


class EnsembleMember(Section):
    """One captioner of the ensemble."""

    captioner: str = Field(description="entry of `train_captioner`")
    seed: int = Field(0, ge=0, description="seed of its training")
    before_scst: bool = Field(
        False, description="use the weights after cross-entropy, before `finetune_scst`, whatever `self_critical` says"
    )

    @property
    def label(self) -> str:
        """Start of the names of its caption files: `sa_tsp-0`, or `sa_tsp-0-xe` before `finetune_scst`."""
        return f"{self.captioner}-{self.seed}{'-xe' if self.before_scst else ''}"


class SelectCaptions(Section):
    """Selection of one caption per proposal."""

    @model_validator(mode="after")
    def _has_no_duplicates(self) -> Self:
        if len({member.label for member in self.members}) < len(self.members):
            raise ValueError("members names a captioner with the same seed twice")
        if len(set(self.criteria)) < len(self.criteria):
            raise ValueError("criteria names one twice")
        return self

    members: list[EnsembleMember] = Field(min_length=1, description="captioners of the ensemble (M of them)")
    criteria: list[Literal["concepts", "idf"]] = Field(
        ["concepts", "idf"],
        min_length=1,
        description="criteria in order: most distinct concepts, largest IDF of a word; ties go to the earlier member",
    )
    explain: bool = Field(
        False,
        description="add to every caption what decided, and the captions of the other members, under `explained` "
        "(files become five times as large)",
    )

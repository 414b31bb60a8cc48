"""Section `select_captions`: the ensemble (section 1.3)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section


class Member(Section):
    """One captioner of the ensemble."""

    captioner: str = Field(description="an entry of `train_captioner`")
    seed: int = Field(0, ge=0, description="of its weights and its order of training")
    before_scst: bool = Field(
        False, description="whether it captions as it was before `finetune_scst`, by cross-entropy alone"
    )

    @property
    def label(self) -> str:
        """What its files of captions begin with: `sa_tsp-0`, or `sa_tsp-0-xe` for one before `finetune_scst`."""
        return f"{self.captioner}-{self.seed}{'-xe' if self.before_scst else ''}"


class SelectCaptions(Section):
    """Which caption stands for a proposal."""

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len({member.label for member in self.members}) < len(self.members):
            raise ValueError("members names a captioner with the same seed twice")
        if len(set(self.criteria)) < len(self.criteria):
            raise ValueError("criteria names one twice")
        return self

    members: list[Member] = Field(min_length=1, description="the captioners of the ensemble, M of them")
    criteria: list[Literal["concepts", "idf"]] = Field(
        ["concepts", "idf"],
        min_length=1,
        description="in this order: most distinct concepts, largest IDF of a word; then the earlier member",
    )
    explain: bool = Field(
        False,
        description="whether every caption tells what it won by and against, under `explained`; files grow fivefold",
    )

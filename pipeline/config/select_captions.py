"""Section `select_captions`: the ensemble (section 1.3)."""

from typing import Literal, Self

from pydantic import Field, model_validator

from pipeline.config.base import Section


class Member(Section):
    """One captioner of the ensemble."""

    captioner: str = Field(description="an entry of `train_captioner`")
    seed: int = Field(0, ge=0, description="of its weights and its order of training")


class SelectCaptions(Section):
    """Which caption stands for a proposal."""

    @model_validator(mode="after")
    def _members_differ(self) -> Self:
        if len({(member.captioner, member.seed) for member in self.members}) < len(self.members):
            raise ValueError("members names a captioner with the same seed twice")
        return self

    members: list[Member] = Field(min_length=1, description="the captioners of the ensemble, M of them")
    criteria: list[Literal["concepts", "idf"]] = Field(
        ["concepts", "idf"],
        min_length=1,
        description="in this order: most distinct concepts, largest IDF of a word; then the earlier member",
    )

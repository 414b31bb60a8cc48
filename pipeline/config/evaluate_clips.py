"""Section `evaluate_clips`: captions of clips, scored as COCO's evaluation server does."""

from typing import Any, Literal

from pydantic import Field, field_validator

from pipeline.config.base import MACHINE, Section
from pipeline.config.evaluate import Evaluate
from pipeline.config.metrics import MeteorSettings
from pipeline.config.readers import readers_of


class EvaluateClips(Section):
    """How captions of clips are scored."""

    TARGET = "results/{dataset}_test_captions.json"

    subset: Literal["training", "validation", "testing"] | None = Field(
        None,
        description="score only the clips of this subset, if a file of references holds several (MSR-VTT's merged "
        "file); null: all",
    )
    reader: str | None = Field(
        None, description="reader of the references, if the suffix of the file does not tell (docs/annotations.md)"
    )
    require_complete: bool = Field(False, description="refuse captions that lack a clip of the references")
    meteor: MeteorSettings = Field(MeteorSettings(), description="settings of METEOR")
    workers: int = Field(1, ge=1, description="threads of METEOR", json_schema_extra=MACHINE)
    timeout_s: float = Field(
        600.0, gt=0, description="a Java that is silent for this long is stopped [s]", json_schema_extra=MACHINE
    )

    @field_validator("reader")
    @classmethod
    def _is_reader_of_clips(cls, name: str | None) -> str | None:
        names = [spec.name for spec in readers_of("clips")]
        if name is not None and name not in names:
            raise ValueError(f"{name!r} is no reader of clips; readers of clips: {', '.join(names)}")
        return name

    @property
    def meteor_settings(self) -> Evaluate:
        """The settings that METEOR reads."""
        settings: dict[str, Any] = {"metrics": ["METEOR"], "metric_settings": {"METEOR": self.meteor.model_dump()}}
        return Evaluate.parse({**settings, "workers": self.workers, "timeout_s": self.timeout_s}, "evaluate_clips")

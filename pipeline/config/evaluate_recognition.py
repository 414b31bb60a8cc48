"""Section `evaluate_recognition`: scores of recognizers."""

from pydantic import Field

from pipeline.config.base import MACHINE, Section


class EvaluateRecognition(Section):
    """Scores of classes, groups and captions of clips."""

    TARGET = "results/{dataset}_test_recognition.json"

    recognizers: list[str] = Field([], description="entries of train_recognizer to score; []: all")
    cutoff: int = Field(
        5, ge=0, description="most likely captions: words that occur this often or less are unknown in exact match"
    )
    max_length: int = Field(14, ge=2, description="most likely captions: tokens that count, the final one included")
    workers: int = Field(1, ge=1, description="threads of METEOR", json_schema_extra=MACHINE)
    timeout_s: float = Field(
        600.0, gt=0, description="a Java that is silent for this long is stopped [s]", json_schema_extra=MACHINE
    )

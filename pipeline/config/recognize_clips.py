"""Section `recognize_clips`: classes and captions that recognizers give to clips."""

from pydantic import Field

from pipeline.config.base import MACHINE, Device, Section, device_field


class RecognizeClips(Section):
    """Prediction of classes and captions. Clip and batch size are those of the recognizer's training."""

    TARGET = "results/{dataset}_test_recognition.json"

    max_unreadable: float = Field(0.01, ge=0, le=1, description="largest share of videos that may be unreadable")
    workers: int = Field(6, ge=0, description="data-loader workers; 0 reads in this process", json_schema_extra=MACHINE)
    device: Device = device_field()

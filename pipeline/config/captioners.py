"""The captioners: one spec each. Config, bundles, documents and tests list the captioners from here.

A captioner is trained by `train_captioner` and `finetune_scst` and applied by `generate_captions`. To add one, write a
module with a class that derives from `pipeline.captioning.base.Captioner`, and add a settings model and a spec below.
"""

from collections.abc import Collection
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.config.base import Section
from pipeline.config.registry import Registry, Spec


class CaptionerSettings(Section):
    """Settings of a captioner's architecture; its weights are saved together with them.

    Attributes:
        max_streams: number of feature streams that the captioner can read; None: any number.
    """

    max_streams: ClassVar[int | None] = None

    architecture: str

    def check_streams(self, names: Collection[str]) -> None:
        """Check the number of feature streams.

        Raises:
            ValueError: the captioner cannot read so many streams.
        """
        if self.max_streams is not None and len(names) > self.max_streams:
            raise ValueError(
                f"captioner {self.architecture} reads {self.max_streams} stream of features, not {len(names)} "
                f"({', '.join(names)}); give one list: the features are then concatenated"
            )


class EventLstmSettings(CaptionerSettings):
    """The event captioner of Wang et al. (2020): a sentence LSTM over the events, a word LSTM for each caption."""

    max_streams: ClassVar[int | None] = 1

    architecture: Literal["event_lstm"] = Field("event_lstm", description="captioner: an entry of the registry")
    hidden: int = Field(512, ge=1, description="size of all hidden layers")
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout on events, on related events and before the output layer"
    )
    relations: bool = Field(True, description="relate the events of a video by self-attention (false: ablation)")
    context: bool = Field(
        True,
        description="condition each caption on the earlier captions of the video (false: ablation; all events are "
        "captioned at once)",
    )


DEFAULT_CAPTIONER = "event_lstm"
"""The captioner of an entry that names none."""

CAPTIONERS = Registry(
    "captioner",
    [
        Spec(
            name="event_lstm",
            description="event captioner (Wang et al., 2020): event self-attention, a sentence LSTM and a word LSTM "
            "with attention over the event's features",
            settings=EventLstmSettings,
            build="pipeline.captioning.event_lstm:EventLstmCaptioner",
        ),
    ],
)

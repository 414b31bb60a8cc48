"""The captioners: one spec each. Config, bundles, documents and tests list the captioners from here.

A captioner is trained by `train_captioner` and `finetune_scst` and applied by `generate_captions`. To add one, write a
module with a class that derives from `pipeline.captioning.base.Captioner`, and add a settings model and a spec below.
"""

from collections.abc import Collection
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.config.attributes import AttributeSettings
from pipeline.config.base import Section
from pipeline.config.bimodal import VISUAL_AND_AUDIO, BiModalSettings
from pipeline.config.registry import Registry, Spec


class CaptionerSettings(Section):
    """Settings of a captioner's architecture; its weights are saved together with them.

    Attributes:
        max_streams: number of feature streams that the captioner can read; None: any number.
    """

    max_streams: ClassVar[int | None] = None

    architecture: str

    @property
    def num_attributes(self) -> int:
        """Number of attributes to learn beside the captions; 0: none."""
        return 0

    @property
    def teacher_name(self) -> str | None:
        """The entry of `train_captioner` whose weights the training reads; None: there is none."""
        return None

    @property
    def input_files(self) -> list[str]:
        """Files that training reads, beside features and vocabulary."""
        return []

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


class AttributeCaptionerSettings(CaptionerSettings):
    """Settings of a captioner that can learn to predict attributes too."""

    attributes: AttributeSettings | None = Field(
        None, description="dual attribute prediction, a second task in training (null: captions alone)"
    )

    @property
    def num_attributes(self) -> int:
        """Number of attributes to learn; 0: none."""
        return self.attributes.count if self.attributes else 0


class EventLstmSettings(AttributeCaptionerSettings):
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


class BmtSettings(BiModalSettings, CaptionerSettings):
    """The bi-modal transformer (Iashin and Rahtu, 2020): two streams of features, which attend to each other."""

    architecture: Literal["bmt"] = Field("bmt", description="captioner: an entry of the registry")
    embedding: int = Field(
        300, ge=1, description="size of an embedded word; that of the word vectors, if there are any"
    )
    label_smoothing: float = Field(
        0.7, ge=0, lt=1, description="part of the target probability that the other words share (0: cross-entropy)"
    )
    word_vectors: str | None = Field(
        None,
        min_length=1,
        description="text file of word vectors in GloVe's format, which are not trained (null: the embedding is "
        "learned)",
    )

    @property
    def input_files(self) -> list[str]:
        """The file of word vectors, if there is one."""
        return [] if self.word_vectors is None else [self.word_vectors]

    def check_streams(self, names: Collection[str]) -> None:
        """Check that there is a visual and an audio stream."""
        if set(names) != VISUAL_AND_AUDIO:
            raise ValueError(
                f"captioner bmt reads two streams of features, visual and audio, not {', '.join(names)}; "
                "give features: {visual: [...], audio: [...]}"
            )


class ClipCaptionerSettings(AttributeCaptionerSettings):
    """Settings that all captioners of clips share."""

    hidden: int = Field(512, ge=1, description="size of encoded feature rows, words and all layers' outputs")
    max_rows: int | None = Field(
        None,
        ge=1,
        description="of an event with more feature rows, read those in the middles of so many equal parts (28 of 60 as "
        "published); null: all",
    )
    dropout: float = Field(0.5, ge=0, lt=1, description="dropout on encoded rows, words and layers' outputs")
    loss_per: Literal["caption", "word"] = Field(
        "caption",
        description="the cross-entropy is the mean over captions of its sum over the words, as published, or the mean "
        "over words; it decides how much weight decay and attributes weigh",
    )


class ClipTransformerSettings(ClipCaptionerSettings):
    """Settings that all Transformer captioners of clips share; the defaults are the published ones for MSR-VTT."""

    heads: int = Field(8, ge=1, description="attention heads; they divide `hidden`")
    feedforward: int | None = Field(
        None, ge=1, description="size of the hidden layer of feed-forward networks (null: four times `hidden`)"
    )
    layers: int = Field(1, ge=1, description="layers of the decoder")
    attention_dropout: float = Field(0.1, ge=0, lt=1, description="dropout on attention weights")

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> Self:
        if self.hidden % self.heads:
            raise ValueError(f"hidden {self.hidden} is no multiple of heads {self.heads}")
        return self


class TransformerSettings(ClipTransformerSettings):
    """The Transformer of CLIP-DAP (Yang et al., 2022); published for VATEX: hidden 1024, heads 16."""

    architecture: Literal["transformer"] = Field("transformer", description="captioner: an entry of the registry")


class ArbSettings(ClipTransformerSettings):
    """The autoregressive captioner ARB (Yang et al., 2021): the Transformer with highway layers in the encoder."""

    architecture: Literal["arb"] = Field("arb", description="captioner: an entry of the registry")


class NacfSettings(ClipTransformerSettings):
    """The captioner NACF (Yang et al., 2021): it predicts all words at once, and refines them in a few passes."""

    architecture: Literal["nacf"] = Field("nacf", description="captioner: an entry of the registry")
    teacher: str | None = Field(
        None,
        min_length=1,
        description="entry of `train_captioner` with the architecture arb and the same features, vocabulary and sizes: "
        "training starts from its weights, and it selects the length of a caption (null: the captioner does)",
    )
    template: bool = Field(True, description="predict the visual words first (coarse to fine)")
    iterations: int = Field(5, ge=1, description="passes that predict words, after the template")
    lengths: int = Field(6, ge=1, description="caption lengths to try, whatever the width of the beam")
    length_power: float = Field(
        1.0, ge=0, description="exponent of the length in greedy decoding; 1.35 in the first publication for MSR-VTT"
    )
    min_words: int = Field(4, ge=1, description="smallest number of words of a caption")
    refinement: Literal["mask_predict", "left_to_right", "easy_first"] = Field(
        "mask_predict",
        description="words that are predicted after the template: the least certain ones in each pass; or, whatever "
        "`iterations` says, each open position once, from left to right or the most certain one first",
    )
    teacher_masks: bool = Field(False, description="the teacher helps to choose the words to predict again")
    visual_weight: float = Field(0.8, ge=0, description="weight of the loss of visual words (0: none)")
    tagger: Literal["en_core_web_sm", "lexicon"] = Field(
        "lexicon", description="tagger that finds the visual words, as in `mine_concepts`"
    )
    attribute_words: Literal["caption", "masked_caption"] = Field(
        "caption",
        description="words that attributes are predicted from: those of the caption, or those of the caption with "
        "masks, of which only the masked positions count, as in the published code",
    )

    @model_validator(mode="after")
    def _template_is_filled(self) -> Self:
        if self.refinement != "mask_predict" and not self.template:
            raise ValueError(f"refinement: {self.refinement} fills a template; set template: true")
        return self

    @property
    def teacher_name(self) -> str | None:
        """The teacher, if the settings name one."""
        return self.teacher


class TopDownSettings(ClipCaptionerSettings):
    """The LSTM captioner TopDown (Anderson et al., 2018)."""

    architecture: Literal["topdown"] = Field("topdown", description="captioner: an entry of the registry")


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
        Spec(
            name="bmt",
            description="bi-modal transformer (Iashin and Rahtu, 2020): visual and audio rows of an event attend to "
            "each other, words attend to both",
            settings=BmtSettings,
            build="pipeline.captioning.bmt.captioner:BmtCaptioner",
        ),
        Spec(
            name="transformer",
            description="Transformer of CLIP-DAP (Yang et al., 2022): each event by itself, any number of streams",
            settings=TransformerSettings,
            build="pipeline.captioning.clip.autoregressive:TransformerCaptioner",
        ),
        Spec(
            name="topdown",
            description="TopDown (Anderson et al., 2018): an attention LSTM and a language LSTM, each event by itself",
            settings=TopDownSettings,
            build="pipeline.captioning.clip.autoregressive:TopDownCaptioner",
        ),
        Spec(
            name="arb",
            description="ARB (Yang et al., 2021): a Transformer with highway layers in the encoder; NACF's teacher",
            settings=ArbSettings,
            build="pipeline.captioning.clip.autoregressive:TransformerCaptioner",
        ),
        Spec(
            name="nacf",
            description="NACF (Yang et al., 2021): all words at once, refined in a few passes; no scheduled sampling",
            settings=NacfSettings,
            build="pipeline.captioning.clip.nacf:NacfCaptioner",
        ),
    ],
)

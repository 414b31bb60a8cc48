"""Settings of dual attribute prediction: the block `attributes` of a captioner (CLIP-DAP, Yang et al., 2022)."""

from typing import Self

from pydantic import Field, model_validator

from pipeline.config.base import Section


class AttributeSettings(Section):
    """A second task of a captioner: predict the frequent words of an event's captions from features and from words."""

    count: int = Field(
        500,
        ge=1,
        description="number of attributes (K): the most frequent words that are no stop words; fewer if "
        "the training captions have fewer",
    )
    visual: bool = Field(True, description="predict attributes from the encoded features (VAP)")
    text: bool = Field(True, description="predict attributes from the words of the caption (TAP)")
    visual_weight: float = Field(1.0, gt=0, description="weight of the loss from features")
    text_weight: float = Field(1.0, gt=0, description="weight of the loss from words")
    regularizer: float = Field(1.0, ge=0, description="weight of the regulariser of the mean probability")
    sparse_sampling: bool = Field(
        True, description="in training, predict from a random share of the encoded feature rows"
    )
    shared: bool = Field(False, description="one head for features and words; needs both, of one size")
    dropout: float = Field(
        0.5, ge=0, lt=1, description="dropout on words that get positions for this task (captioners of LSTMs)"
    )

    @model_validator(mode="after")
    def _has_sides(self) -> Self:
        if not (self.visual or self.text):
            raise ValueError("neither visual nor text: leave `attributes` out (null) to train without them")
        if self.shared and not (self.visual and self.text):
            raise ValueError("shared: true needs both visual and text")
        return self

"""A captioner that can carry dual attribute prediction."""

from abc import abstractmethod

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.captioning.attributes.prediction import AttributePredictor
from pipeline.captioning.base import Captioner, Memory
from pipeline.captioning.instances import Instances
from pipeline.captioning.streams import EventBatch
from pipeline.captioning.targets import CaptionTargets
from pipeline.config.captioners import AttributeCaptionerSettings
from pipeline.errors import PipelineError


class AttributeCaptioner(Captioner):
    """A captioner whose encoder and words can learn to predict attributes too.

    A subclass calls `add_attributes` at the end of its `__init__`, after all other weights are drawn.
    """

    settings: AttributeCaptionerSettings
    attributes: AttributePredictor | None

    def add_attributes(self, visual: int, text: int, positions: int | None = None) -> None:
        """Build the heads, if the settings ask for them.

        Args:
            visual: size of the instances of features.
            text: size of the instances of words.
            positions: see `AttributePredictor`.
        """
        self.attributes = None
        if self.settings.attributes is not None:
            dims = {"visual": visual, "text": text}
            self.attributes = AttributePredictor(self.settings.attributes, self.sizes.attributes, dims, positions)

    @abstractmethod
    def visual_instances(self, memory: Memory) -> Instances:
        """Return the encoded feature rows of each event, of what `encode` returned."""

    @abstractmethod
    def forward_with_instances(
        self, batch: EventBatch, tokens: Int64[Tensor, "events words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "events words ids"], Instances, Instances]:
        """Do as `forward`, and return the instances that it used.

        Returns:
            the log-probabilities; the encoded feature rows; the embedded words before each token, BOS first.
        """

    def forward(
        self, batch: EventBatch, tokens: Int64[Tensor, "events words"], sampling_prob: float = 0.0
    ) -> Float[Tensor, "events words ids"]:
        """Return log-probabilities of every token of given captions."""
        return self.forward_with_instances(batch, tokens, sampling_prob)[0]

    def compute_losses(
        self, batch: EventBatch, targets: CaptionTargets, sampling_prob: float = 0.0
    ) -> dict[str, Tensor]:
        """Compute the loss of the captions, and those of the attributes."""
        log_probs, visual, text = self.forward_with_instances(batch, targets.tokens, sampling_prob)
        losses = {"caption": self.compute_loss(log_probs, targets.tokens)}
        if self.attributes is not None:
            losses |= self.attributes.compute_losses(visual, text, targets.attributes)
        return losses

    @torch.no_grad()
    def predict_attributes(self, batch: EventBatch) -> Float[Tensor, "events attributes"]:
        """Predict the attributes of each event from its features, in the captioner's present mode.

        Raises:
            PipelineError: the captioner was trained without attributes, or from words alone.
        """
        if self.attributes is None or not self.attributes.settings.visual:
            raise PipelineError(
                f"captioner {self.settings.architecture} predicts no attributes from features; train it with "
                "attributes: {visual: true}"
            )
        return self.attributes.predict("visual", self.visual_instances(self.encode(batch))).probabilities

"""The base of all clip captioners: the encoder, and the loss that is summed over the words of a caption."""

from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.captioning.attributes.captioner import AttributeCaptioner
from pipeline.captioning.base import CaptionerSizes
from pipeline.captioning.captions import token_mask
from pipeline.captioning.clip.encoder import ClipEncoder, StreamLayers
from pipeline.captioning.instances import Instances
from pipeline.captioning.streams import EventBatch, gather_event_rows
from pipeline.config.captioners import ClipCaptionerSettings
from pipeline.datasets.vocabulary import UNK

STREAM_LAYERS: dict[str, StreamLayers] = {"arb": "highway", "nacf": "highway"}
"""Layers of the encoder by captioner; the others have layer normalisation."""


class ClipCaptioner(AttributeCaptioner):
    """A captioner that encodes each event by itself, from all feature rows of all streams.

    Args:
        sizes: sizes that come from the data; any number of streams.
        settings: settings of the architecture.
    """

    settings: ClipCaptionerSettings

    def __init__(self, sizes: CaptionerSizes, settings: ClipCaptionerSettings) -> None:
        super().__init__(sizes, settings)
        layers = STREAM_LAYERS.get(settings.architecture, "layer_norm")
        self.encoder = ClipEncoder(sizes.streams, settings.hidden, settings.dropout, layers)

    @property
    def num_positions(self) -> int:
        """Largest number of tokens of a caption, BOS and EOS among them."""
        return self.sizes.max_words + 2

    def encode(self, batch: EventBatch) -> Instances:
        """Encode the feature rows of each event."""
        rows = {}
        for name in self.sizes.streams:
            features, event_rows = self.normalized(batch, name), batch.streams[name].event_rows
            limit = self.settings.max_rows
            rows[name] = Instances(*gather_event_rows(features, batch.sequence_index, event_rows, limit))
        encoded: Instances = self.encoder(rows)
        return encoded

    def visual_instances(self, memory: Instances) -> Instances:
        """Return the encoded feature rows themselves."""
        return memory

    def compute_loss(
        self, log_probs: Float[Tensor, "events words ids"], tokens: Int64[Tensor, "events words"]
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy: per caption as published, or per word; unknown words do not count."""
        scored = token_mask(tokens) & (tokens != UNK)
        count = len(tokens) if self.settings.loss_per == "caption" else int(scored.sum())
        return summed_cross_entropy(log_probs, tokens, scored) / count


def summed_cross_entropy(
    log_probs: Float[Tensor, "events words ids"], targets: Int64[Tensor, "events words"], scored: Tensor
) -> Float[Tensor, ""]:
    """Return the negative log-probability of targets, summed over the positions that are scored."""
    of_targets = log_probs.gather(2, targets[..., None]).squeeze(2)
    return -of_targets[scored].sum()

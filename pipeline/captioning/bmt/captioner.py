"""The bi-modal transformer as a captioner (Iashin and Rahtu, 2020, arXiv 2005.08271).

An event is its rows of audio and of visual features. `pipeline.bimodal.encoder` relates them, and
`pipeline.captioning.bmt.decoder` writes the caption. Events do not depend on other events of their video.
docs/captioning.md lists what differs from the published code.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from pipeline.bimodal.attention import encode_positions, initialize_matrices
from pipeline.bimodal.encoder import STREAMS, BiModalEncoder, TransformerSizes
from pipeline.captioning.base import Captioner, CaptionerSizes, WordVectorsNote, select_rows, shift_right
from pipeline.captioning.bmt.decoder import BiModalDecoder, DecoderState, causal_mask
from pipeline.captioning.bmt.word_vectors import read_word_vectors
from pipeline.captioning.captions import label_smoothing_loss
from pipeline.captioning.streams import EventBatch, gather_event_rows
from pipeline.config.captioners import BmtSettings
from pipeline.datasets.vocabulary import NUM_SPECIAL


@dataclass(frozen=True)
class EncodedRows:
    """The encoded rows of the events of a batch.

    Attributes:
        streams: rows of each stream.
        masks: true for the rows of an event, false for padding, for each stream.
    """

    streams: dict[str, Float[Tensor, "events _ _"]]
    masks: dict[str, Bool[Tensor, "events _"]]


class BmtCaptioner(Captioner):
    """The captioner: 50,495,153 trained parameters as published, with 10,173 ids and word vectors of a file.

    Args:
        sizes: sizes that come from the data; the two streams of `STREAMS`.
        settings: settings of the architecture. If they name word vectors, the embedding is not trained;
            `initialize_words` reads it, or it is loaded with the other weights.
    """

    settings: BmtSettings

    def __init__(self, sizes: CaptionerSizes, settings: BmtSettings) -> None:
        super().__init__(sizes, settings)
        layers = TransformerSizes(settings.hidden, settings.heads, settings.layers, settings.dropout)
        self.embedding = nn.Embedding(sizes.vocabulary, settings.embedding)
        self.encoder = BiModalEncoder(sizes.streams, layers)
        self.decoder = BiModalDecoder(settings.embedding, sizes.streams, layers)
        self.output = nn.Linear(settings.embedding, sizes.vocabulary)
        self.dropout = nn.Dropout(settings.dropout)
        initialize_matrices(self)
        self.embedding.requires_grad_(settings.word_vectors is None)

    def initialize_words(self, words: Sequence[str]) -> WordVectorsNote:
        """Set the embedding to the word vectors of the settings' file, if they name one; zeros for other words."""
        if self.settings.word_vectors is None:
            return "none: the embedding is learned"
        path = Path(self.settings.word_vectors)
        vectors = read_word_vectors(path, words, self.settings.embedding)
        with torch.no_grad():
            self.embedding.weight.zero_()
            self.embedding.weight[NUM_SPECIAL:] = vectors.values
        # The captioner does not need the file again: of its path only the name is saved.
        self.settings = self.settings.model_copy(update={"word_vectors": path.name})
        return {"file": path.name, "sha256": vectors.sha256, "words": f"{vectors.num_words} of {len(words)}"}

    def encode(self, batch: EventBatch) -> EncodedRows:
        """Encode the rows of each event."""
        streams, masks = {}, {}
        for name in STREAMS:
            event_rows = batch.streams[name].event_rows
            streams[name], masks[name] = gather_event_rows(
                self.normalized(batch, name), batch.sequence_index, event_rows
            )
        return EncodedRows(self.encoder(streams, masks), masks)

    def start(self, memory: EncodedRows) -> DecoderState:
        """Return the state before the first token."""
        return self.decoder.start(memory.streams, memory.masks)

    def step(
        self, state: DecoderState, tokens: Int64[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "rows ids"], DecoderState]:
        """Read one token for each row."""
        logits, state = self._read(state, tokens[:, None])
        return logits[:, 0], state

    def reorder(self, state: DecoderState, indices: Int64[Tensor, " rows"]) -> DecoderState:
        """Return the rows of a state at `indices`; the hypotheses of an event share its rows."""
        return DecoderState(state.memory, select_rows(state.past, indices))

    def teacher_force(
        self, state: DecoderState, tokens: Int64[Tensor, "rows words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "rows words ids"], DecoderState]:
        """Read given captions: all positions at once, unless words are sampled on the way."""
        if sampling_prob:
            return super().teacher_force(state, tokens, sampling_prob)
        return self._read(state, shift_right(tokens))

    def compute_loss(
        self, log_probs: Float[Tensor, "events words ids"], tokens: Int64[Tensor, "events words"]
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy with label smoothing."""
        return label_smoothing_loss(log_probs, tokens, self.settings.label_smoothing)

    def embed(self, tokens: Int64[Tensor, "rows words"], num_read: int) -> Float[Tensor, "rows words embedding"]:
        """Embed words at the positions after `num_read` earlier words."""
        embedded: Tensor = self.embedding(tokens) * math.sqrt(self.settings.embedding)
        positions = encode_positions(num_read, tokens.shape[1], self.settings.embedding, tokens.device)
        dropped: Tensor = self.dropout(embedded + positions)
        return dropped

    def _read(
        self, state: DecoderState, tokens: Int64[Tensor, "rows words"]
    ) -> tuple[Float[Tensor, "rows words ids"], DecoderState]:
        """Read the next tokens of each row; return the logits of the token after each of them."""
        mask = causal_mask(state.num_words, tokens.shape[1], tokens.device)
        decoded, state = self.decoder(state, self.embed(tokens, state.num_words), mask)
        return self.output(decoded), state

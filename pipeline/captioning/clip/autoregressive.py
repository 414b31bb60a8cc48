"""Clip captioners that write word after word: the Transformer of CLIP-DAP and ARB, and TopDown.

CLIP-DAP: Yang et al., 2022, section 3. ARB is the autoregressive captioner of Yang et al., 2021, as CLIP-DAP built it
again: the same decoder, an encoder with highway layers. TopDown: Anderson et al., 2018.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pipeline.captioning.base import Captioner, CaptionerSizes, select_rows, shift_right, trim_padding
from pipeline.captioning.captions import caption_log_probs, draw_replacements, token_mask
from pipeline.captioning.clip.captioner import ClipCaptioner
from pipeline.captioning.clip.encoder import init_weights
from pipeline.captioning.clip.topdown import TopDownDecoder, TopDownState
from pipeline.captioning.clip.transformer import DecoderSizes, DecoderState, TransformerDecoder
from pipeline.captioning.instances import Instances
from pipeline.captioning.streams import EventBatch
from pipeline.config.captioners import ClipTransformerSettings, TopDownSettings


def decoder_sizes(settings: ClipTransformerSettings, positions: int) -> DecoderSizes:
    """Return the sizes of the decoder that the settings describe."""
    return DecoderSizes(
        hidden=settings.hidden,
        heads=settings.heads,
        feedforward=settings.feedforward or 4 * settings.hidden,
        layers=settings.layers,
        positions=positions,
        dropout=settings.dropout,
        attention_dropout=settings.attention_dropout,
    )


class TransformerCaptioner(ClipCaptioner):
    """A Transformer decoder over the encoded feature rows; `transformer` and `arb` differ in their encoder.

    Args:
        sizes: sizes that come from the data; any number of streams.
        settings: settings of the architecture.
    """

    settings: ClipTransformerSettings

    def __init__(self, sizes: CaptionerSizes, settings: ClipTransformerSettings) -> None:
        super().__init__(sizes, settings)
        self.decoder = TransformerDecoder(decoder_sizes(settings, self.num_positions), sizes.vocabulary)
        self.output = nn.Linear(settings.hidden, sizes.vocabulary, bias=False)
        self.apply(init_weights)
        self.add_attributes(settings.hidden, settings.hidden)

    def start(self, memory: Instances) -> DecoderState:
        """Return the state before the first token."""
        return self.decoder.start(memory)

    def step(
        self, state: DecoderState, tokens: Int64[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "rows ids"], DecoderState]:
        """Read one token for each row; keys and values of the earlier tokens come from the state."""
        hidden, state = self.decoder.read(state, self.decoder.embed(tokens[:, None], state.num_words))
        return self.output(hidden[:, 0]), state

    def reorder(self, state: DecoderState, indices: Int64[Tensor, " rows"]) -> DecoderState:
        """Return the rows of a state at `indices`; the hypotheses of an event share what they attend to."""
        return DecoderState(state.instances, state.instance_mask, select_rows(state.words, indices))

    def teacher_force(
        self, state: DecoderState, tokens: Int64[Tensor, "rows words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "rows words ids"], DecoderState]:
        """Read given captions, all positions at once; with sampling, position after position."""
        if sampling_prob:
            return super().teacher_force(state, tokens, sampling_prob)
        hidden, state = self.decoder.read(state, self.decoder.embed(shift_right(tokens), state.num_words))
        return self.output(hidden), state

    def forward_with_instances(
        self, batch: EventBatch, tokens: Int64[Tensor, "events words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "events words ids"], Instances, Instances]:
        """Return log-probabilities of given captions, the encoded rows, and the embedded words."""
        memory, captions = self.encode(batch), trim_padding(tokens)
        state, words = self.start(memory), self.decoder.embed(shift_right(captions))
        if sampling_prob:
            logits, _ = Captioner.teacher_force(self, state, captions, sampling_prob)
        else:
            logits = self.output(self.decoder.read(state, words)[0])
        return pad_log_probs(logits, tokens.shape[1]), memory, Instances(words, token_mask(captions))


class TopDownCaptioner(ClipCaptioner):
    """The two LSTMs of TopDown over the encoded feature rows.

    Args:
        sizes: sizes that come from the data; any number of streams.
        settings: settings of the architecture.
    """

    settings: TopDownSettings

    def __init__(self, sizes: CaptionerSizes, settings: TopDownSettings) -> None:
        super().__init__(sizes, settings)
        self.decoder = TopDownDecoder(settings.hidden, sizes.vocabulary, settings.dropout)
        self.output = nn.Linear(settings.hidden, sizes.vocabulary, bias=False)
        self.apply(init_weights)
        self.add_attributes(settings.hidden, settings.hidden, self.num_positions)

    def start(self, memory: Instances) -> TopDownState:
        """Return the state before the first token."""
        return self.decoder.start(memory)

    def step(
        self, state: TopDownState, tokens: Int64[Tensor, " rows"]
    ) -> tuple[Float[Tensor, "rows ids"], TopDownState]:
        """Read one token for each row."""
        hidden, state = self.decoder(state, tokens)
        return self.output(hidden), state

    def reorder(self, state: TopDownState, indices: Int64[Tensor, " rows"]) -> TopDownState:
        """Return the rows of a state at `indices`; the hypotheses of an event share what they attend to."""
        attention, language = select_rows((state.attention, state.language), indices)
        return TopDownState(state.memory, attention, language)

    def teacher_force(
        self, state: TopDownState, tokens: Int64[Tensor, "rows words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "rows words ids"], TopDownState]:
        """Read given captions; the output layer sees all positions at once."""
        hidden: list[Tensor] = []
        for position, read in enumerate(shift_right(tokens).unbind(1)):
            if sampling_prob and position:
                with torch.no_grad():
                    drawn, is_replaced = draw_replacements(self.output(hidden[-1]), sampling_prob)
                read = torch.where(is_replaced, drawn, read)
            output, state = self.decoder(state, read)
            hidden.append(output)
        return self.output(torch.stack(hidden, 1)), state

    def forward_with_instances(
        self, batch: EventBatch, tokens: Int64[Tensor, "events words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "events words ids"], Instances, Instances]:
        """Return log-probabilities of given captions, the encoded rows, and the words as they are embedded."""
        memory, captions = self.encode(batch), trim_padding(tokens)
        logits, _ = self.teacher_force(self.start(memory), captions, sampling_prob)
        words = Instances(self.decoder.embedding(shift_right(captions)), token_mask(captions))
        return pad_log_probs(logits, tokens.shape[1]), memory, words


def pad_log_probs(logits: Float[Tensor, "events trimmed ids"], num_words: int) -> Float[Tensor, "events words ids"]:
    """Return log-probabilities of the tokens; zeros at the positions that were trimmed."""
    log_probs = caption_log_probs(logits)
    return nn.functional.pad(log_probs, (0, 0, 0, num_words - logits.shape[1]))

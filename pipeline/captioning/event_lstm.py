"""The event captioner that the paper builds on (Wang et al., 2020, arXiv 2006.11693; section 1.4 of the paper).

From top to bottom: an event is the mean of its feature rows (`EventLstmCaptioner.encode`), related to the other events
of its video (`EventSelfAttention`). A sentence LSTM goes from event to event (`SentenceLstm`), and a word LSTM with
attention over the event's feature rows writes its caption (`WordLstm`). docs/captioning.md lists what differs from the
published captioner.
"""

import math
from dataclasses import dataclass, replace
from math import gcd

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  # the usual name

from pipeline.captioning.attributes.captioner import AttributeCaptioner
from pipeline.captioning.base import (
    CaptionerSizes,
    DecodeRound,
    DecodingRound,
    RoundResult,
    select_rows,
    shift_right,
    trim_padding,
)
from pipeline.captioning.captions import caption_log_probs, draw_replacements, restore_batch_order, token_mask
from pipeline.captioning.instances import Instances
from pipeline.captioning.streams import EventBatch, gather_event_rows
from pipeline.config.captioners import EventLstmSettings
from pipeline.datasets.vocabulary import EOS

MAX_INPUT_DIM = 1024
"""Features of more channels than this are projected to the hidden size first."""
NUM_POSITION_BINS = 100
"""Size of the vector that encodes which part of its video an event covers."""
MAX_HEADS = 16
"""Attention heads, if that divides the hidden size; else their greatest common divisor."""
POSITION_DIM = 512
"""Size of the sinusoidal encoding of a relative position."""
MAX_WAVELENGTH = 10_000.0
"""Ratio of the longest to the shortest wavelength of that encoding."""
POSITION_SCALE = 100.0
"""Relative positions are multiplied by this before they are encoded."""
INIT_RANGE = 0.1
"""Embeddings and output weights are initialised uniformly within this of zero."""


@dataclass(frozen=True)
class AttentionMemory:
    """What the word LSTM attends to.

    Attributes:
        values: feature rows of each event.
        keys: their attention keys.
        mask: true for the rows of the event, false for padding.
    """

    values: Float[Tensor, "rows length width"]
    keys: Float[Tensor, "rows length hidden"]
    mask: Bool[Tensor, "rows length"]


@dataclass(frozen=True)
class SentenceState:
    """State of the sentence LSTM of each sequence.

    Attributes:
        hidden: hidden state.
        cell: cell state.
        last_hidden: hidden state of the word LSTM after the last word of the previous caption; zeros before the first.
    """

    hidden: Float[Tensor, "sequences hidden"]
    cell: Float[Tensor, "sequences hidden"]
    last_hidden: Float[Tensor, "sequences hidden"]

    def update(self, sequences: Int64[Tensor, " round"], new: "SentenceState") -> "SentenceState":
        """Replace the states of some sequences."""
        return SentenceState(
            self.hidden.index_copy(0, sequences, new.hidden),
            self.cell.index_copy(0, sequences, new.cell),
            self.last_hidden.index_copy(0, sequences, new.last_hidden),
        )


@dataclass(frozen=True)
class WordState:
    """State of the word LSTM.

    Attributes:
        memory: what it attends to; the same for all hypotheses of an event.
        hidden: hidden state.
        cell: cell state.
        last_hidden: hidden state after the last word of the caption; later tokens do not change it. None before BOS.
    """

    memory: AttentionMemory
    hidden: Float[Tensor, "rows hidden"]
    cell: Float[Tensor, "rows hidden"]
    last_hidden: Float[Tensor, "rows hidden"] | None = None


@dataclass(frozen=True)
class EventOrder:
    """The events of each sequence in time order.

    Attributes:
        index: positions of the events in the batch; 0 for padding.
        mask: true for events, false for padding.
    """

    index: Int64[Tensor, "sequences places"]
    mask: Bool[Tensor, "sequences places"]

    def unpad(self, values: Float[Tensor, "sequences places hidden"]) -> Float[Tensor, "events hidden"]:
        """Return values of the events in the order of the batch."""
        return values[self.mask][self.index[self.mask].argsort()]


@dataclass(frozen=True)
class EncodedEvents:
    """The events of a batch.

    Attributes:
        attention: what the word LSTM attends to, for each event.
        context: encoding of each event: itself, the events related to it, its position.
        order: the events of each sequence in time order.
    """

    attention: AttentionMemory
    context: Float[Tensor, "events context"]
    order: EventOrder


class EventLstmCaptioner(AttributeCaptioner):
    """The event captioner.

    Args:
        sizes: sizes that come from the data; one stream.
        settings: settings of the architecture.
    """

    settings: EventLstmSettings

    def __init__(self, sizes: CaptionerSizes, settings: EventLstmSettings) -> None:
        super().__init__(sizes, settings)
        [(self.stream, dim)] = sizes.streams.items()
        hidden = settings.hidden
        width = hidden if dim > MAX_INPUT_DIM else dim
        context = hidden * (1 + settings.relations) + NUM_POSITION_BINS
        # Weights are drawn in the order of these lines: another order gives other captioners for the same seed.
        self.project = nn.Sequential(nn.Linear(dim, hidden), nn.ReLU()) if dim > MAX_INPUT_DIM else nn.Identity()
        self.event = nn.Linear(width, hidden)
        self.relations = EventSelfAttention(hidden) if settings.relations else None
        self.sentence_lstm = SentenceLstm(context, hidden)
        self.word_lstm = WordLstm(width, hidden, sizes.vocabulary, settings.dropout)
        self.dropout = nn.Dropout(settings.dropout)
        self.add_attributes(hidden, hidden, sizes.max_words + 1)

    def visual_instances(self, memory: EncodedEvents) -> Instances:
        """Return the attention keys of each event's feature rows: what the word LSTM sees of them."""
        return Instances(memory.attention.keys, memory.attention.mask)

    def encode(self, batch: EventBatch) -> EncodedEvents:
        """Encode the events of a batch."""
        features = self.project(self.normalized(batch, self.stream))
        event_rows = batch.streams[self.stream].event_rows
        values, mask = gather_event_rows(features, batch.sequence_index, event_rows)
        pooled = values.sum(1) / mask.sum(1, keepdim=True)
        event = self.dropout(F.relu(self.event(pooled)))
        order = sort_by_time(batch)
        parts = [event]
        if self.relations is not None:
            related = self.relations(event[order.index], batch.relative_times[order.index], order.mask)
            parts = [order.unpad(related), event]
        context = torch.cat([self.dropout(torch.cat(parts, 1)), position_mask(batch.relative_times)], 1)
        return EncodedEvents(AttentionMemory(values, self.word_lstm.key(values), mask), context, order)

    def start(self, memory: EncodedEvents) -> WordState:
        """Start every event as if it were the first of its video."""
        sentence = self.sentence_lstm(self.sentence_lstm.initial_state(len(memory.context)), memory.context)
        return self.word_lstm.start(memory.attention, sentence.cell)

    def decode_rounds(self, batch: EventBatch, decode_round: DecodeRound) -> None:
        """Caption the first events of all sequences, then the second ones, ...; without context all events at once."""
        if not self.settings.context:
            super().decode_rounds(batch, decode_round)
            return
        memory = self.encode(batch)
        state = self.sentence_lstm.initial_state(batch.num_sequences)
        for place in range(memory.order.index.shape[1]):
            sequences = memory.order.mask[:, place].nonzero().squeeze(1)
            events = memory.order.index[sequences, place]
            sentence = self.sentence_lstm(select_rows(state, sequences), memory.context[events])
            start = self.word_lstm.start(select_rows(memory.attention, events), sentence.cell)
            result = decode_round(DecodingRound(events, start))
            state = state.update(sequences, replace(sentence, last_hidden=self.word_lstm.finish(result)))

    def step(self, state: WordState, tokens: Int64[Tensor, " rows"]) -> tuple[Float[Tensor, "rows ids"], WordState]:
        """Read one token for each row."""
        state = self.word_lstm(state, tokens, self.word_lstm.embedding(tokens))
        return self.word_lstm.logits(state.hidden), state

    def reorder(self, state: WordState, indices: Int64[Tensor, " rows"]) -> WordState:
        """Return the rows of a state at `indices`; the hypotheses of an event share their attention memory."""
        hidden, cell, last_hidden = select_rows((state.hidden, state.cell, state.last_hidden), indices)
        return WordState(state.memory, hidden, cell, last_hidden)

    def teacher_force(
        self, state: WordState, tokens: Int64[Tensor, "rows words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "rows words ids"], WordState]:
        """Read given captions; the output layer sees all positions at once."""
        hidden, state = self.word_lstm.read(state, tokens, sampling_prob)
        return self.word_lstm.logits(hidden), state

    def forward_with_instances(
        self, batch: EventBatch, tokens: Int64[Tensor, "events words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "events words ids"], Instances, Instances]:
        """Return log-probabilities of given captions, the rows' keys, and the words as they are embedded.

        The output layer sees all rounds at once.
        """
        hidden: list[Tensor] = []
        rows: list[Instances] = []
        events: list[Tensor] = []

        def read_round(current: DecodingRound) -> RoundResult:
            captions = trim_padding(tokens[current.events])
            round_hidden, state = self.word_lstm.read(current.state, captions, sampling_prob)
            hidden.append(round_hidden)
            rows.append(Instances(current.state.memory.keys, current.state.memory.mask))
            events.append(current.events)
            return RoundResult(captions, state)

        self.decode_rounds(batch, read_round)
        log_probs = caption_log_probs(self.word_lstm.logits(restore_batch_order(hidden, events, tokens.shape[1])))
        order = torch.cat(events).argsort()
        visual = Instances(torch.cat([one.values for one in rows])[order], torch.cat([one.mask for one in rows])[order])
        captions = trim_padding(tokens)
        return log_probs, visual, Instances(self.word_lstm.embedding(shift_right(captions)), token_mask(captions))


def sort_by_time(batch: EventBatch) -> EventOrder:
    """Sort the events of each sequence by start and end; of equal ones, the first in the batch comes first."""
    sequence_index, times = batch.sequence_index.tolist(), batch.relative_times.tolist()
    index: list[list[int]] = [[] for _ in range(batch.num_sequences)]
    for event in sorted(range(len(times)), key=lambda event: times[event][:2]):
        index[sequence_index[event]].append(event)
    longest = max(map(len, index))
    padded = [events + [0] * (longest - len(events)) for events in index]
    mask = [[place < len(events) for place in range(longest)] for events in index]
    device = batch.sequence_index.device
    return EventOrder(torch.tensor(padded, device=device), torch.tensor(mask, device=device))


def position_mask(relative_times: Float[Tensor, "events 3"]) -> Float[Tensor, "events bins"]:
    """Encode which hundredths of its video an event covers: ones for these, zeros for the others."""
    first, last = (relative_times[:, :2] * (NUM_POSITION_BINS - 1)).floor().T
    bins = torch.arange(NUM_POSITION_BINS, device=relative_times.device)
    return ((bins >= first[:, None]) & (bins <= last[:, None])).to(relative_times.dtype)


class EventSelfAttention(nn.Module):
    """Multi-head self-attention among the events of each sequence, with a bias for their relative positions.

    Args:
        hidden: size of events, of the output, and of the layer between relative position and bias.
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.heads = gcd(hidden, MAX_HEADS)
        self.project = nn.Linear(hidden, 3 * hidden)
        self.bias = nn.Sequential(nn.Linear(POSITION_DIM, hidden), nn.Tanh(), nn.Linear(hidden, self.heads))

    def forward(
        self,
        events: Float[Tensor, "sequences places hidden"],
        times: Float[Tensor, "sequences places 3"],
        mask: Bool[Tensor, "sequences places"],
    ) -> Float[Tensor, "sequences places hidden"]:
        """Relate each event to the events of its sequence, itself among them.

        Args:
            events: events of each sequence; any values in the padding.
            times: relative start, end and length of each.
            mask: true for events.
        """
        projected = self.project(events).unflatten(2, (3, self.heads, -1))
        query, key, value = projected.permute(2, 0, 3, 1, 4)
        bias = self._position_bias(times, mask)
        # Padding may attend to everything: its output is not used, and no row of the softmax is empty (NaN).
        is_visible = mask[:, None, None, :] | ~mask[:, None, :, None]
        bias = bias.masked_fill(~is_visible, -torch.inf)
        attended = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        related: Tensor = F.relu(attended.transpose(1, 2).flatten(2))
        return related

    def _position_bias(
        self, times: Float[Tensor, "sequences places 3"], mask: Bool[Tensor, "sequences places"]
    ) -> Float[Tensor, "sequences heads places places"]:
        """Return the attention bias of each pair of events; 0 for padding."""
        pairs = mask[:, :, None] & mask[:, None, :]
        bias = times.new_zeros(*pairs.shape, self.heads)
        learned = self.bias(sinusoidal_encoding(relative_positions(times)[pairs]).to(times.dtype))
        return bias.masked_scatter(pairs[..., None], learned).permute(0, 3, 1, 2)


def relative_positions(times: Float[Tensor, "*sequences places 3"]) -> Float[Tensor, "*sequences places places 2"]:
    """Return the position of event j relative to event i.

    These are the distance of their centres in lengths of i, and the logarithm of length j over length i. They are
    computed in double precision, because thousands of wavelengths may lie between two events.
    """
    exact = times.double()
    centre, length = exact[..., :2].mean(-1), exact[..., 2]
    distance = (centre[..., None, :] - centre[..., :, None]) / length[..., :, None]
    ratio = (length[..., None, :] / length[..., :, None]).log()
    return torch.stack([distance, ratio], -1)


def sinusoidal_encoding(positions: Float[Tensor, "pairs 2"]) -> Float[Tensor, "pairs encoding"]:
    """Encode two numbers as sines and cosines of falling frequencies, as Transformers do (Vaswani et al., 2017)."""
    size = POSITION_DIM // 4
    exponents = torch.arange(size, device=positions.device, dtype=positions.dtype) / size
    angles = POSITION_SCALE * positions[..., None] * torch.exp(-math.log(MAX_WAVELENGTH) * exponents)
    return torch.cat([angles.sin(), angles.cos()], -1).flatten(1)


class SentenceLstm(nn.Module):
    """The LSTM over the events of a sequence; a gate weighs the previous caption against the event.

    Args:
        context: size of an encoded event.
        hidden: size of all hidden layers.
    """

    def __init__(self, context: int, hidden: int) -> None:
        super().__init__()
        self.caption = nn.Linear(hidden, hidden)
        self.event = nn.Linear(context, hidden)
        self.gate = nn.Linear(3 * hidden, hidden)
        self.cell = nn.LSTMCell(2 * hidden, hidden, bias=False)

    def initial_state(self, num_sequences: int) -> SentenceState:
        """Return the state before the first event of each sequence."""
        zeros = self.gate.bias.new_zeros(num_sequences, self.gate.out_features)
        return SentenceState(zeros, zeros, zeros)

    def forward(self, state: SentenceState, events: Float[Tensor, "sequences context"]) -> SentenceState:
        """Read the next event of each sequence; `last_hidden` stays that of the previous caption."""
        caption, event = torch.tanh(self.caption(state.last_hidden)), torch.tanh(self.event(events))
        gate = torch.sigmoid(self.gate(torch.cat([state.hidden, caption, event], 1)))
        inputs = torch.cat([gate * caption, (1 - gate) * event], 1)
        hidden, cell = self.cell(inputs, (state.hidden, state.cell))
        return SentenceState(hidden, cell, state.last_hidden)


class WordLstm(nn.Module):
    """The LSTM over the words of a caption, with additive attention (Bahdanau et al., 2015) over the event's rows.

    Args:
        width: number of channels of a feature row.
        hidden: size of all hidden layers.
        vocabulary: number of ids.
        dropout: dropout before the output layer.
    """

    def __init__(self, width: int, hidden: int, vocabulary: int, dropout: float) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.initial = nn.Linear(hidden, hidden)
        self.key = nn.Linear(width, hidden)
        self.query = nn.Linear(hidden, hidden)
        self.energy = nn.Linear(hidden, 1, bias=False)
        self.cell = nn.LSTMCell(hidden + width, hidden, bias=False)
        self.output = nn.Linear(hidden, vocabulary)
        self.dropout = nn.Dropout(dropout)
        nn.init.uniform_(self.embedding.weight, -INIT_RANGE, INIT_RANGE)
        nn.init.uniform_(self.output.weight, -INIT_RANGE, INIT_RANGE)
        nn.init.zeros_(self.output.bias)

    def start(self, memory: AttentionMemory, sentence: Float[Tensor, "rows hidden"]) -> WordState:
        """Return the state before the first token, from the sentence LSTM's cell; hidden and cell state are equal."""
        initial = self.initial(sentence)
        return WordState(memory, initial, initial)

    def forward(
        self, state: WordState, tokens: Int64[Tensor, " rows"], embedded: Float[Tensor, "rows hidden"]
    ) -> WordState:
        """Read one token for each row.

        Args:
            state: state before.
            tokens: the tokens of the captions, which decide where they end.
            embedded: embeddings of the tokens to read.
        """
        memory = state.memory
        energy = self.energy(torch.tanh(memory.keys + self.query(state.hidden)[:, None])).squeeze(2)
        weights = energy.masked_fill(~memory.mask, -torch.inf).softmax(1)
        attended = (weights[:, None] @ memory.values).squeeze(1)
        hidden, cell = self.cell(torch.cat([embedded, attended], 1), (state.hidden, state.cell))
        last_hidden = hidden
        if state.last_hidden is not None:
            last_hidden = torch.where((tokens == EOS)[:, None], state.last_hidden, hidden)
        return WordState(memory, hidden, cell, last_hidden)

    def logits(self, hidden: Float[Tensor, "*rows hidden"]) -> Float[Tensor, "*rows ids"]:
        """Return logits of the next token."""
        logits: Tensor = self.output(self.dropout(hidden))
        return logits

    def read(
        self, state: WordState, tokens: Int64[Tensor, "rows words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "rows words hidden"], WordState]:
        """Read given captions.

        Returns:
            the hidden state that predicts each token, and the state after BOS and all columns but the last.
        """
        inputs = shift_right(tokens)
        embedded = self.embedding(inputs)
        hidden: list[Tensor] = []
        for position in range(tokens.shape[1]):
            read = embedded[:, position]
            if sampling_prob and position:
                drawn, is_replaced = draw_replacements(self._no_grad_logits(hidden[-1]), sampling_prob)
                read = torch.where(is_replaced[:, None], self.embedding(drawn), read)
            state = self(state, inputs[:, position], read)
            hidden.append(state.hidden)
        return torch.stack(hidden, 1), state

    @torch.no_grad()
    def _no_grad_logits(self, hidden: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows ids"]:
        return self.logits(hidden)

    def finish(self, result: RoundResult) -> Float[Tensor, "round hidden"]:
        """Return the hidden state after the last word of each caption."""
        state, last_tokens = result.state, result.tokens[:, -1]
        if (last_tokens != EOS).any():  # captions of the maximum length: their last word is not read yet
            state = self(state, last_tokens, self.embedding(last_tokens))
        assert state.last_hidden is not None
        hidden: Tensor = state.last_hidden
        return hidden

"""Small captioners and batches: the event captioner, and two that have nothing in common with it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from hypothesis import strategies as st
from torch import Tensor, nn

from pipeline.captioning.base import Captioner, CaptionerSizes, DecodingStrategy, evaluation_mode
from pipeline.captioning.captions import (
    UNCONSTRAINED,
    Captions,
    DecodingConstraints,
    caption_log_probs,
    next_token_log_probs,
    token_mask,
)
from pipeline.captioning.decoding import Sampling, sample_tokens
from pipeline.captioning.event_lstm import EventLstmCaptioner
from pipeline.captioning.streams import BatchStream, EventBatch
from pipeline.config.captioners import CaptionerSettings, EventLstmSettings
from pipeline.config.registry import Spec
from pipeline.datasets.vocabulary import EOS, UNK

DIM, NUM_IDS, MAX_WORDS = 5, 9, 7
ONE_STREAM = {"features": DIM}
TWO_STREAMS = {"visual": DIM, "audio": 3}


class TransformerSettings(CaptionerSettings):
    """A Transformer without context, which reads any number of streams."""

    architecture: Literal["toy_transformer"] = "toy_transformer"
    hidden: int = 16


class TransformerCaptioner(Captioner):
    """Attends to all feature rows of the event, of all streams; its state is the prefix of the caption."""

    settings: TransformerSettings

    def __init__(self, sizes: CaptionerSizes, settings: TransformerSettings) -> None:
        super().__init__(sizes, settings)
        hidden = settings.hidden
        self.project = nn.ModuleDict({name: nn.Linear(dim, hidden) for name, dim in sizes.streams.items()})
        self.embedding = nn.Embedding(sizes.vocabulary, hidden)
        self.position = nn.Embedding(sizes.max_words + 1, hidden)
        self.decoder = nn.TransformerDecoderLayer(hidden, 4, 2 * hidden, 0.0, batch_first=True)
        self.output = nn.Linear(hidden, sizes.vocabulary)

    def encode(self, batch: EventBatch) -> tuple[Tensor, Tensor]:
        values, masks = [], []
        for name, stream in batch.streams.items():
            rows = torch.arange(stream.values.shape[1])
            first, end = stream.event_rows[:, :1], stream.event_rows[:, 1:]
            mask = (rows >= first) & (rows < end)
            of_events = self.project[name](self.normalized(batch, name))[batch.sequence_index]
            values.append(of_events.masked_fill(~mask[..., None], 0.0))
            masks.append(mask)
        return torch.cat(values, 1), torch.cat(masks, 1)

    def start(self, memory: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        values, mask = memory
        return {"values": values, "mask": mask, "prefix": torch.empty(len(values), 0, dtype=torch.int64)}

    def step(self, state: dict[str, Tensor], tokens: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        prefix = torch.cat([state["prefix"], tokens[:, None]], 1)
        positions = torch.arange(prefix.shape[1])
        causal = positions[:, None] < positions
        read = self.embedding(prefix) + self.position(positions)
        decoded = self.decoder(read, state["values"], tgt_mask=causal, memory_key_padding_mask=~state["mask"])
        return self.output(decoded[:, -1]), {**state, "prefix": prefix}


class ParallelSettings(CaptionerSettings):
    """A captioner that predicts all positions at once."""

    architecture: Literal["toy_parallel"] = "toy_parallel"
    hidden: int = 16


class ParallelCaptioner(Captioner):
    """Not autoregressive: the logits of a position do not depend on the other tokens."""

    settings: ParallelSettings

    def __init__(self, sizes: CaptionerSizes, settings: ParallelSettings) -> None:
        super().__init__(sizes, settings)
        [(self.stream, dim)] = sizes.streams.items()
        self.project = nn.Linear(dim, settings.hidden)
        self.position = nn.Embedding(sizes.max_words + 1, settings.hidden)
        self.output = nn.Sequential(nn.Linear(settings.hidden, 32), nn.ReLU(), nn.Linear(32, sizes.vocabulary))

    def encode(self, batch: EventBatch) -> Tensor:
        features, rows = self.normalized(batch, self.stream), batch.streams[self.stream].event_rows
        pairs = zip(batch.sequence_index.tolist(), rows.tolist(), strict=True)
        return self.project(torch.stack([features[index, first:end].mean(0) for index, (first, end) in pairs]))

    def logits(self, batch: EventBatch, num_words: int) -> Tensor:
        logits: Tensor = self.output(self.encode(batch)[:, None] + self.position.weight[:num_words])
        return logits

    def forward(self, batch: EventBatch, tokens: Tensor, sampling_prob: float = 0.0) -> Tensor:
        return caption_log_probs(self.logits(batch, tokens.shape[1]))

    def generate(
        self, batch: EventBatch, strategy: DecodingStrategy, constraints: DecodingConstraints = UNCONSTRAINED
    ) -> Captions:
        if isinstance(strategy, Sampling):
            return self._choose(batch, constraints, strategy.temperature, strategy.uniform_draws(self, batch))
        with evaluation_mode(self):
            return self._choose(batch, constraints, 1.0, None)

    def _choose(
        self, batch: EventBatch, constraints: DecodingConstraints, temperature: float, draws: Tensor | None
    ) -> Captions:
        logits = self.logits(batch, self.sizes.max_words)
        tokens = torch.empty(len(logits), 0, dtype=torch.int64)
        log_probs, eos_log_probs = [], []
        has_ended = torch.zeros(len(logits), dtype=torch.bool)
        for position in range(self.sizes.max_words):
            of_position = next_token_log_probs(logits[:, position], is_first=position == 0, temperature=temperature)
            allowed = constraints.mask_logits(of_position.detach(), tokens)
            token = allowed.argmax(1) if draws is None else sample_tokens(allowed, draws[:, position])
            token = token.masked_fill(has_ended, EOS)
            log_probs.append(of_position.gather(1, token[:, None]).squeeze(1))
            eos_log_probs.append(of_position[:, EOS])
            tokens = torch.cat([tokens, token[:, None]], 1)
            has_ended = has_ended | (token == EOS)
        truncated = constraints.truncate_bad_endings(tokens)
        of_tokens = torch.where(truncated == tokens, torch.stack(log_probs, 1), torch.stack(eos_log_probs, 1))
        mask = token_mask(truncated)
        return Captions(truncated, of_tokens.masked_fill(~mask, 0.0), mask)


TOYS = [
    Spec("toy_transformer", "a Transformer", TransformerSettings, "helpers.captioners:TransformerCaptioner"),
    Spec("toy_parallel", "a parallel decoder", ParallelSettings, "helpers.captioners:ParallelCaptioner"),
]


def small_sizes(
    streams: Mapping[str, int] = ONE_STREAM, *, num_ids: int = NUM_IDS, max_words: int = MAX_WORDS
) -> CaptionerSizes:
    return CaptionerSizes(dict(streams), num_ids, max_words)


def event_lstm(
    *, dim: int = DIM, num_ids: int = NUM_IDS, max_words: int = MAX_WORDS, seed: int = 1, **settings: Any
) -> EventLstmCaptioner:
    """A small event captioner, without dropout unless it is set."""
    torch.manual_seed(seed)
    sizes = small_sizes({"features": dim}, num_ids=num_ids, max_words=max_words)
    return EventLstmCaptioner(sizes, EventLstmSettings(**{"hidden": 16, "dropout": 0.0, **settings}))


def with_large_weights(captioner: Captioner, factor: float = 3.0) -> Captioner:
    """Make the weights so large that every input changes the output visibly."""
    with torch.no_grad():
        for parameter in captioner.parameters():
            parameter.mul_(factor)
    return captioner.eval()


def make_batch(
    lengths: Sequence[int],
    events: Sequence[Sequence[tuple[int, int]]],
    *,
    seed: int = 0,
    dim: int = DIM,
    streams: Mapping[str, int] | None = None,
) -> EventBatch:
    """Videos of `lengths` feature rows with events at the given rows; each further stream has one row more for each."""
    draw = torch.Generator().manual_seed(seed)
    index = [sequence for sequence, of_video in enumerate(events) for _ in of_video]
    rows = torch.tensor([row for of_video in events for row in of_video])
    stream_inputs = {}
    for place, (name, channels) in enumerate((streams or {"features": dim}).items(), start=1):
        values = [torch.randn(place * length, channels, generator=draw) for length in lengths]
        padded = torch.nn.utils.rnn.pad_sequence(values, batch_first=True)
        stream_inputs[name] = BatchStream(padded, torch.tensor([len(one) for one in values]), place * rows)
    durations = torch.tensor([float(lengths[sequence]) for sequence in index])[:, None]
    return EventBatch(stream_inputs, torch.tensor(index), torch.cat([rows, rows[:, 1:] - rows[:, :1]], 1) / durations)


def single_video(batch: EventBatch, sequence: int) -> EventBatch:
    """One sequence of a batch by itself, without padding."""
    mask = batch.sequence_index == sequence
    streams = {
        name: BatchStream(
            stream.values[sequence : sequence + 1, : stream.lengths[sequence]],
            stream.lengths[sequence : sequence + 1],
            stream.event_rows[mask],
        )
        for name, stream in batch.streams.items()
    }
    return EventBatch(streams, torch.zeros_like(batch.sequence_index[mask]), batch.relative_times[mask])


def permute_events(batch: EventBatch, order: Tensor) -> EventBatch:
    """The same events in another order."""
    streams = {
        name: BatchStream(stream.values, stream.lengths, stream.event_rows[order])
        for name, stream in batch.streams.items()
    }
    return EventBatch(streams, batch.sequence_index[order], batch.relative_times[order])


def random_captions(num_events: int, num_words: int) -> Tensor:
    """Captions of words and EOS, with at least one word each."""
    draw = torch.Generator().manual_seed(2)
    tokens = torch.randint(0, NUM_IDS, (num_events, num_words), generator=draw)
    return torch.where((tokens == UNK) | ((tokens == EOS) & (torch.arange(num_words) == 0)), 2, tokens)


def token_log_probs(captioner: Captioner, batch: EventBatch, tokens: Tensor) -> Tensor:
    """The captioner's log-probability of each token of given captions."""
    return captioner(batch, tokens).gather(2, tokens[..., None]).squeeze(2)


@st.composite
def videos(draw: st.DrawFn) -> tuple[list[int], list[list[tuple[int, int]]]]:
    """Numbers of feature rows of some videos, and rows of their events."""
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=4))
    events = []
    for length in lengths:
        rows = st.integers(0, length - 1).flatmap(
            lambda first, length=length: st.tuples(st.just(first), st.integers(first + 1, length))
        )
        events.append(draw(st.lists(rows, min_size=1, max_size=4)))
    return lengths, events

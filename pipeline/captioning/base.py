"""The contract of a captioner: all that decoding, training, the ensemble and the bundles know of one.

A captioner that writes one token after the other implements `encode`, `start` and `step`. One whose captions depend on
earlier captions of the video overrides `decode_rounds` too. One that is not autoregressive implements `forward` and
`generate` instead. Everything else has a default.

Shapes: `events` are the events of a batch, `rows` their rows in a decoder's state (several for an event in beam
search), `words` the positions of a caption, `ids` the vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from pipeline.captioning.captions import (
    UNCONSTRAINED,
    Captions,
    DecodingConstraints,
    caption_lengths,
    caption_log_probs,
    cross_entropy,
    draw_replacements,
    restore_batch_order,
    token_mask,
)
from pipeline.captioning.streams import EventBatch
from pipeline.captioning.targets import CaptionTargets
from pipeline.config.captioners import CaptionerSettings
from pipeline.datasets.vocabulary import BOS, EOS, PAD
from pipeline.errors import PipelineError
from pipeline.features.cache import FeatureNorm

Memory = Any
"""Encoded events, of a type that the captioner chooses."""
State = Any
"""State of a captioner's decoder, of a type that the captioner chooses: a tensor, or tuples, lists, dicts and
dataclasses of tensors (other values are left alone). The first dimension of every tensor is `rows`. A state is never
changed in place: decoding may continue from an old one."""

WordVectorsNote = str | dict[str, str] | None
"""What the card of a captioner says about word vectors."""


@dataclass(frozen=True)
class CaptionerSizes:
    """Sizes that come from the data, not from the settings.

    Attributes:
        streams: number of channels of each stream of features.
        vocabulary: number of ids, special ids included.
        max_words: maximum number of words in a caption.
        attributes: number of attributes that the captioner learns to predict; 0: none.
    """

    streams: Mapping[str, int]
    vocabulary: int
    max_words: int
    attributes: int = 0


@dataclass(frozen=True)
class DecodingRound:
    """Events that are captioned at the same time.

    Attributes:
        events: positions of the events in the batch.
        state: state of the decoder before the first token; one row for each event.
    """

    events: Int64[Tensor, " round"]
    state: State


@dataclass(frozen=True)
class RoundResult:
    """Captions of the events of a round.

    Attributes:
        tokens: as those of `Captions`.
        state: state after BOS and all of `tokens` but the last column; one row for each event.
    """

    tokens: Int64[Tensor, "round words"]
    state: State


DecodeRound = Callable[[DecodingRound], RoundResult]
"""Captions the events of a round."""


class DecodingStrategy(ABC):
    """How the tokens of captions are chosen; see `pipeline.captioning.decoding`."""

    @abstractmethod
    def decode(self, captioner: "Captioner", batch: EventBatch, constraints: DecodingConstraints) -> Captions:
        """Caption the events of a batch with an autoregressive captioner."""


class Captioner(nn.Module, ABC):
    """A captioner of events; a clip-level captioner sees one event per video.

    Args:
        sizes: sizes that come from the data.
        settings: settings of the architecture; a subclass takes its own settings model.

    Attributes:
        feature_norms: normalization of each stream, fitted on the training videos and saved with the weights.

    Raises:
        PipelineError: the captioner cannot read so many streams.
    """

    def __init__(self, sizes: CaptionerSizes, settings: CaptionerSettings) -> None:
        super().__init__()
        try:
            settings.check_streams(sizes.streams)
        except ValueError as error:
            raise PipelineError(str(error)) from None
        self.sizes, self.settings = sizes, settings
        self.feature_norms = nn.ModuleDict({name: FeatureNorm(dim) for name, dim in sizes.streams.items()})

    def fit_feature_norms(self, features: Mapping[str, Iterable[Float[Tensor, "_ _"]]]) -> None:
        """Fit the normalization of each stream.

        Args:
            features: for each stream the features of all training videos, each [feature rows, channels].
        """
        for name, videos in features.items():
            norm = self.feature_norms[name]
            assert isinstance(norm, FeatureNorm)
            norm.fit(videos)

    def initialize_words(self, words: Sequence[str]) -> WordVectorsNote:  # noqa: ARG002  # for those with word vectors
        """Initialise weights by word vectors, before training: here none.

        Args:
            words: the words in the order of their ids, from `NUM_SPECIAL` on.

        Returns:
            what the card says about word vectors; None: nothing.
        """
        return None

    def start_from_teacher(self, teacher: "Captioner") -> None:
        """Take the weights of a trained teacher, before training; for captioners whose settings name one.

        Raises:
            PipelineError: the teacher is of another kind or size.
        """
        raise NotImplementedError(f"{type(self).__name__} has no teacher: {type(teacher).__name__}")

    def compute_loss(
        self, log_probs: Float[Tensor, "events words ids"], tokens: Int64[Tensor, "events words"]
    ) -> Float[Tensor, ""]:
        """Compute the loss of training on given captions: here their cross-entropy.

        Args:
            log_probs: what `forward` returned.
            tokens: the captions.
        """
        return cross_entropy(log_probs, tokens)

    def compute_losses(
        self, batch: EventBatch, targets: CaptionTargets, sampling_prob: float = 0.0
    ) -> dict[str, Tensor]:
        """Compute the terms of the training loss by name: here that of the captions alone.

        Args:
            batch: the events.
            targets: what to learn of them.
            sampling_prob: see `teacher_force`.
        """
        return {"caption": self.compute_loss(self(batch, targets.tokens, sampling_prob), targets.tokens)}

    def normalized(self, batch: EventBatch, stream: str) -> Float[Tensor, "sequences length dim"]:
        """Return the normalized features of one stream; what stands in the padding is not defined."""
        values: Tensor = self.feature_norms[stream](batch.streams[stream].values)
        return values

    @abstractmethod
    def encode(self, batch: EventBatch) -> Memory:
        """Encode the events of a batch. An event must not depend on other sequences of the batch, nor on padding."""

    def start(self, memory: Memory) -> State:
        """Return the state before the first token, one row for each event, in the order of the batch."""
        raise NotImplementedError(f"{type(self).__name__}: define start and step, or override forward and generate")

    def step(self, state: State, tokens: Int64[Tensor, " rows"]) -> tuple[Float[Tensor, "rows ids"], State]:
        """Read one token for each row; BOS comes first.

        Rows whose caption has ended read EOS until the others have ended too.

        Returns:
            logits of the next token (UNK and a leading EOS are masked by the caller), and the new state.
        """
        raise NotImplementedError(f"{type(self).__name__}: define start and step, or override forward and generate")

    def expand(self, state: State, times: int) -> State:
        """Repeat each row of a state `times` times in a row: before beam search."""
        num_rows = _num_rows(state)
        return select_rows(state, torch.arange(num_rows, device=_device(state)).repeat_interleave(times))

    def reorder(self, state: State, indices: Int64[Tensor, " rows"]) -> State:
        """Return the rows of a state at `indices`: after a step of beam search.

        A row is only ever replaced by a row of the same event, so that what the rows of an event share may stay.
        """
        return select_rows(state, indices)

    def teacher_force(
        self, state: State, tokens: Int64[Tensor, "rows words"], sampling_prob: float = 0.0
    ) -> tuple[Float[Tensor, "rows words ids"], State]:
        """Read given captions (teacher forcing). Override it with something faster that gives the same.

        Args:
            state: before the first token.
            tokens: a caption for each row.
            sampling_prob: probability that a token is replaced by one that the captioner draws (scheduled sampling).

        Returns:
            logits of every token, given those before it; and the state after BOS and all columns but the last.
        """
        logits: list[Tensor] = []
        inputs = shift_right(tokens)
        for position in range(tokens.shape[1]):
            read = inputs[:, position]
            if sampling_prob and position:
                drawn, is_replaced = draw_replacements(logits[-1], sampling_prob)
                read = torch.where(is_replaced & (read != EOS), drawn, read)
            step_logits, state = self.step(state, read)
            logits.append(step_logits)
        return torch.stack(logits, 1), state

    def decode_rounds(self, batch: EventBatch, decode_round: DecodeRound) -> None:
        """Encode a batch and have its events captioned: here all of them in one round.

        A captioner whose captions depend on earlier ones overrides this: it calls `decode_round` once for each round,
        and makes the state of the next round from the result. Every event of the batch is in exactly one round.
        """
        state = self.start(self.encode(batch))
        decode_round(DecodingRound(torch.arange(batch.num_events, device=batch.sequence_index.device), state))

    def forward(
        self, batch: EventBatch, tokens: Int64[Tensor, "events words"], sampling_prob: float = 0.0
    ) -> Float[Tensor, "events words ids"]:
        """Return log-probabilities of every token of given captions, for cross-entropy.

        Args:
            batch: the events.
            tokens: a caption for each event. What comes out after a caption's first EOS is not defined.
            sampling_prob: see `force`. A captioner that reads no tokens ignores it.
        """
        logits: list[Tensor] = []
        events: list[Tensor] = []

        def teacher_force_round(current: DecodingRound) -> RoundResult:
            captions = trim_padding(tokens[current.events])
            round_logits, state = self.teacher_force(current.state, captions, sampling_prob)
            logits.append(round_logits)
            events.append(current.events)
            return RoundResult(captions, state)

        self.decode_rounds(batch, teacher_force_round)
        return caption_log_probs(restore_batch_order(logits, events, tokens.shape[1]))

    def generate(
        self, batch: EventBatch, strategy: DecodingStrategy, constraints: DecodingConstraints = UNCONSTRAINED
    ) -> Captions:
        """Caption the events of a batch.

        A captioner that is not autoregressive overrides this. `Sampling` must draw (gradients flow through the
        log-probabilities, training mode stays as the caller set it); every other strategy asks for the best caption, in
        `evaluation_mode`. Constraints that it cannot keep are an error.
        """
        return strategy.decode(self, batch, constraints)


def select_rows(state: State, indices: Int64[Tensor, " rows"]) -> State:
    """Return the rows of a state at `indices`, in tensors at any depth."""
    if isinstance(state, Tensor):
        return state[indices]
    if isinstance(state, dict):
        return {key: select_rows(value, indices) for key, value in state.items()}
    if isinstance(state, list | tuple):
        values = [select_rows(value, indices) for value in state]
        return type(state)(*values) if hasattr(state, "_fields") else type(state)(values)
    if is_dataclass(state) and not isinstance(state, type):
        return replace(
            state, **{field.name: select_rows(getattr(state, field.name), indices) for field in fields(state)}
        )
    return state


def shift_right(tokens: Int64[Tensor, "rows words"]) -> Int64[Tensor, "rows words"]:
    """Return what the captioner reads before each token: BOS, then the tokens but the last."""
    return torch.cat([torch.full_like(tokens[:, :1], BOS), tokens], 1)[:, :-1]


def trim_padding(tokens: Int64[Tensor, "rows words"]) -> Int64[Tensor, "rows trimmed"]:
    """Drop the columns after the EOS of the longest caption, and replace what comes after an EOS by PAD."""
    return tokens.masked_fill(~token_mask(tokens), PAD)[:, : int(caption_lengths(tokens).max()) + 1]


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Turn dropout and gradients off within a block."""
    was_training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(was_training)


def _tensors(state: State) -> Iterator[Tensor]:
    if isinstance(state, Tensor):
        yield state
    elif isinstance(state, dict):
        yield from (tensor for value in state.values() for tensor in _tensors(value))
    elif isinstance(state, list | tuple):
        yield from (tensor for value in state for tensor in _tensors(value))
    elif is_dataclass(state):
        yield from (tensor for field in fields(state) for tensor in _tensors(getattr(state, field.name)))


def _num_rows(state: State) -> int:
    return len(next(_tensors(state)))


def _device(state: State) -> torch.device:
    return next(_tensors(state)).device

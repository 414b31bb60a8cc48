"""Decoding strategies: greedy, sampling, beam search. They work with any autoregressive captioner."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pipeline.captioning.base import (
    Captioner,
    DecodingRound,
    DecodingStrategy,
    RoundResult,
    State,
    evaluation_mode,
    trim_padding,
)
from pipeline.captioning.captions import (
    Captions,
    DecodingConstraints,
    caption_log_probs,
    next_token_log_probs,
    restore_batch_order,
    token_mask,
)
from pipeline.captioning.streams import EventBatch
from pipeline.datasets.vocabulary import BOS, EOS

ChooseTokens = Callable[[Tensor, Tensor, int], Tensor]
"""From log-probabilities [round, ids] (minus infinity for forbidden tokens), the events' positions in the batch [round]
and the position in the caption to one token for each event [round]."""


@dataclass(frozen=True)
class DecodedRound(RoundResult):
    """Captions of a round with their log-probabilities.

    Attributes:
        log_probs: log-probability of each token; not defined after a caption's end.
    """

    log_probs: Float[Tensor, "round words"]


@dataclass(frozen=True)
class Greedy(DecodingStrategy):
    """The most probable token at each step, without dropout and without gradients."""

    def decode(self, captioner: Captioner, batch: EventBatch, constraints: DecodingConstraints) -> Captions:
        """Caption the events of a batch."""

        def most_probable(log_probs: Tensor, _events: Tensor, _position: int) -> Tensor:
            return log_probs.argmax(1)

        with evaluation_mode(captioner):
            return _decode(
                captioner, batch, lambda current: _step_by_step(captioner, current, most_probable, constraints)
            )


@dataclass(frozen=True)
class Sampling(DecodingStrategy):
    """Tokens drawn by their probability.

    Training mode stays as the caller set it, and gradients flow through the log-probabilities.

    Attributes:
        temperature: the logits are divided by it.
        draws: uniform numbers in [0, 1) that decide each token; None: they come from torch's global generator.
    """

    temperature: float
    draws: Float[Tensor, "events words"] | None = None

    def decode(self, captioner: Captioner, batch: EventBatch, constraints: DecodingConstraints) -> Captions:
        """Caption the events of a batch."""
        draws = self.uniform_draws(captioner, batch)

        def draw(log_probs: Tensor, events: Tensor, position: int) -> Tensor:
            return sample_tokens(log_probs, draws[events, position])

        return _decode(
            captioner, batch, lambda current: _step_by_step(captioner, current, draw, constraints, self.temperature)
        )

    def uniform_draws(self, captioner: Captioner, batch: EventBatch) -> Float[Tensor, "events words"]:
        """Return the given draws, or new ones."""
        if self.draws is not None:
            return self.draws
        size = (batch.num_events, captioner.sizes.max_words)
        return torch.rand(size, dtype=torch.float64, device=batch.sequence_index.device)


def sample_tokens(log_probs: Float[Tensor, "*events ids"], draws: Float[Tensor, "*events"]) -> Int64[Tensor, "*events"]:
    """Draw a token from each distribution by inverting its cumulative distribution at a number in [0, 1)."""
    cumulative = log_probs.double().softmax(-1).cumsum(-1)
    scaled = draws[..., None].double() * cumulative[..., -1:]
    return torch.searchsorted(cumulative, scaled, right=True).squeeze(-1)


@dataclass(frozen=True)
class BeamSearch(DecodingStrategy):
    """Beam search, without dropout and without gradients.

    At each position the `width` most probable continuations of all hypotheses are kept; those that end are set aside.
    Of these, and of the hypotheses of the maximum length, the one with the largest score wins. The score is the
    log-probability divided by (number of words) ** `length_power`. The search for an event stops if no hypothesis can
    win any more. With context, only the winner is passed on to the next event.

    Attributes:
        width: number of hypotheses per event; 1 is greedy decoding.
        length_power: 0 prefers the most probable caption, a short one; 1 the highest mean log-probability of the words.
    """

    width: int
    length_power: float

    def decode(self, captioner: Captioner, batch: EventBatch, constraints: DecodingConstraints) -> Captions:
        """Caption the events of a batch."""

        def search(current: DecodingRound) -> DecodedRound:
            tokens = self._search(captioner, current, constraints)
            return _rescore(captioner, current.state, constraints.truncate_bad_endings(tokens))

        with evaluation_mode(captioner):
            return _decode(captioner, batch, search)

    def _search(
        self, captioner: Captioner, current: DecodingRound, constraints: DecodingConstraints
    ) -> Int64[Tensor, "round words"]:
        """Return the tokens of the best caption found for each event, EOS after its end."""
        width, max_words = self.width, captioner.sizes.max_words
        num_events, device = len(current.events), current.events.device
        first = torch.full((num_events * width,), BOS, device=device)
        logits, state = captioner.step(captioner.expand(current.state, width), first)
        event_index = torch.arange(num_events, device=device)
        hypotheses = torch.full((num_events, width, max_words), EOS, device=device)
        # The hypotheses of an event are equal before the first token: only one of them is continued.
        beam_scores = logits.new_full((num_events, width), -torch.inf)
        beam_scores[:, 0] = 0.0
        best, best_score = hypotheses[:, 0], logits.new_full((num_events,), -torch.inf)
        for position in range(max_words):
            log_probs = next_token_log_probs(logits, is_first=position == 0)
            log_probs = constraints.mask_logits(log_probs, hypotheses[:, :, :position].flatten(0, 1))
            num_ids = log_probs.shape[1]
            continuations = beam_scores[..., None] + log_probs.unflatten(0, (num_events, width))
            beam_scores, chosen = continuations.flatten(1).topk(width)
            parents, tokens = chosen // num_ids, chosen % num_ids
            hypotheses = hypotheses.gather(1, parents[..., None].expand_as(hypotheses))
            hypotheses[:, :, position] = tokens

            has_ended = tokens == EOS
            is_last = position + 1 == max_words
            lengths = torch.where(has_ended, position, position + 1)
            finished = self._score(beam_scores, lengths).masked_fill(~has_ended & (not is_last), -torch.inf)
            score, index = finished.max(1)
            is_better = score > best_score
            best = torch.where(is_better[:, None], hypotheses[event_index, index], best)
            best_score = torch.where(is_better, score, best_score)
            beam_scores = beam_scores.masked_fill(has_ended, -torch.inf)
            upper_bound = self._score(beam_scores.amax(1), torch.full_like(event_index, max_words))
            beam_scores = beam_scores.masked_fill((upper_bound <= best_score)[:, None], -torch.inf)
            if is_last or (beam_scores == -torch.inf).all():
                break
            rows = (event_index[:, None] * width + parents).flatten()
            logits, state = captioner.step(captioner.reorder(state, rows), tokens.flatten())
        return best

    def _score(
        self, log_prob: Float[Tensor, "*hypotheses"], lengths: Int64[Tensor, "*hypotheses"]
    ) -> Float[Tensor, "*hypotheses"]:
        return log_prob / lengths.clamp_min(1).to(log_prob.dtype) ** self.length_power


def _decode(captioner: Captioner, batch: EventBatch, decode_round: Callable[[DecodingRound], DecodedRound]) -> Captions:
    """Caption the events of a batch, round by round."""
    results: list[DecodedRound] = []
    events: list[Tensor] = []

    def decode(current: DecodingRound) -> RoundResult:
        events.append(current.events)
        results.append(decode_round(current))
        return results[-1]

    captioner.decode_rounds(batch, decode)
    num_words = max(result.tokens.shape[1] for result in results)
    tokens = restore_batch_order([result.tokens for result in results], events, num_words, EOS)
    log_probs = restore_batch_order([result.log_probs for result in results], events, num_words)
    mask = token_mask(tokens)
    return Captions(tokens, log_probs.masked_fill(~mask, 0.0), mask)


def _step_by_step(
    captioner: Captioner,
    current: DecodingRound,
    choose: ChooseTokens,
    constraints: DecodingConstraints,
    temperature: float = 1.0,
) -> DecodedRound:
    """Caption the events of a round, token by token."""
    state, token = current.state, torch.full_like(current.events, BOS)
    tokens = token.new_empty(len(token), 0)
    has_ended = torch.zeros_like(token, dtype=torch.bool)
    log_probs, eos_log_probs = [], []
    for position in range(captioner.sizes.max_words):
        logits, state = captioner.step(state, token)
        step_log_probs = next_token_log_probs(logits, is_first=position == 0, temperature=temperature)
        allowed = constraints.mask_logits(step_log_probs.detach(), tokens)
        token = choose(allowed, current.events, position).masked_fill(has_ended, EOS)
        log_probs.append(step_log_probs.gather(1, token[:, None]).squeeze(1))
        eos_log_probs.append(step_log_probs[:, EOS])
        tokens = torch.cat([tokens, token[:, None]], 1)
        has_ended = has_ended | (token == EOS)
        if has_ended.all():
            break
    truncated = constraints.truncate_bad_endings(tokens)
    is_same = truncated == tokens
    if not is_same.all():  # the state has read words that were cut off
        _, state = captioner.teacher_force(current.state, truncated)
    return DecodedRound(
        truncated, state, torch.where(is_same, torch.stack(log_probs, 1), torch.stack(eos_log_probs, 1))
    )


def _rescore(captioner: Captioner, state: State, tokens: Int64[Tensor, "round words"]) -> DecodedRound:
    """Compute the log-probabilities of captions, and the state after them."""
    tokens = trim_padding(tokens)
    logits, state = captioner.teacher_force(state, tokens)
    return DecodedRound(tokens, state, caption_log_probs(logits).gather(2, tokens[..., None]).squeeze(2))
